"""A few threads that do in the background what no reader shall wait for.

Bounded in every way: so many threads, so many jobs that wait, one job of a name at a time. The
threads begin with the first job and end when there has been none for a while; they are daemons
with database connections of their own, which they close as soon as nothing waits.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from django.db import connections

from cachepatterns.conf import config
from cachepatterns.observe import BurstLog

IDLE_SECONDS = 10.0
"""After which a thread that has nothing to do ends."""
EXIT_SECONDS = 1.0
"""How long the end of the process waits for jobs under way."""
_QUIET_MAX = 4096

Job = Callable[[], float]
"""What is to be done; returns for how many seconds nobody need ask for it again."""

log = BurstLog()


class Pool:
    """The threads of this process, and the jobs they are to do. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Begin anew: a fork's child has none of its parent's threads."""
        self._changed = threading.Condition()
        self._waiting: deque[tuple[str, Job]] = deque()
        self._names: set[str] = set()
        self._quiet: OrderedDict[str, float] = OrderedDict()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._is_closed = False

    def wants(self, name: str) -> bool:
        """Whether a job of that name is of any use now; costs no lock."""
        return name not in self._names and self._quiet.get(name, 0.0) <= self._clock()

    def submit(self, name: str, job: Job) -> bool:
        """Have `job` done, unless one of its name is about to be; false if there is no room."""
        with self._changed:
            if name in self._names:
                return True
            if self._is_closed or len(self._waiting) >= config().REFRESH_QUEUE:
                return False
            self._names.add(name)
            self._waiting.append((name, job))
            if self._idle < len(self._waiting) and len(self._threads) < config().REFRESH_THREADS:
                thread = threading.Thread(
                    target=self._work, name="cachepatterns-refresh", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # no more threads to be had
                    if not self._threads:
                        self._names.discard(name)
                        self._waiting.pop()
                        return False
                else:
                    self._threads.add(thread)
            self._changed.notify()
            return True

    def settle(self, timeout: float) -> bool:
        """Wait until nothing is left to be done; false if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._names, timeout)

    def forget(self) -> None:
        """Forget what need not be asked for again soon."""
        with self._changed:
            self._quiet.clear()

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        """Begin nothing more, and wait a moment for what is under way."""
        with self._changed:
            self._is_closed = True
            for name, _ in self._waiting:
                self._names.discard(name)
            self._waiting.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        try:
            while (taken := self._next()) is not None:
                name, job = taken
                quiet = 0.0
                try:
                    quiet = job()
                except Exception:  # a job deals with its own; the thread must live
                    log.log("cachepatterns could not refresh", exc_info=True)
                finally:
                    if not self._waiting:  # before it is told that the last one is done
                        connections.close_all()
                    self._done(name, quiet)
        finally:
            with self._changed:
                self._threads.discard(threading.current_thread())

    def _next(self) -> tuple[str, Job] | None:
        """What is to be done next; `None` where there has been nothing for a while."""
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
        connections.close_all()  # what was waiting a moment ago another has taken
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._waiting or self._is_closed, IDLE_SECONDS)
            self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            # Told within the lock: who submits now begins another thread.
            self._threads.discard(threading.current_thread())
            return None

    def _done(self, name: str, quiet: float) -> None:
        with self._changed:
            self._names.discard(name)
            if quiet > 0:
                self._quiet[name] = self._clock() + quiet
                self._quiet.move_to_end(name)
                while len(self._quiet) > _QUIET_MAX:
                    self._quiet.popitem(last=False)
            else:
                self._quiet.pop(name, None)
            self._changed.notify_all()


pool = Pool()
"""The pool of this process."""

os.register_at_fork(after_in_child=pool.reset)
atexit.register(pool.close)
