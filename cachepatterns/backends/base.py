"""What a backend must do. One conformance suite (tests/backends) runs over every one.

Keys are whole strings (prefix included), values bytes, durations seconds. Every method
raises `BackendError`, and nothing else, when the server does not answer properly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from cachepatterns.backends.buffers import Buffers
from cachepatterns.backends.tracking import Tracking
from cachepatterns.exceptions import BackendError

MARK_SECONDS = 60.0
"""How long a relay has to find the mark; later it bumps what was bumped already."""
Heard = Callable[["BackendError | None"], None]
"""Called with what went wrong, or `None`, when the answer to a command was looked at."""
StreamEntry = tuple[str, Mapping[str, str]]
"""``(id, fields)`` of an entry in a stream."""
Item = tuple[str, bytes, float]
"""``(key, payload, ttl in seconds)``."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is known of one key. ``ttl`` seconds, or `None` if it never expires."""

    key: str
    ttl: float | None
    size: int


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What one round trip found. ``is_open`` tells of each guard whether what rests on the keys
    asked for may be served; ``values`` are those under these keys; ``leased`` tells whether all
    leases asked for stand."""

    is_open: list[bool]
    values: list[bytes | None]
    leased: bool = True


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by the server's own clock, in seconds, and the server's incarnation then."""

    run: str
    at: float


