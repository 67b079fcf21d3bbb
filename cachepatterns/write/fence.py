"""Fences: how a writer keeps readers from storing what it is about to outdate.

Before its COMMIT a writer registers the tags it touches in their models' guards, which
deletes their stamps: from then on no reader hits or stores anything that rests on them. After
an acknowledged COMMIT one script bumps the tags and takes the registration back. Whatever
happens in between (a crash, a lost connection, a COMMIT of unknown outcome), the registration
expires by itself, and whoever purges it performs the bump that it names.

Longer than most: to register, to renew in the background and to release are one state under one
lock, and which of them comes first is what all of it is about.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from weakref import WeakSet

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core import tag as tags
from cachepatterns.core.guard import EVERYTHING, STAYING, by_guard, guard_of, head_start
from cachepatterns.core.key import guard_key, mark_key, tag_key, tag_keys
from cachepatterns.core.witness import Staying
from cachepatterns.exceptions import BackendError, ConfigurationError, WriteRefused
from cachepatterns.observe import BurstLog

log = BurstLog()

_SPARING = (EVERYTHING, STAYING)
MAX_TAGS = 500
"""A transaction that names more tags of one model registers the model tag instead."""


class Fence:
    """The registration of one writer: a transaction, or one statement in autocommit.

    One to which nothing was added registers nothing; its release only bumps.

    It is renewed from a background thread until it is released or abandoned, or forgotten by
    everybody. That a transaction's hook was dropped does not prove that it was rolled back: then
    it is released only where the connection says that it is in no transaction any more.
    """

    def __init__(self) -> None:
        self.token = os.urandom(16).hex()
        self._guards: dict[str, list[str]] = {}
        self._named: frozenset[str] = frozenset()
        """The tags that were added."""
        self._ahead: Callable[[], bytes] | None = None
        """Waits for what was registered ahead, while it has not been waited for."""
        self._alone = b""
        """What the store has last said of the registration, by which it knows it again."""
        self._ready: tuple[Sequence[str], Callable[[bool], bool] | None] = (), None
        """What `release` is prepared for, and what carries it out."""
        self._lock = threading.Lock()
        self._released = False
        self._registered = 0.0
        self._is_refused = False
        """Whether the last registration has failed, and the write with it."""
        self.is_missed = False
        """Whether Redis was not reached, and the write proceeds all the same."""
        self.leaves_mark = False
        """Whether events in the outbox carry the token: the release then spares the relays
        the bump."""

    def add(self, names: Iterable[str], *, ahead: bool = False) -> None:
        """Register further tags. Raises `WriteRefused` if that is the policy and it fails.

        `ahead` is of tags that are only expected to be touched: it does not wait until they are
        registered. Who then adds what was touched waits for both.
        """
        names = frozenset(names)
        if names <= self._named and not self._is_refused:
            if not ahead:
                self.stand()
            return
        prefix = config().PREFIX
        wanted, new = by_guard(sorted(names)), dict[str, list[str]]()
        with self._lock:
            for name, under in wanted.items():
                guard, everything = guard_key(prefix, name), model_key(prefix, name)
                known, keys = self._guards.get(guard, []), tag_keys(prefix, under)
                if known[:1] == [everything]:
                    continue
                added = [key for key in keys if key not in known] if known else keys
                if everything in added or len(known) + len(added) > MAX_TAGS:
                    new[guard] = [everything]
                elif added:
                    new[guard] = known + added
            if self._is_refused:
                new = {**self._guards, **new}
            if new:
                self._register(new, ahead=ahead)
            self._named |= names
            if not ahead:
                self._stand()

    def add_everything(
        self,
        names: Iterable[str],
        only: Iterable[str] = (),
        *,
        staying: Staying | None = None,
        ahead: bool = False,
    ) -> None:
        """Close the guards of these model tags until the writer can tell what it touched.

        `only` are the tags of the rows that it will touch at most, where that is known of a
        model: other rows of it are not closed. With `ahead` they are closed when `stand`
        returns, which must be before the statement is sent.

        With `staying`, of a writer of one row, the lists that it does not name are not closed
        either, if the row's entry vouches for it.
        """
        prefix = config().PREFIX
        closed = {
            guard_key(prefix, guard_of(name)): [EVERYTHING, tag_key(prefix, name)]
            for name in names
        }
        for name in only:
            if (guard := guard_key(prefix, guard_of(name))) in closed:
                closed[guard].append(tag_key(prefix, name))
        witnessed: tuple[str | bytes, ...] = ()
        if staying is not None:
            named = closed[guard_key(prefix, guard_of(staying.lists[0]))]
            named[0] = STAYING
            named += tag_keys(prefix, staying.lists)
            witnessed = staying.entry, staying.witness
        with self._lock:
            self._register(closed, ahead=ahead, witnessed=witnessed)

    def stand(self) -> None:
        """Wait until what was registered ahead stands. Raises `WriteRefused` as `add` does."""
        with self._lock:
            self._stand()

    def assure(self) -> None:
        """Register again at once if that is overdue: the process may have stood still for
        longer than a registration lives. Raises `WriteRefused` as `add` does."""
        if self._guards and time.monotonic() - self._registered > config().FENCE_SECONDS / 2:
            with self._lock:
                self._register(self._guards, renew=True)

    def prepare(self, names: Sequence[str]) -> None:
        """Make ready what `release` will send for these tags."""
        with self._lock:
            if self._guards and self._ahead is None and not self._released:
                self._ready = names, self._releasing(names)

    def release(self, names: Sequence[str]) -> bool:
        """Bump the tags, each named once, and take the registration back; returns whether Redis
        did it."""
        with self._lock:
            _open.discard(self)
            if self._released:
                keys = tag_keys(config().PREFIX, names)
                return not keys or current_store().bump(keys)
            self._released = True
            # What arrived after the release would keep readers away for nothing.
            self.is_missed |= self._hear() is not None
            made_for, carry_out = self._ready
            try:
                if carry_out is None or made_for != names:
                    carry_out = self._releasing(names)
                return carry_out(self.is_missed)
            except ConfigurationError as error:  # the write has happened
                log.log("cachepatterns can not invalidate: %s", error)
                return False

    def _releasing(self, names: Sequence[str]) -> Callable[[bool], bool]:
        prefix = config().PREFIX
        keys = tag_keys(prefix, names)
        mark = mark_key(prefix, self.token) if self.leaves_mark else ""
        guards = list(self._guards)
        carry_out = current_store().releasing(self.token, guards, keys, mark, alone=self._alone)
        if self._covers(names):
            return carry_out
        return lambda wait: carry_out(True)

    def _covers(self, names: Sequence[str]) -> bool:
        """Whether the registration keeps readers from all that rests on these tags, until they are
        bumped. From that of an eventual model, written beside a strict one, nothing does."""
        if self._named.issuperset(names):
            return True
        if len(self._guards) == 1:  # as mostly, and quickly: names of databases are equally long
            ((key, named),) = self._guards.items()
            if named[0] in _SPARING:
                own = key.rpartition(":")[2]
                return not [name for name in names if not name.startswith(own)]
        prefix = config().PREFIX
        for guard in {guard_of(name) for name in names if name not in self._named}:
            known = self._guards.get(guard_key(prefix, guard), [""])[0]
            if known not in _SPARING and known != model_key(prefix, guard):
                return False
        return True

    @property
    def is_released(self) -> bool:
        return self._released

    def renew(self) -> None:
        """Register again: never after the release."""
        with self._lock:
            if not self._released and self._guards:
                started = time.monotonic()
                current_store().fence(self.token, self._guards, renew=True)
                self._registered = started

    def abandon(self, *, is_over: bool) -> None:
        """The transaction's hooks were dropped. If it is certainly over, bump and release from
        the background thread: right whether it was rolled back or not. Else let it expire."""
        _open.discard(self)
        self._ahead = None
        if is_over and not self._released and self._guards:
            self._released = True
            _abandoned.put((self.token, dict(self._guards)))

    def _register(
        self,
        guards: dict[str, list[str]],
        *,
        renew: bool = False,
        ahead: bool = False,
        witnessed: Sequence[str | bytes] = (),
    ) -> None:
        if not renew:
            # Of two at once the first would never be heard of; and sent again, where its line was
            # lost, it would take back what the second has added.
            self._stand()
        # Noted first: a command that timed out may have been carried out all the same.
        self._guards.update(guards)
        self._ready = (), None
        started = time.monotonic()
        try:
            if ahead:
                self._ahead = current_store().fence_ahead(self.token, guards, witnessed)
            else:
                self._alone = current_store().fence(self.token, guards, renew=renew)
            self._is_refused = False
            if renew or not self._registered:  # that of the oldest of its guards
                self._registered = started
        except (BackendError, ConfigurationError) as error:
            self._failed(error)
        _renew_from_now_on(self)

    def _stand(self) -> None:
        """Wait for what was registered ahead, before its transaction had begun; and register once
        more if that is so long ago that the transaction may outlast it."""
        if self._ahead is None:
            return
        error = self._hear()
        if error is not None:
            self._failed(error)
        elif time.monotonic() - self._registered > head_start(config().FENCE_SECONDS):
            self._register(self._guards, renew=True)

    def _hear(self) -> Exception | None:
        """What has become of what was registered ahead."""
        heard, self._ahead = self._ahead, None
        if heard is not None:
            try:
                self._alone = heard()
            except (BackendError, ConfigurationError) as error:
                return error
        return None

    def _failed(self, error: Exception) -> None:
        if config().ON_REDIS_ERROR == "refuse":
            self._is_refused = True
            raise WriteRefused(
                f"The cache can not be told of this write ({error}), and ON_REDIS_ERROR "
                'is "refuse".'
            ) from error
        self.is_missed = True


def model_key(prefix: str, name: str) -> str:
    """The key of the tag that everything under the guard of `name` rests on."""
    return tag_key(prefix, tags.ALL_NAMED if name.startswith("#") else guard_of(name))


# -- renewal --------------------------------------------------------------------------------

_open: WeakSet[Fence] = WeakSet()
_abandoned: SimpleQueue[tuple[str, dict[str, list[str]]] | threading.Event] = SimpleQueue()
"""What abandoned transactions had registered; and events, set when all before them is done.

