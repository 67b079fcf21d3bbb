"""The store: the backend in force, with what a failing one must not do kept in one place.

* An error is counted and logged once per burst; it reaches nobody but the reader, who
  asks the database.
* After a connection error the backend is left alone for ``BREAKER_SECONDS``.
* Bumps that could not be delivered are kept, and delivered before this process reads
  the cache again: it never serves what it knows to be outdated. A debt is paid by a bump that was
  sent after it had arisen, and was heard to be done; by no other.

Longer than most: each of the backend's calls has its counterpart here, a few lines each, and what
they share (breaker, debts, the near-cache) is one state.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from cachepatterns.backends.base import Backend, Item, Reading
from cachepatterns.backends.locmem import LocMemBackend
from cachepatterns.backends.near import NearCache
from cachepatterns.conf import config
from cachepatterns.core.key import coarsest
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.observe import BurstLog, ErrorEvent, emit

R = TypeVar("R")

_LEFT_ALONE = "the cache failed a moment ago"
_TENDING = 0.1
_OWED_MAX = 10_000
_OPENING = frozenset({"timeout", "connection", "auth"})
"""Failures after which asking again at once would only cost every caller a wait."""

log = BurstLog()


class BreakerOpen(BackendError):
    """The cache failed a moment ago and is left alone; the database is asked."""

    kind = "breaker open"


class Store:
    """A backend behind a breaker, and the bumps it still owes."""

    def __init__(self, backend: Backend, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.backend = backend
        self._clock = clock
        self._open_until = 0.0
        self._lock = threading.Lock()
        self._undelivered: dict[str, int] = {}
        """The bumps that are owed, each with the number of when it last arose."""
        self._owed_at = 0
        self._tended: dict[str, float] = {}
        self.near = NearCache(backend.tracking, most=lambda: config().NEAR_MAX_BYTES)
        """What this process keeps in its own memory. Its own writes are out of it at once."""
        self._is_doubtful = False
        """Whether the last store that was heard of has failed."""

    def unlock(self) -> None:
        """After a fork: whoever may have held the lock is not here."""
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the breaker keeps callers from the backend at this moment."""
        return self._clock() < self._open_until

    @property
    def undelivered(self) -> int:
        """How many bumps this process still owes."""
        return len(self._undelivered)

    def call(self, operation: str, method: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Run a backend method; raises `BackendError`, counted, logged, breaker set."""
        if self._open_until and self.is_open:
            raise BreakerOpen(_LEFT_ALONE)
        try:
            return method(*args, **kwargs)
        except BackendError as error:
            self._failed(operation, error)
            raise

    def _failed(self, operation: str, error: BackendError) -> None:
        kind = getattr(error, "kind", "error")
        if kind in _OPENING:
            self._open_until = self._clock() + config().BREAKER_SECONDS
        emit(ErrorEvent(operation, kind, str(error)))
        log.log("cachepatterns could not %s: %s", operation, error)

    def read(
        self, guards: Sequence[str], keys: Sequence[str], leases: Sequence[str] = ()
    ) -> Reading:
        if self._undelivered:
            self.deliver()
        # As `call` does it, which would take longer for its arguments of all kinds.
        if self._open_until and self.is_open:
            raise BreakerOpen(_LEFT_ALONE)
        try:
            return self.backend.read(guards, keys, leases)
        except BackendError as error:
            self._failed("read", error)
            raise

    def mint(
        self, guards: Sequence[str], keys: Sequence[str], stamps: Sequence[bytes], ttl: float
    ) -> list[bytes] | None:
        life = config().FENCE_SECONDS
        return self.call("mint", self.backend.mint, guards, keys, stamps, ttl=ttl, life=life)

    def fence(
        self, token: str, guards: Mapping[str, Sequence[str]], *, renew: bool = False
    ) -> bytes:
        life = config().FENCE_SECONDS
        try:
            return self.call("fence", self.backend.fence, token, guards, life=life, renew=renew)
        finally:
            self._fenced(guards)

    def fence_ahead(
        self,
        token: str,
        guards: Mapping[str, Sequence[str]],
        witnessed: Sequence[str | bytes] = (),
    ) -> Callable[[], bytes]:
        """As `fence`; the registration stands once what is returned was called, which raises
        `BackendError` too."""
        life = config().FENCE_SECONDS
        try:
            answer = self.call(
                "fence", self.backend.fence_ahead, token, guards, life=life, witnessed=witnessed
            )
        except BackendError:
            self._fenced(guards)
            raise

        def heard() -> bytes:
            try:
                return self.call("fence", answer)
            finally:
                self._fenced(guards)

        return heard

    def _fenced(self, guards: Mapping[str, Sequence[str]]) -> None:
        if self.near.is_used:
            self.near.changed([*guards, *(key for keys in guards.values() for key in keys)])

    def release(
        self,
        token: str,
        guards: Sequence[str],
        keys: Sequence[str],
        *,
        wait: bool = False,
    ) -> bool:
        """Bump and take back a registration. Never raises: what fails is owed, and the
        registration, which expires by itself, keeps readers away until it is purged.

        For the same reason nobody has to wait until it is done, unless it is not certain that
        the registration stands, or it does not cover all of `keys`.
        """
        return self.releasing(token, guards, keys)(wait)

    def releasing(
        self,
        token: str,
        guards: Sequence[str],
        keys: Sequence[str],
        mark: str = "",
        *,
        alone: bytes = b"",
    ) -> Callable[[bool], bool]:
        """A release made ready; what is returned carries it out, and is told whether to wait.
        `alone` is what `fence` has returned."""
        given, backend = tuple(keys), self.backend
        way: dict[str, Any] = {"life": config().FENCE_SECONDS, "mark": mark, "alone": alone}
        made = backend.make_release(token, guards, given, **way)

        def release(owed: list[str]) -> None:
            backend.release(token, guards, owed, **way)

        def send(keys: list[str]) -> None:
            backend.release(token, guards, keys, **way, heard=heard, made=made)

        def heard(error: BackendError | None) -> None:
            if error is None:
                return
            if getattr(error, "kind", "") in _OPENING - {"connection"}:
                self._failed("invalidate", error)
                self._owe(given)
            elif self.is_open:  # the next one of many that were cut off at once
                self._owe(given)
            else:
                self._settle(given, release)

        def carry_out(wait: bool) -> bool:
            if wait or not guards or self._undelivered:
                return self._settle(given, release)
            return self._bump(given, send)

        return carry_out

    def tend(self, guards: Sequence[str]) -> None:
        """Look after guards that are not open, at most `_TENDING` seconds apart for each."""
        now = self._clock()
        due = [guard for guard in guards if now - self._tended.get(guard, -1e9) > _TENDING]
        if due:
            self._tended.update(dict.fromkeys(due, now))
            self.call("tend", self.backend.tend, due, life=config().FENCE_SECONDS)

    def declare_no_writers(self, guards: Sequence[str]) -> None:
        """Open guards at once. Only while nobody writes: see `cachepatterns.quarantine`."""
        life = config().FENCE_SECONDS
        self.call("tend", self.backend.tend, guards, life=life, no_writers=True)

    def claim(self, key: str, token: str, seconds: float) -> bool:
        return self.call("claim", self.backend.claim, key, token, seconds)

    def disclaim(self, key: str, token: str) -> None:
        """Take a claim back. Never raises: it expires by itself."""
        with contextlib.suppress(BackendError):
            self.call("disclaim", self.backend.disclaim, key, token)

    def store(
        self,
        items: Sequence[Item],
        stamp_keys: Sequence[str],
        stamp_ttl: float,
        *,
        brief: Sequence[str] = (),
        brief_ttl: float = 0.0,
        wait: bool = False,
    ) -> None:
        """Store entries. The answer is not waited for, unless asked to: one that is lost costs a
        miss. After a bad one it is, until they are good again, so that the numbers tell what is
        stored."""
        more = {"brief": brief, "brief_ttl": brief_ttl} if brief else {}
        given: tuple[Any, ...] = (items, stamp_keys, stamp_ttl)
        if wait or self._is_doubtful:
            self.call("store", self.backend.store, *given, **more)
            self._is_doubtful = False
        else:
            self.call("store", self.backend.store, *given, self._stored, **more)

    def _stored(self, error: BackendError | None) -> None:
        if error is not None:
            self._is_doubtful = True
            self._failed("store", error)

    def prolong(self, key: str, payload: bytes, ttl: float) -> None:
        """Let an entry live longer. The answer is not waited for, as with `store`."""
        self.call("store", self.backend.prolong, key, payload, ttl, self._stored)

    def settle(self, *, wait: bool = True) -> None:
        """Look at the answers that nobody has waited for; without `wait` at those that have
        come."""
        if not self.is_open:
            self.backend.settle(wait=wait)

    def bump(self, keys: Iterable[str]) -> bool:
        """Delete stamps. Never raises: what fails is owed. Returns whether it is done."""
        return self._settle(keys, self.backend.delete)

    def _settle(self, keys: Iterable[str], bump: Callable[[list[str]], object]) -> bool:
        """Carry a bump out, and with it those that are owed."""
        owed = self._owed()
        is_done = self._bump({**owed, **dict.fromkeys(keys, 0)}, bump)
        if is_done:
            self._paid(owed)
        return is_done

    def _bump(self, keys: Iterable[str], bump: Callable[[list[str]], object]) -> bool:
        wanted = list(keys)
        try:
            # A bump is tried even while the breaker is open: it is worth the wait.
            self._open_until = 0.0
            self.call("invalidate", bump, wanted)
        except BackendError:
            self._owe(wanted)
            return False
        except BaseException:  # an interrupt, a time limit: nobody knows how far it has come
            self._owe(wanted)
            raise
        finally:
            if self.near.is_used:
                self.near.changed(wanted)
        return True

    def _owed(self) -> dict[str, int]:
        if not self._undelivered:
            return {}
        with self._lock:
            return dict(self._undelivered)

    def _paid(self, owed: Mapping[str, int]) -> None:
        """These are done, where they have not arisen anew meanwhile."""
        if not owed:
            return
        with self._lock:
            for key, number in owed.items():
                if self._undelivered.get(key) == number:
                    del self._undelivered[key]

    def _owe(self, keys: Iterable[str]) -> None:
        with self._lock:
            self._owed_at += 1
            self._undelivered.update(dict.fromkeys(keys, self._owed_at))
            if len(self._undelivered) > _OWED_MAX:
                # Fewer and coarser: what rests on a row's tag rests on its model's too.
                coarse = {coarsest(key) for key in self._undelivered}
                self._undelivered = dict.fromkeys(coarse, self._owed_at)

    def deliver(self) -> None:
        """Pay the bumps that are owed; raises `BackendError` if that is not possible."""
        owed = self._owed()
        if owed:
            self.call("invalidate", self.backend.delete, list(owed))
            self._paid(owed)


_stores: dict[str, Store] = {}
_stores_lock = threading.Lock()


def current_store() -> Store:
    """The store of the alias in force. Raises `ConfigurationError` if it can't be one."""
    alias = config().ALIAS
    return _stores.get(alias) or store_of(alias)


def counters_store() -> Store:
    """The store of what is written behind."""
    return store_of(config().COUNTERS_ALIAS or config().ALIAS)


def store_of(alias: str) -> Store:
    """The store of a ``CACHES`` alias. Raises `ConfigurationError` if it can't be one."""
    store = _stores.get(alias)
    if store is None:
        with _stores_lock:
            store = _stores.get(alias)
            if store is None:
                store = _stores[alias] = Store(make_backend(alias))
    return store


def make_backend(alias: str) -> Backend:
    """The backend for a ``CACHES`` alias."""
    try:
        dotted = settings.CACHES[alias]["BACKEND"]
    except KeyError:
        known = ", ".join(sorted(settings.CACHES))
        raise ConfigurationError(
            f"CACHEPATTERNS names the alias {alias!r}, but CACHES has only: {known}."
        ) from None
    if dotted == "django.core.cache.backends.locmem.LocMemCache":
        return LocMemBackend()
    from django_redis.cache import RedisCache

    cls = import_string(str(dotted))
    if isinstance(cls, type) and issubclass(cls, RedisCache):
        from cachepatterns.backends.redis import RedisBackend

        return RedisBackend(alias)
    raise ConfigurationError(
        f"CACHES[{alias!r}] is {dotted}; cachepatterns needs django_redis.cache.RedisCache "
        "(or LocMemCache for tests)."
    )


def _forget(*, setting: str, **kwargs: object) -> None:
    if setting in {"CACHES", "CACHEPATTERNS"}:
        with _stores_lock:
            for store in _stores.values():
                if store.undelivered:
                    log.log("Settings changed while %s bumps were owed", store.undelivered)
                store.near.close()
            if setting == "CACHES":
                _stores.clear()


def _after_fork() -> None:
    """A lock that another thread held is held for ever."""
    global _stores_lock
    _stores_lock = threading.Lock()
    for store in list(_stores.values()):
        store.unlock()


os.register_at_fork(after_in_child=_after_fork)
setting_changed.connect(_forget, dispatch_uid="cachepatterns.store")
