"""What is asked of the cache: the one form that all doors put a read into."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import msgspec

from cachepatterns.conf import config
from cachepatterns.core.codec import Row
from cachepatterns.core.guard import guard_of
from cachepatterns.core.key import guard_key, tag_key
from cachepatterns.core.softness import Softness, softness_of
from cachepatterns.core.tier import Tier, jittered
from cachepatterns.core.witness import witness
from cachepatterns.read.lease import lease_keys

Load = Callable[[], list[Row]]
"""Asks whoever knows the answer, in the thread that calls it."""

Again = Callable[[], Load]
"""Called by a reader where his answer is to be loaded anew without him: gives a load that shares
nothing with his thread, and so may run in any other one, on that one's connections.

Where the load has a method ``as_asked(question)``, other processes can be told of it too
(``CACHEPATTERNS["REFRESH"]``): the bytes of `core.asked`."""


class KnowingLoad(ABC):
    """A load that is told the stamps under which it is made, and tells when it is done whether
    its result may be kept."""

    __slots__ = ("stamps", "unfit")

    stamps: Sequence[bytes]
    """Those it is made under; none where its result is not to be kept."""
    unfit: str
    """Why the result must not be kept; empty if it may be."""

    def __init__(self) -> None:
        self.stamps = ()
        self.unfit = ""

    @abstractmethod
    def __call__(self) -> list[Row]:
        """As any `Load`."""


class Question(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is asked: where its answer stands, what it depends on, which database alias
    answers it otherwise, how long the answer may live."""

    key: str
    stamps: tuple[str, ...]
    """The keys of the stamps under its tags (`stamp_keys`)."""
    guards: tuple[str, ...]
    """The keys of the guards of all its tags, each once (`guard_keys`)."""
    leases: tuple[str, ...]
    """The keys of the leases that must stand (`lease_keys`)."""
    using: str
    ttl: float
    negative_ttl: float
    """How long it may be believed that there is nothing."""
    jitter: float
    accepts: float
    """Seconds that an answer from this process's memory may be old; 0 where none may be."""
    soft: Softness | None = None
    """What may be done with an entry near its end and after it; `None` where that is nothing."""
    reach: float
    """Seconds that an entry may be asked for at most, and its stamps must stand."""
    label: str
    pattern: str
    told: tuple[int, ...] = ()
    """Of a row by primary key: where in it those columns stand that tell its lists."""

    def witness(self, rows: Sequence[Row]) -> bytes:
        """What an entry of `rows` tells writers."""
        if not self.told or len(rows) != 1:
            return b""
        row = rows[0]
        return witness([row[place] for place in self.told])

    def lifetime(self, rows: Sequence[Row]) -> float:
        """The TTL of an entry that holds `rows`, jitter included."""
        ttl = self.ttl if rows else min(self.ttl, self.negative_ttl)
        return jittered(ttl, self.jitter, random.random)

    def kept(self, ttl: float, rows: Sequence[Row]) -> float:
        """How long an entry stands whose TTL is `ttl`. Of what is not there nobody needs to be
        told after that."""
        return ttl if self.soft is None or not rows else ttl + self.soft.beyond


def question_on(
    tags: Sequence[str], tier: Tier, *, key: str, using: str, label: str, pattern: str
) -> Question:
    """The question whose answer rests on `tags`, and lives as long as `tier` says (it caches)."""
    assert tier.ttl is not None
    soft = softness_of(tier)
    longest = tier.ttl if soft is None else max(tier.ttl, soft.max_age) + soft.beyond
    return Question(
        key=key,
        stamps=stamp_keys(tags),
        guards=guard_keys(tags),
        leases=lease_keys(tags),
        using=using,
        ttl=tier.ttl,
        negative_ttl=tier.negative_ttl,
        jitter=tier.jitter,
        accepts=tier.accepts,
        soft=soft,
        reach=longest,
        label=label,
        pattern=pattern,
    )


def stamp_keys(tags: Iterable[str]) -> tuple[str, ...]:
    prefix = config().PREFIX
    return tuple(tag_key(prefix, tag) for tag in tags)


def guard_keys(tags: Iterable[str]) -> tuple[str, ...]:
    prefix = config().PREFIX
    return tuple(guard_key(prefix, name) for name in dict.fromkeys(map(guard_of, tags)))
