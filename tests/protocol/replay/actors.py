"""Threads that run the real code and stop at each point, until they are told to go on.

It knows nothing of caches: an actor is a job, held at named points.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

PATIENCE = 20.0


class Unwound(BaseException):
    """Raised at its point in an actor that will not be needed any more."""


class Stuck(AssertionError):
    """An actor came neither to a point nor to its end: something blocks it."""


class Actor:
    """One thread with one job. It stands still at a point, or it has finished.

    What is done *at* a point is done when the actor goes on from it: `step()` returns when it
    stands at the next one.
    """

    def __init__(self, name: str, job: Callable[[Actor], Any], leave: Callable[[], None]) -> None:
        self.name = name
        self._leave = leave
        self.at: Any = None
        self.passed: list[Any] = []
        """The points it has gone on from, in order."""
        self.finished = False
        self.result: Any = None
        self.failed: str = ""
        self.notes: dict[str, Any] = {}
        """What the points have to tell about this actor (its database session, its token)."""
        self._go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._raise: type[BaseException] | None = None
        self._errand: Callable[[], object] | None = None
        self._unheld = False
        self._thread = threading.Thread(target=self._run, args=(job,), name=name, daemon=True)
        self._thread.start()
        self._wait()

    def _run(self, job: Callable[[Actor], Any]) -> None:
        _acting.actor = self
        try:
            self.result = job(self)
        except BaseException as error:
            # Only in words: its frames would keep alive what the code has let go of.
            self.failed = f"{type(error).__name__}: {error}"
        # Only now: what the error kept alive until here ends before its connection does.
        self._leave()
        self.finished, self.at = True, None
        self._stands.release()

    def reach(self, point: Any) -> None:
        """Called by the actor's own thread where it is to be held."""
        if self._unheld:
            return
        self.at = point
        self._stands.release()
        while True:
            self._go.acquire()
            if self._errand is None:
                break
            errand, self._errand, self._unheld = self._errand, None, True
            try:
                errand()
            finally:
                self._unheld = False
                self._stands.release()
        self.passed.append(point)
        self.at = None
        if self._raise is not None:
            error = self._raise
            if error is not Unwound:
                self._raise = None
            raise error

    def step(self, error: type[BaseException] | None = None) -> None:
        """Go on to the next point or to the end; `error` is raised where it stands."""
        self._raise = error
        self._go.release()
        self._wait()

    def let_go(self) -> None:
        """Go on without being waited for: it may come to stand only when others have moved."""
        self._go.release()

    def arrive(self) -> None:
        """Wait for an actor that was let go."""
        self._wait()

    def do(self, errand: Callable[[], object]) -> None:
        """Run something in its thread, on its connection, where it stands; nothing is held."""
        self._errand = errand
        self._go.release()
        self._wait()

    def finish(self) -> None:
        """Go on to the end, without regard to points."""
        while not self.finished:
            self.step()

    def unwind(self) -> None:
        """End the thread by an exception at its point."""
        self._raise = Unwound
        self._go.release(100)

    def join(self) -> None:
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise Stuck(f"{self.name} does not end; it has passed {self.passed}")

    def _wait(self) -> None:
        if not self._stands.acquire(timeout=PATIENCE):
            raise Stuck(f"{self.name} is blocked; it has passed {self.passed}")


_acting = threading.local()


def acting() -> Actor | None:
    """The actor whose thread this is."""
    return getattr(_acting, "actor", None)
