"""Commands to Redis as opentelemetry-instrumentation-redis makes spans of them.

It wraps methods of redis-py's clients, and our own lines (`backends.lines`) pass these by. Where
it is active its wrapper is therefore called around what goes over a line, as if a client's method
had sent it: names, attributes, hooks and what suppresses it are the project's own. Only within a
span that is recorded: what our threads ask would be traces of one command each.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import redis
from opentelemetry import trace
from redis.client import Pipeline

from cachepatterns.backends import lines


def begin() -> None:
    """Trace what goes over lines from now on."""
    lines.traced = trace_commands


def end() -> None:
    lines.traced = None


def trace_commands(
    carry: Callable[..., Any], connection: Any, words: Callable[[str], Any], *more: Any
) -> Any:
    """What ``carry(connection, words, *more)`` returns, within a span of the commands that `words`
    makes: one command, or several as of a pipeline."""

    def go() -> Any:
        return carry(connection, words, *more)

    if not trace.get_current_span().is_recording():
        return go()
    commands = words("")  # for whichever server: values are not told anyway
    is_one = isinstance(commands[0], str)
    wrapper = _wrapper(redis.Redis, "execute_command") if is_one else _wrapper(Pipeline, "execute")
    if wrapper is None:
        return go()
    client = SimpleNamespace(
        connection_pool=SimpleNamespace(connection_kwargs=_place(connection)),
        command_stack=() if is_one else [(tuple(command), {}) for command in commands],
    )
    if not is_one:
        return wrapper(go, client, (), {})
    servers: list[str] = []

    def ask(*_: Any) -> Any:
        answer, server = go()
        servers.append(server)
        return answer

    return wrapper(ask, client, tuple(commands), {}), servers[0]


def _wrapper(cls: type, method: str) -> Callable[..., Any] | None:
    """What is called in place of the method, with it: wrapt's own protocol."""
    found: Callable[..., Any] | None = getattr(cls.__dict__[method], "_self_wrapper", None)
    return found


def _place(connection: Any) -> dict[str, Any]:
    """Where the command goes, as a pool would have been told."""
    known = ("host", "port", "path", "db")
    return {name: getattr(connection, name) for name in known if hasattr(connection, name)}
