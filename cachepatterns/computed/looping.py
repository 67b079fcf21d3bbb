"""Asking from within an event loop, which must never wait.

The caller's connections belong to Django's thread for synchronous code. It is asked for what only
it can tell: what the value rests on, and whether a transaction forbids to look. Then the cache is
asked in a thread of its own, which uses no database, and the value is computed in the loop. So
while one is computed, all else that the loop has to do goes on, synchronous code too.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections

from cachepatterns.computed.asking import Apart, Asked, Compute, Wanted, answer_to
from cachepatterns.read import claim
from cachepatterns.transactions import in_transaction

MOST = 1000
"""Threads in which the cache may be asked; made as they are needed, and used again."""


class _Threads:
    pool: ThreadPoolExecutor

    @classmethod
    def begin(cls) -> None:
        """Anew: a fork's child has none of its parent's threads."""
        cls.pool = ThreadPoolExecutor(MOST, thread_name_prefix="cachepatterns-async")


_Threads.begin()
os.register_at_fork(after_in_child=_Threads.begin)


async def aanswer(
    wanted: Callable[[], Wanted],
    function: Callable[[], Awaitable[Any]],
    *,
    through: Callable[[Compute], Any] = lambda compute: compute(),
    apart: Apart | None = None,
) -> Any:
    """`answer`, for coroutines: `function` is awaited in the loop.

    `wanted` is called in Django's thread, `through` with what computes the value in another one.
    """
    asked, waits = await sync_to_async(_asked)(wanted)
    loop = asyncio.get_running_loop()
    under_way: list[Future[Any]] = []
    cancelled: list[bool] = []

    async def in_loop() -> Any:
        return await function()

    def compute() -> Any:
        found = asyncio.run_coroutine_threadsafe(in_loop(), loop)
        under_way.append(found)
        if cancelled:  # between the two; whoever comes later finds it in the list
            found.cancel()
        return found.result()

    def ask() -> Any:
        try:
            with nullcontext() if waits else claim.loading:
                return answer_to(asked, lambda: through(compute), apart)
        finally:
            connections.close_all()  # an invalidation may have opened some

    context = contextvars.copy_context()
    try:
        return await loop.run_in_executor(_Threads.pool, context.run, ask)
    except asyncio.CancelledError:
        cancelled.append(True)
        for each in under_way:
            each.cancel()
        raise


def _asked(wanted: Callable[[], Wanted]) -> tuple[Asked, bool]:
    """What is asked, and whether the caller may wait for other processes: in no transaction."""
    used = connections.all(initialized_only=True)
    return Asked(wanted()), not any(map(in_transaction, used))
