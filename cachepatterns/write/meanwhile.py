"""What is done while the database carries a statement out, instead of before it is sent.

psycopg drives each exchange with the server by a generator, given to `Connection.wait`, which
gives control back when something was sent and an answer is to come. That is where the work is
done, between two steps of psycopg's own, which notices nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.transactions import is_idle

Work = Callable[[], object]


@contextmanager
def meanwhile(connection: BaseDatabaseWrapper, *works: Work) -> Iterator[None]:
    """Do each of `works` when the next statement of the block has been sent, before its answer is
    heard: one with the BEGIN that psycopg has kept back until then, the rest with the statement.

    Where the driver is not psycopg, all of them at once; those that are still to be done when the
    block ends, not at all. What one raises is raised when the statement has ended, if that has
    raised nothing, and ends the works.
    """
    driver = connection.connection
    if not hasattr(driver, "pgconn"):
        for work in works:
            work()
        yield
        return
    outer = vars(driver).get("wait")  # of a block around this one
    driver.wait = waiting = _Waiting(driver, works)
    try:
        yield
    finally:
        if outer is None:
            del driver.wait
        else:
            driver.wait = outer
    if waiting.error is not None:
        raise waiting.error


class _Waiting:
    """Stands for the `wait` of a connection for the statements of a block."""

    def __init__(self, driver: Any, works: Sequence[Work]) -> None:
        self._driver, self._wait = driver, driver.wait
        self._works = list(works)
        self.error: Exception | None = None

    def __call__(self, exchange: Any, *args: Any, **kwargs: Any) -> Any:
        if self._works:
            begins = not self._driver.autocommit and bool(is_idle(self._driver))
            exchange = _Exchange(exchange, self._work, begins=begins)
        return self._wait(exchange, *args, **kwargs)

    def _work(self, most: int) -> None:
        try:
            for _ in range(min(most, len(self._works))):
                self._works.pop(0)()
        except Exception as error:  # the server's answer has to be fetched all the same
            self.error = error
            self._works.clear()


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
