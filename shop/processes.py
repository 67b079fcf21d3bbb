"""Child processes that are always stopped: by us, with us, or by our next start."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TETHER = Path(__file__).with_name("tether.py")
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Let no signal part the start of a child from the note that it is ours to stop."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def interrupts_raise() -> Iterator[None]:
    """Make SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that everything is stopped."""

    def unwind(number: int, frame: object) -> None:
        # Once is enough: a second signal must not interrupt the stopping itself.
        for each in INTERRUPTS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, unwind) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, kw_only=True)
class Program:
    """How to run a server, and which signal makes it leave quickly and in good order.

    Without a `log` it writes where we write.
    """

    command: Sequence[str]
    log: Path | None = None
    user: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    env: Mapping[str, str] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Run it in a session of its own: a Ctrl-C at the terminal reaches only us."""
        tether = [sys.executable, "-I", str(TETHER), str(os.getpid()), self.user]
        with contextlib.ExitStack() as files:
            log = files.enter_context(self.log.open("ab")) if self.log else None
            return subprocess.Popen(
                [*tether, str(int(self.stop_signal)), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                start_new_session=True,
            )

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it for the length of a block, whatever ends the block."""
        process = None
        try:
            with interrupts_held():
                process = self.start()
            yield process
        finally:
            if process is not None:
                stop(process.pid, self.stop_signal)
                process.wait()


def stop(pid: int, stop_signal: signal.Signals, *, patience: float = 10.0) -> None:
    """End one process: ask, wait, insist. Quietly done when it is gone already."""
    try:
        process = psutil.Process(pid)
        process.send_signal(stop_signal)
        process.wait(patience)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        with contextlib.suppress(psutil.NoSuchProcess):
            for orphan in [*process.children(recursive=True), process]:
                orphan.kill()
            process.wait(patience)


def is_alive(pid: int) -> bool:
    """Whether it still runs; one that nobody has waited for yet does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def left_over(pid_file: Path, directory: Path) -> int | None:
    """The pid in `pid_file` if a live process that works in `directory` still has it.

    The command line is compared too: after a reboot the number may be somebody else's.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
        arguments = " ".join(psutil.Process(pid).cmdline())
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    return pid if str(directory) in arguments else None
