"""Looking at an entry and at what it rests on, changing nothing: why it is served, or why not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cachepatterns.backends.base import Backend
from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.codec import Row
from cachepatterns.core.entry import Entry, unpack
from cachepatterns.core.guard import describe
from cachepatterns.core.key import GUARD, TAG
from cachepatterns.core.softness import Softness
from cachepatterns.core.tag import ALL_NAMED, ignored_tag
from cachepatterns.exceptions import CorruptEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class TagSeen:
    """A tag, the stamp that the entry holds of it, and the one that stands, both as hexadecimal
    text; `None` where there is none."""

    tag: str
    held: str | None
    standing: str | None
    why: str

    @property
    def holds(self) -> bool:
        """Whether the entry may be served as far as this tag goes."""
        return self.held is not None and self.held == self.standing

    @property
    def state(self) -> str:
        """What has become of it, in words."""
        if self.holds:
            return "stands"
        if self.standing is None:
            return "no stamp stands: it was bumped, has expired or was evicted"
        if self.held is None:
            return "nothing is stored that could hold it"
        return "another stamp stands: it was bumped since"


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardSeen:
    """A guard by its name. ``state``: ``open``, or why what is under it is not served."""

    name: str
    state: str

    @property
    def is_open(self) -> bool:
        return self.state == OPEN


OPEN = "open"
NOTHING = "nothing is stored"
CORRUPT = "what is stored can not be decoded"
NO_LEASE = "no relay vouches for the outbox"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What stands under a key at one instant. Times are seconds, sizes bytes."""

    key: str
    guards: tuple[GuardSeen, ...]
    is_leased: bool
    tags: tuple[TagSeen, ...]
    knows_tags: bool
    """False where nobody told on which tags the entry rests; it holds that many stamps."""
    stored_bytes: int | None = None
    ttl_left: float | None = None
    entry: Entry | None = None
    trouble: str = ""
    at: float = 0.0
    soft: Softness | None = None
    """What its tier allows past its time."""

    @property
    def past(self) -> float | None:
        """For how long its time has been over; `None` while it is not."""
        if self.entry is None or self.at < self.entry.ends_at:
            return None
        return self.at - self.entry.ends_at

    @property
    def is_served_past(self) -> bool:
        """Whether it is served though its time is over, and loaded anew meanwhile."""
        return self.past is not None and self.soft is not None and self.past < self.soft.stale_for

    @property
    def age(self) -> float | None:
        return None if self.entry is None else max(0.0, self.at - self.entry.stored_at)

    @property
    def raw_bytes(self) -> int | None:
        """What the rows take before they are compressed."""
        return None if self.entry is None else self.entry.raw_size()

    @property
    def why_not(self) -> tuple[str, ...]:
        """Why the entry would not be served now; empty if it would."""
        found = [
            f"guard {guard.name}: {guard.state}" for guard in self.guards if not guard.is_open
        ]
        if not self.is_leased:
            found.append(NO_LEASE)
        if self.trouble:
            found.append(self.trouble)
        elif self.entry is None:
            found.append(NOTHING)
        else:
            found += [f"{seen.tag}: {seen.state}" for seen in self.tags if not seen.holds]
            if self.past is not None and not self.is_served_past:
                found.append(f"its time has been over for {self.past:.0f} s")
        return tuple(found)

    @property
    def would_hit(self) -> bool:
        return not self.why_not and self.knows_tags

    def rows(self) -> list[Row]:
        """The decoded rows; raises `CorruptEntry`."""
        return [] if self.entry is None else self.entry.decode()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON; never the rows."""
        entry = self.entry
        return {
            "key": self.key,
            "would_hit": self.would_hit,
            "why_not": list(self.why_not),
            "stored": entry is not None,
            "age": self.age,
            "ttl": None if entry is None else entry.ttl,
            "ttl_left": self.ttl_left,
            "past": self.past,
            "served_past": self.is_served_past,
            "stored_bytes": self.stored_bytes,
            "raw_bytes": self.raw_bytes,
            "rows": None if entry is None else entry.rows,
            "load_seconds": None if entry is None else entry.load_seconds,
            "guards": [{"name": guard.name, "state": guard.state} for guard in self.guards],
            "leased": self.is_leased,
            "tags": [
                {
                    "tag": seen.tag,
                    "why": seen.why,
                    "held": seen.held,
                    "standing": seen.standing,
                    "state": seen.state,
                }
                for seen in self.tags
            ],
        }


def look(
    key: str,
    stamps: Sequence[str] | None,
    guards: Iterable[str],
    leases: Iterable[str] = (),
    soft: Softness | None = None,
) -> Seen:
    """What stands under `key`, and under the keys of the stamps and guards it rests on (`None`
    for stamps that nobody knows); `soft` is what its tier allows past its time. Three round
    trips, none of which writes.

    Raises `BackendError` or `ConfigurationError`.
    """
    backend = current_store().backend
    names, leases = tuple(guards), tuple(leases)
    found = backend.read(names, [key, *(stamps or ())], leases)
    payload, *standing = found.values
    info = next(iter(backend.inspect([key])), None)
    entry: Entry | None = None
    trouble = ""
    if payload is not None:
        try:
            known = unpack(payload)
            known.decode()
            entry = known
        except CorruptEntry as error:
            trouble = f"{CORRUPT}: {error}"
    held: Sequence[bytes | None] = entry.stamps if entry is not None else []
    told = stamps or ()
    if stamps is None:
        held = ()
    elif entry is not None and len(held) != len(told):
        trouble, held = "it rests on other tags: another release has stored it", ()
    padded = [*held, *[None] * (len(told) - len(held))]
    return Seen(
        key=key,
        guards=tuple(_guards(backend, names, found.is_open)),
        is_leased=found.leased,
        tags=tuple(
            TagSeen(tag=name, held=_hex(mine), standing=_hex(stands), why=why(name))
            for name, mine, stands in zip(map(tag_of, told), padded, standing, strict=True)
        ),
        knows_tags=stamps is not None,
        stored_bytes=None if payload is None else len(payload),
        ttl_left=info.ttl if info is not None else None,
        entry=entry,
        trouble=trouble,
        at=time.time(),
        soft=soft,
    )


def _guards(
    backend: Backend, names: Sequence[str], is_open: Sequence[bool]
) -> Iterable[GuardSeen]:
    raws = [None] * len(names) if all(is_open) else backend.get_many(names)
    for key, opened, raw in zip(names, is_open, raws, strict=True):
        name = key.partition(f":{GUARD}:")[2]
        if opened:
            state = OPEN
        elif raw is None:
            state = "missing: it was evicted or flushed, or nobody has read yet"
        elif raw[:1] == b"o":
            state = "closed a moment ago, or of a Redis that was restarted since"
        else:
            in_quarantine, writers = describe(raw)
            state = f"closed, {writers} writers are registered"
            if in_quarantine or not writers:
                state = "in quarantine, since it was lost or Redis was restarted"
        yield GuardSeen(name=name, state=state)


def tag_of(stamp_key: str) -> str:
    """The tag of a stamp's key."""
    return stamp_key.removeprefix(f"{config().PREFIX}:{TAG}:")


def why(tag: str) -> str:
    """Why an entry rests on a tag."""
    if tag == ALL_NAMED:
        return "every entry with a named tag: a writer died before it could tell which"
    if tag.startswith("#"):
        family, _, member = tag.partition(":")
        return "named by the caller" if member else f"the whole family {family}"
    model, _, rest = tag.partition(":")
    label = model.partition("@")[0]
    if not rest:
        return f"coarse writes to {label}, which tell no rows"
    if rest == "*":
        return f"any row of {label}: no exact condition on a narrowed field tells which"
    if tag == ignored_tag(label, model.partition("@")[2]):
        return f"it goes by a field that the policy of {label} ignores"
    field, _, value = rest.partition("=")
    return f"rows of {label} with {field} = {value}, before or after a write"


def _hex(stamp: bytes | None) -> str | None:
    return None if stamp is None else stamp.hex()
