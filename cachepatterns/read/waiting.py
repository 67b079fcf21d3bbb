"""Reads wait for Redis, and for the database: in a coroutine they raise, as Django's own do.

Also where they hit: code that works must not depend on what is cached. Django's `async_unsafe`
asks by an exception that it catches, which takes half a microsecond; this asks without one.
"""

from __future__ import annotations

from asyncio.events import _get_running_loop

from django.utils.asyncio import async_unsafe


@async_unsafe
def _wait() -> None:
    """Where Django has its say, `DJANGO_ALLOW_ASYNC_UNSAFE` too."""


def must_be_allowed() -> None:
    """Raises Django's `SynchronousOnlyOperation` where nobody may wait."""
    if _get_running_loop() is not None:
        _wait()
