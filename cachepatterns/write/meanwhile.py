"""What is done while the database carries a statement out, instead of before it is sent.

psycopg drives each exchange with the server by a generator, given to `Connection.wait`, which
gives control back when something was sent and an answer is to come. That is where the work is
done, between two steps of psycopg's own, which notices nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.observe import BurstLog
from cachepatterns.transactions import is_idle

log = BurstLog()
Work = Callable[[], object]


def meanwhile(
    connection: BaseDatabaseWrapper, *works: Work, at_once: bool = False
) -> AbstractContextManager[object | None]:
    """Do each of `works` when the next statement of the block has been sent, before its answer is
    heard: one with the BEGIN that psycopg has kept back until then, the rest with the statement;
    `at_once`, all with the statement, which has the BEGIN with it.

    Where the driver is not psycopg, all of them at once; those that are still to be done when the
    block ends, not at all. What one raises is raised when the statement has ended, if that has
    raised nothing, and ends the works.
    """
    driver = connection.connection
    if not hasattr(driver, "pgconn"):
        for work in works:
            work()
        return nullcontext()
    return _Waiting(driver, works, at_once)


class _Waiting:
    """Stands for the `wait` of a connection for the statements of a block."""

    def __init__(self, driver: Any, works: Sequence[Work], at_once: bool) -> None:
        self._driver, self.wait, self._at_once = driver, driver.wait, at_once
        self._works = list(works)
        self.outer = vars(driver).get("wait")
        """That of a block around this one."""
        self._error: Exception | None = None

    def __enter__(self) -> None:
        self._driver.wait = self

    def __exit__(self, kind: object, *error: object) -> None:
        if self.outer is None:
            del self._driver.wait
        else:
            self._driver.wait = self.outer
        if kind is None and self._error is not None:
            raise self._error

    def __call__(self, exchange: Any, *args: Any, **kwargs: Any) -> Any:
        if self._works:
            driver = self._driver
            begins = not (self._at_once or driver.autocommit) and bool(is_idle(driver))
            exchange = _Exchange(exchange, self._work, begins=begins)
        return self.wait(exchange, *args, **kwargs)

    def _work(self, most: int) -> None:
        try:
            for _ in range(min(most, len(self._works))):
                self._works.pop(0)()
        except Exception as error:  # the server's answer has to be fetched all the same
            self._error = error
            self._works.clear()


def at_commit(connection: BaseDatabaseWrapper, work: Work) -> None:
    """Do `work` while the database carries out the next COMMIT; not if a ROLLBACK comes first, and
    not where the driver is not psycopg. What it raises is logged: the COMMIT goes its way."""
    driver: Any = connection.connection
    if not hasattr(driver, "pgconn"):
        return
    block, known = None, vars(driver).get("wait")
    while type(known) is _Waiting:  # a statement's, which ends before the transaction does
        block, known = known, known.outer
    if type(known) is _AtCommit:
        known.work = work
    elif known is None and block is None:
        driver.wait = _AtCommit(driver, driver.wait, work)
    elif known is None and block is not None:
        block.outer = _AtCommit(driver, block.wait, work)


class _AtCommit:
    """Stands for the `wait` of a connection until its transaction ends."""

    def __init__(self, driver: Any, wait: Any, work: Work) -> None:
        self._driver, self._wait = driver, wait
        self.work = work

    def __call__(self, exchange: Any, *args: Any, **kwargs: Any) -> Any:
        name = getattr(exchange, "__name__", "")
        if name in {"_commit_gen", "_rollback_gen"}:
            del self._driver.wait
            if name == "_commit_gen":
                exchange = _Exchange(exchange, self._do, begins=False)
        return self._wait(exchange, *args, **kwargs)

    def _do(self, most: int) -> None:
        try:
            self.work()
        except Exception:
            log.log("cachepatterns could not prepare for the end of a COMMIT", exc_info=True)


_ALL = 1_000_000


class _Exchange:
    """A generator of psycopg's, with something done after its first steps.

    No generator itself: it must go on after an interrupt, as psycopg makes it do to fetch what
    the server has to say of its being cancelled.
    """

    def __init__(self, exchange: Any, work: Callable[[int], None], *, begins: bool) -> None:
        self._exchange, self._work = exchange, work
        self._next = [_ALL, 1] if begins else [_ALL]
        """How many works may be done after the steps to come, the last of them first."""

    def __iter__(self) -> _Exchange:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, ready: Any) -> Any:
        state = self._exchange.send(ready)
        if self._next:
            self._work(self._next.pop())
        return state

    def throw(self, *error: Any) -> Any:
        return self._exchange.throw(*error)

    def close(self) -> None:
        self._exchange.close()
