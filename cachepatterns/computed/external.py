"""What another service answers: calls that are bounded, and not made where it asked for peace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from cachepatterns.computed.backoff import Backoff, Errors, backoff
from cachepatterns.computed.bounded import within


@dataclass(frozen=True, slots=True)
class External:
    """How a function that asks another service is called."""

    name: str
    timeout: float | None
    backoff: Backoff | None

    def call(self, function: Callable[[], Any]) -> Any:
        """`function()`; raises `TimeoutError` where it takes too long, `BackedOff` instead of
        calling it where the service is to be left alone."""
        if self.timeout is None:
            return self.carefully(function)
        return self.carefully(partial(within, self.timeout, function, self.name))

    def in_time(self, function: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        """The coroutine function that raises `TimeoutError` where `function` takes too long."""

        async def bounded() -> Any:
            async with asyncio.timeout(self.timeout):
                return await function()

        return bounded

    def carefully(self, function: Callable[[], Any]) -> Any:
        """`function()`, unless the service is to be left alone."""
        if self.backoff is None:
            return function()
        self.backoff.check()
        try:
            return function()
        except BaseException as error:
            self.backoff.note(error)
            raise


def external(name: str, timeout: float | None, errors: Errors | None) -> External:
    """As a decorator is told; raises `ValueError` or `TypeError` for what is none."""
    if timeout is not None and not timeout > 0:
        raise ValueError(f"{name}: timeout must be positive seconds, not {timeout!r}.")
    return External(name, timeout, backoff(name, errors))
