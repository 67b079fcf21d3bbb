"""What stands around operations of the cache: traces, explanations, comparisons. Mostly nothing.

An event tells of a read when it is over; a span must have begun before the read did, so that what
happens within it belongs to it. Hooks are called around operations, the first one outermost.
Where there are none, an operation pays for one look at an empty tuple.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to be done.

    ``name``: ``get``, ``get_many``, ``set``, ``invalidate`` or ``warm``. ``label``: the model, or
    several, joined by commas. ``keys``: how many entries it is about.
    """

    name: str
    label: str
    pattern: str = ""
    keys: int = 1
    ttl: float | None = None
    source: str = ""
    """Of ``invalidate``: what wrote, or several of them."""
    question: Any = None
    """Of reads and ``set``: what is asked (`read.question.Question`); of several, the first."""
    asker: Any = None
    """Of ``get``: what knows the statement, where there is one."""


Hook = Callable[[Operation, Callable[[], Any]], Any]
"""Called with an operation and what carries it out; returns what that returns."""

hooks: tuple[Hook, ...] = ()
_lock = threading.Lock()


def add(hook: Hook, *, outermost: bool = False) -> None:
    """Have `hook` called around every operation of this process; once, however often asked.

    `outermost`: before all that were added until now, so that they hear only of what it lets
    pass.
    """
    global hooks
    with _lock:
        if hook not in hooks:
            hooks = (hook, *hooks) if outermost else (*hooks, hook)


def remove(hook: Hook) -> None:
    """Stop calling `hook`; unknown ones are ignored."""
    global hooks
    with _lock:
        hooks = tuple(known for known in hooks if known != hook)


def run(operation: Operation, proceed: Callable[[], T]) -> T:
    """What `proceed` returns, with all hooks around it."""
    inner: Callable[[], Any] = proceed
    for hook in reversed(hooks):
        inner = partial(hook, operation, inner)
    found: T = inner()
    return found