class Backend(Buffers, ABC):
    """Storage for entries, stamps and counters."""

    name: str

    # -- entries and stamps -------------------------------------------------------------

    @abstractmethod
    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values under `keys`, in order, read at one instant; one round trip."""

    @abstractmethod
    def read(
        self, guards: Sequence[str], keys: Sequence[str], leases: Sequence[str] = ()
    ) -> Reading:
        """The values under `keys`, which of the guards are open, and whether the leases stand;
        one round trip."""

    @abstractmethod
    def mint(
        self,
        guards: Sequence[str],
        keys: Sequence[str],
        stamps: Sequence[bytes],
        *,
        ttl: float,
        life: float,
    ) -> list[bytes] | None:
        """Put each stamp under its key unless one stands there, and let it live `ttl` or longer;
        one round trip.

        Returns what stands under each key afterwards (an existing stamp is adopted), or
        `None`, having put nothing, where a guard is missing, in quarantine or holds a
        registration that names one of the keys. `life` is how long a registration lives.
        """

    # -- writers ------------------------------------------------------------------------

    @abstractmethod
    def fence(
        self,
        token: str,
        guards: Mapping[str, Sequence[str]],
        *,
        life: float,
        renew: bool = False,
    ) -> bytes:
        """Register a writer for `life` seconds in each guard, with the stamps' keys that it
        is about to outdate; those stamps are deleted.

        A list that begins with ``"*"`` stands for a writer that can not tell yet: nothing is
        deleted, but the guard is closed; the model tag's key follows, to be bumped should
        the writer die. Where the keys of rows' tags follow, it is open to what rests on other
        rows of the model. Renewing puts back what was lost, and then deletes the stamps too.

        Returns what to give to `release` as `alone`; empty where other writers are registered.
        """

    def fence_ahead(
        self,
        token: str,
        guards: Mapping[str, Sequence[str]],
        *,
        life: float,
        witnessed: Sequence[str | bytes] = (),
    ) -> Callable[[], bytes]:
        """As `fence`, of a writer that has something else to do meanwhile: the registration
        stands once what is returned was called, which raises and returns what `fence` would.

        A list that begins with ``"~"``, the model tag's key and a row's stands for a writer that
        says that the row is in no lists but those whose keys follow, and will be in no others:
        what rests on others is served. That holds if the entry under the first of `witnessed` is
        valid and holds the second, else it is registered as ``"*"``.
        """
        alone = self.fence(token, guards, life=life)
        return lambda: alone

    @abstractmethod
    def release(
        self,
        token: str,
        guards: Sequence[str],
        keys: Sequence[str],
        *,
        life: float,
        mark: str = "",
        alone: bytes = b"",
        heard: Heard | None = None,
        made: object = None,
    ) -> None:
        """Delete the stamps under `keys` and take the registration back; idempotent.

        `alone` is what `fence` has returned: it is quicker with it, while nothing else has been
        registered.

        With `mark`, a key that stands for `MARK_SECONDS` from then on: it proves to the relays
        that this has been done. With `heard`, the answer is not waited for: `heard` is called
        once it was looked at, which is before anything else is asked on the same way. `made` is
        what `make_release` has made of all the rest.
        """

    def make_release(
        self,
        token: str,
        guards: Sequence[str],
        keys: Sequence[str],
        *,
        life: float,
        mark: str = "",
        alone: bytes = b"",
    ) -> object:
        """What `release` will send, made ready before it is sent; `None` if nothing is to be."""
        return None

    @abstractmethod
    def tend(self, guards: Sequence[str], *, life: float, no_writers: bool = False) -> None:
        """Make missing guards (in quarantine, unless it is declared that there are no
        writers), end quarantines, purge expired registrations and bump what they name."""

    # -- leases -------------------------------------------------------------------------

    @abstractmethod
    def moment(self) -> Moment:
        """The server's clock and incarnation."""

    @abstractmethod
    def lease(self, key: str, since: Moment, seconds: float) -> bool:
        """Let `key` stand until `seconds` after `since`, or longer if it does already.

        Returns whether it stands: not where that is past, or the server another one.
        """

    # -- claims -------------------------------------------------------------------------

    @abstractmethod
    def claim(self, key: str, token: str, seconds: float) -> bool:
        """Put `token` under `key` for `seconds` unless another one stands there; returns whether
        it is ours that stands. A backend within the process has nobody to keep away: true."""

    @abstractmethod
    def disclaim(self, key: str, token: str) -> None:
        """Delete `key` if it still holds `token`."""

    def settle(self, *, wait: bool = True) -> None:
        """Look at the answers nobody waited for; without `wait`, at those come. Raises nothing."""
        return

    # -- changes ------------------------------------------------------------------------

    def tracking(
        self,
        changed: Callable[[Iterable[str] | None], object],
        lost: Callable[[], object],
    ) -> Tracking | None:
        """What hears of changes, not started yet; `None` where the backend can not tell."""
        return None

    # -- keys -----------------------------------------------------------------------------

    @abstractmethod
    def store(
        self,
        items: Sequence[Item],
        stamp_keys: Sequence[str],
        stamp_ttl: float,
        heard: Heard | None = None,
        *,
        brief: Sequence[str] = (),
        brief_ttl: float = 0.0,
    ) -> None:
        """Write entries, and let the stamps they rest on live `stamp_ttl` from now or longer,
        those that are `brief` for `brief_ttl` or less.

        `heard` as with `release`.
        """

    @abstractmethod
    def prolong(self, key: str, payload: bytes, ttl: float, heard: Heard | None = None) -> None:
        """Write an entry where one stands, for `ttl` seconds from now; nothing where none does.
        `heard` as with `release`."""

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> int:
        """Remove keys; returns how many there were. Deleting stamps is what a bump is."""

    @abstractmethod
    def scan(self, pattern: str, *, limit: int) -> Generator[list[str], None, bool]:
        """Pages of keys that match a glob, until about `limit` keys were *looked at*; the
        generator's value is whether these were all."""

    @abstractmethod
    def inspect(self, keys: Sequence[str]) -> list[KeyInfo]:
        """TTL and memory of those of `keys` that exist."""

    # -- statistics -----------------------------------------------------------------------

    @abstractmethod
    def add(self, counters: Mapping[str, Mapping[str, int]], ttl: float) -> None:
        """Add to the fields of several counter hashes, each of which lives `ttl` more."""

    @abstractmethod
    def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        """The counter hashes under `keys` (empty where there is none)."""

    @abstractmethod
    def push(self, key: str, items: Sequence[bytes], *, keep: int, ttl: float) -> None:
        """Put items at the head of a list, the last item first, and keep the newest `keep`."""

    @abstractmethod
    def newest(self, key: str, count: int) -> list[bytes]:
        """The newest `count` items of a list, newest first."""

    # -- a stream of other services' events; none where the server has no streams ----------

    @abstractmethod
    def take_events(
        self, key: str, group: str, name: str, *, count: int, idle: float
    ) -> list[StreamEntry]:
        """Entries of the stream that the group has not been given yet, and those that another
        member was given more than `idle` seconds ago and has not dealt with."""

    @abstractmethod
    def settle_events(self, key: str, group: str, ids: Sequence[str]) -> None:
        """Say that the group has dealt with these."""

    @abstractmethod
    def park_event(self, key: str, entry: Mapping[str, str], *, keep: int) -> None:
        """Add to a stream of which about the newest `keep` entries are kept."""

    @abstractmethod
    def forget_events(self, key: str, before: float) -> None:
        """Delete what is older than this (Unix time), if every group has been given all."""

    # -- the server -------------------------------------------------------------------------

    @abstractmethod
    def info(self) -> dict[str, object]:
        """What the server says of itself: ``used_memory``, ``maxmemory``, ``evicted_keys``,
        ``expired_keys``, ``maxmemory_policy``, ``version``, ``clients``, ``maxclients``,
        ``uptime`` (seconds), ``replicas`` (seconds since each was heard of, by address);
        missing where unknown."""

    @abstractmethod
    def ping(self) -> None:
        """Return if the server answers."""