Filled by finalisers, which run wherever memory is collected: also in a thread that is at this
queue. One with a mutex of Python's would be waited for by its own holder, for ever."""
_thread: threading.Thread | None = None
_starting = threading.Lock()


def settle() -> None:
    """Wait until what abandoned transactions had registered is released, and what others have
    released is carried out."""
    if _thread is not None and _thread.is_alive():
        done = threading.Event()
        _abandoned.put(done)
        done.wait()
    current_store().settle()


def _renew_from_now_on(fence: Fence) -> None:
    global _thread
    _open.add(fence)
    if _thread is None or not _thread.is_alive():
        with _starting:
            if _thread is None or not _thread.is_alive():
                _thread = threading.Thread(
                    target=_look_after_fences, name="cachepatterns-fences", daemon=True
                )
                _thread.start()


def _look_after_fences() -> None:
    renewed = 0.0
    while True:
        try:
            _release_abandoned(timeout=min(1.0, config().FENCE_SECONDS / 5))
            if time.monotonic() - renewed >= min(1.0, config().FENCE_SECONDS / 5):
                renewed = time.monotonic()
                for fence in _held():
                    fence.renew()
                current_store().settle(wait=False)  # a line that hangs must not keep renewals
        except (BackendError, ConfigurationError):
            continue  # counted and logged by the store; tried again in a moment
        except Exception:
            log.log("Registrations could not be looked after", exc_info=True)


def _release_abandoned(timeout: float) -> None:
    try:
        found = _abandoned.get(timeout=timeout)
    except Empty:
        return
    if isinstance(found, threading.Event):
        found.set()
        return
    token, guards = found
    keys = {key for named in guards.values() for key in named} - {EVERYTHING, STAYING}
    current_store().release(token, list(guards), sorted(keys), wait=True)


def _held() -> Sequence[Fence]:
    while True:
        try:
            return list(_open)
        except RuntimeError:
            continue  # a writer has come or gone meanwhile


def _after_fork() -> None:
    """The thread did not come along, and the parent renews its own."""
    global _thread, _open, _starting, _abandoned
    _thread, _open, _starting, _abandoned = None, WeakSet(), threading.Lock(), SimpleQueue()


os.register_at_fork(after_in_child=_after_fork)
