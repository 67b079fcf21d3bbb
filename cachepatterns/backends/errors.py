"""The one error that Redis' many are turned into."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import redis
from django_redis.exceptions import ConnectionInterrupted

from cachepatterns.exceptions import BackendError

FAILURES = (redis.RedisError, ConnectionInterrupted, OSError)
"""What the client raises where Redis does not answer as it should."""

P = ParamSpec("P")
R = TypeVar("R")


def _kind(error: BaseException) -> str:
    if isinstance(error, ConnectionInterrupted) and error.__cause__ is not None:
        return _kind(error.__cause__)
    if isinstance(error, (redis.TimeoutError, TimeoutError)):
        return "timeout"
    if isinstance(error, redis.BusyLoadingError):
        return "loading"
    if isinstance(error, redis.OutOfMemoryError):
        return "oom"
    if isinstance(error, redis.ReadOnlyError):
        return "readonly"
    if isinstance(error, redis.AuthenticationError):
        return "auth"
    if isinstance(error, (redis.ConnectionError, OSError)):
        return "connection"
    word = str(error).split(" ", 1)[0]
    return word.lower() if word.isupper() and word.isalpha() else type(error).__name__.lower()


class RedisError(BackendError):
    """Redis/Valkey did not answer a command. ``kind`` names the sort of failure."""

    def __init__(self, error: BaseException) -> None:
        self.kind = _kind(error)
        super().__init__(f"{self.kind}: {error}")


def translated(method: Callable[P, R]) -> Callable[P, R]:
    """Turn the client's many exceptions into the one of the contract."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except FAILURES as error:
            raise RedisError(error) from error

    return call
