"""A call that is waited for only so long.

A thread can not be ended from outside, so the call goes on in one of its own, and whoever asked
goes on without it. How many may be left behind so is bounded.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from django.db import connections

from cachepatterns.read import claim

R = TypeVar("R")

MOST = 64
"""Calls of this process that may be under way at a time."""

_free = threading.Semaphore(MOST)


def within(seconds: float, call: Callable[[], R], name: str) -> R:
    """`call()`, in another thread, with database connections of its own.

    Raises `TimeoutError` after `seconds`, whatever it is doing then.
    """
    if not _free.acquire(timeout=seconds):
        raise TimeoutError(f"{name}(): {MOST} calls are under way, and none has come back")
    said: SimpleQueue[tuple[R | None, BaseException | None]] = SimpleQueue()
    context = contextvars.copy_context()

    def run() -> None:
        answer: tuple[R | None, BaseException | None]
        try:
            with claim.loading:  # nobody waits within a load
                answer = context.run(call), None
        except BaseException as error:
            answer = None, error
        try:
            connections.close_all()
        finally:
            _free.release()
            said.put(answer)  # last: who has heard it finds nothing of it left

    threading.Thread(target=run, name=f"cachepatterns-{name}", daemon=True).start()
    try:
        found, error = said.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"{name}() took longer than {seconds} s") from None
    if error is not None:
        raise error
    return found  # type: ignore[return-value]
