"""Leaving another service alone for as long as it has asked for, in all processes.

Who is told "too many requests" notes until when in the cache; until then nobody calls. The note is
the function's, not the arguments': limits are of a service, whatever it is asked.
"""

from __future__ import annotations

import contextlib
import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import backoff_key
from cachepatterns.exceptions import BackedOff, BackendError

SECONDS = 10.0
"""How long a service is left alone that does not say for how long."""
LONGEST = 24 * 3600.0

Errors = type[BaseException] | tuple[type[BaseException], ...] | Mapping[Any, float]
"""The errors upon which to leave the service alone, or for each the seconds, where it does not
say so itself."""


class _Note(msgspec.Struct, array_like=True):
    until: float
    """Unix time."""
    why: str


_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(_Note).decode


@dataclass(slots=True)
class Backoff:
    """What one function knows of its service."""

    name: str
    seconds: Mapping[type[BaseException], float]
    _known: _Note | None = field(default=None, init=False)

    def check(self) -> None:
        """Raise `BackedOff` while the service is to be left alone."""
        note = self._known
        if note is None or note.until <= time.time():
            note = self._known = self._asked()
        if note is not None and note.until > time.time():
            left = note.until - time.time()
            raise BackedOff(f"{self.name}() is not called for {left:.1f} s: {note.why}", left)

    def note(self, error: BaseException) -> None:
        """Leave the service alone, if `error` is one upon which to."""
        default = next((s for kind, s in self.seconds.items() if isinstance(error, kind)), None)
        if default is None:
            return
        told = retry_after(error)
        seconds = min(default if told is None else told, LONGEST)
        if seconds <= 0:
            return
        self._known = _Note(time.time() + seconds, f"{type(error).__qualname__}: {error}"[:200])
        item = (self._key, _encode(self._known), seconds)
        with contextlib.suppress(BackendError):  # counted and logged; this process knows it
            current_store().store([item], (), 1.0, wait=True)

    @property
    def _key(self) -> str:
        return backoff_key(config().PREFIX, self.name)

    def _asked(self) -> _Note | None:
        """What another process has noted."""
        try:
            store = current_store()
            (found,) = store.call("backoff", store.backend.get_many, [self._key])
            return None if found is None else _decode(found)
        except (BackendError, msgspec.MsgspecError):
            return None


def backoff(name: str, errors: Errors | None) -> Backoff | None:
    """As a decorator is told; raises `TypeError` for what names no errors."""
    if errors is None:
        return None
    given = errors if isinstance(errors, Mapping) else dict.fromkeys(_each(errors), SECONDS)
    for kind, seconds in given.items():
        if not (isinstance(kind, type) and issubclass(kind, BaseException)) or not seconds > 0:
            raise TypeError(
                f"{name}: backoff= takes an exception class, a tuple of them, or a dictionary "
                f"with the seconds for each, not {errors!r}."
            )
    return Backoff(name, given)


def _each(errors: Any) -> tuple[Any, ...]:
    return errors if isinstance(errors, tuple) else (errors,)


def retry_after(error: BaseException) -> float | None:
    """The seconds that an error asks to wait: its ``retry_after``, or a ``Retry-After`` header of
    it or of its response, be it seconds or a date; `None` if it does not say."""
    told: Any = getattr(error, "retry_after", None)
    for owner in (error, getattr(error, "response", None)):
        headers: Any = getattr(owner, "headers", None)
        if told is None and hasattr(headers, "get"):
            told = headers.get("Retry-After") or headers.get("retry-after")
    if isinstance(told, (bool, type(None))):
        return None
    if hasattr(told, "total_seconds"):
        return float(told.total_seconds())
    try:
        return float(told)
    except (TypeError, ValueError):
        pass
    try:
        moment = told if isinstance(told, datetime) else email.utils.parsedate_to_datetime(told)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() - time.time()
