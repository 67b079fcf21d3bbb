"""The web workers, and the wait until they answer."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from shop.demo.site import Site
from shop.home import BASE_DIR
from shop.processes import Program

START_SECONDS = 30.0
POLL_SECONDS = 0.05
PORTS_TRIED = 50


class NotServing(Exception):
    """The web workers ended, or do not answer."""


def free_port_from(first: int) -> int:
    """The first port at or above `first` that nobody listens on."""
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As the web server does: connections of a demo just ended do not block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise NotServing(f"No free port from {first} on.")


@contextlib.contextmanager
def workers(site: Site, *, port: int, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the shop with `count` processes for the length of the block."""
    metrics = site.directory / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir()
    log = site.directory / "web.log"
    program = Program(
        command=[
            *(sys.executable, "-m", "gunicorn", "shop.wsgi"),
            *("--config", "python:shop.demo.gunicorn", "--chdir", str(BASE_DIR)),
            *("--bind", f"127.0.0.1:{port}", "--workers", str(count)),
        ],
        # /metrics must add up all workers, whichever of them is asked.
        env={**site.env, "PROMETHEUS_MULTIPROC_DIR": str(metrics)},
        log=log,
    )
    with program.running() as process:
        _wait(process, f"http://127.0.0.1:{port}/login/", site)
        yield process


def watch(process: subprocess.Popen[bytes], site: Site) -> None:
    """Return never but by an exception: somebody's Ctrl-C, or the end of what must run."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
            raise NotServing(f"The web workers have ended; see {site.directory / 'web.log'}")
        if server := site.gone():
            raise NotServing(f"{server.name} has ended; see {server.log}")


def _wait(process: subprocess.Popen[bytes], url: str, site: Site) -> None:
    deadline = time.monotonic() + START_SECONDS
    # Never through a proxy: the address is our own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None and time.monotonic() < deadline:
        try:
            opener.open(url, timeout=START_SECONDS).close()
        except OSError:
            time.sleep(POLL_SECONDS)
        else:
            return
    tail = (site.directory / "web.log").read_text(errors="replace")[-2000:]
    raise NotServing(f"The web workers did not start:\n{tail}")
