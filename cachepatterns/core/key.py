"""Keys: readable, deterministic, bounded, and never holding a value of the user's.

``PREFIX:KIND:MODEL.SCHEMA:DIGEST``. The schema fingerprint makes two deployed versions
of a model unable to read each other's rows; SQL parameters enter only as a digest.
"""

from __future__ import annotations

import datetime
import decimal
import json
import re
import uuid
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

ROW, QUERY, TAG, GUARD, STATS = "row", "q", "tag", "guard", "stats"
ASKED = "asked"
DONE, LEASE, REPLAYED = "done", "lease", "replayed"
CLAIM = "claim"
BEHIND = "behind"
VALUE = "value"
_NAME_MAX = 60


def row_key(prefix: str, label: str, schema: str, database: str, pk: str) -> str:
    """The key of one row by its canonical primary key."""
    return f"{prefix}:{ROW}:{label}.{schema}:{database}:{pk}"


def query_key(prefix: str, label: str, schema: str, database: str, digest: str) -> str:
    """The key of one query's result by the digest of its SQL and parameters."""
    return f"{prefix}:{QUERY}:{label}.{schema}:{database}:{digest}"


def value_key(prefix: str, name: str, digest: str) -> str:
    """The key of a computed value: what computes it, and a digest of the arguments."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
    return f"{prefix}:{VALUE}:{plain[-_NAME_MAX:]}:{digest}"


def backoff_key(prefix: str, name: str) -> str:
    """The key that stands while the service that a function asks is to be left alone."""
    return f"{prefix}:backoff:{name[-_NAME_MAX:]}"


def asked_key(query_key: str) -> str:
    """The key of what was asked, beside that of the answer."""
    head, _, rest = query_key.partition(f":{QUERY}:")
    return f"{head}:{ASKED}:{rest}"


def answer_key(asked_key: str) -> str:
    """The key of the answer, from that of what was asked."""
    head, _, rest = asked_key.partition(f":{ASKED}:")
    return f"{head}:{QUERY}:{rest}"


def tag_key(prefix: str, tag: str) -> str:
    """The key under which a tag's stamp stands."""
    return f"{prefix}:{TAG}:{tag}"


def tag_keys(prefix: str, tags: Iterable[str]) -> list[str]:
    """`tag_key` of each."""
    head = tag_key(prefix, "")
    return [head + tag for tag in tags]


def guard_key(prefix: str, guard: str) -> str:
    """The key of a model's guard, or of the named tags' (``#``)."""
    return f"{prefix}:{GUARD}:{guard}"


def mark_key(prefix: str, token: str) -> str:
    """The key of the mark that a writer's bump leaves for the relays."""
    return f"{prefix}:{DONE}:{token}"


def lease_key(prefix: str, database: str) -> str:
    """The key that stands while a relay vouches for the database's outbox."""
    return f"{prefix}:{LEASE}:{database}"


def replayed_key(prefix: str, database: str) -> str:
    """The key that names the incarnation for which the outbox was last replayed."""
    return f"{prefix}:{REPLAYED}:{database}"


def stream_key(prefix: str, *more: str) -> str:
    """The stream into which other services put what they have changed."""
    return ":".join([prefix, "events", *more])


def claim_key(prefix: str, entry_key: str, stamps: Sequence[bytes]) -> str:
    """The key of the claim to load an entry under these stamps.

    Whoever holds others has seen a write that such a load may not.
    """
    digest = blake2b(b"\x00".join(stamps), digest_size=8).hexdigest()
    return f"{prefix}:{CLAIM}:{entry_key.removeprefix(prefix + ':')}:{digest}"


def buffer_key(prefix: str, label: str, database: str, kind: str) -> str:
    """How the keys of a buffer begin (`backends.buffers`). In braces is what puts all of them into
    one slot of a cluster."""
    return f"{prefix}:{BEHIND}:{{{label}@{database}}}:{kind}"


RELAY_WINDOW = 10
"""Seconds of a window in which each relay reports itself once or more."""


def relays_key(prefix: str, database: str, now: float, windows_ago: int = 0) -> str:
    """The hash that names the relays of a database which reported in a window of time."""
    return stats_key(prefix, f"relays:{database}:{int(now // RELAY_WINDOW) - windows_ago}")


def coarsest(tag_key: str) -> str:
    """The key of the tag that everything under this one rests on too.

    The model tag for a row or field tag, the family for a named tag.
    """
    head, mark, rest = tag_key.partition(f":{TAG}:")
    return head + mark + rest.partition(":")[0]


def heard_under(key: str) -> str:
    """The prefix under which a process hears of changes of this stamp's or guard's key: that of
    its model's keys of that kind, or of all named tags'. No two overlap."""
    head, mark, rest = key.partition(f":{TAG}:")
    if not mark:
        return key  # each model has one guard
    return head + mark + ("#" if rest.startswith("#") else rest.partition(":")[0])


def stats_key(prefix: str, name: str) -> str:
    """A key of the fleet-wide statistics."""
    return f"{prefix}:{STATS}:{name}"


def query_digest(sql: str, params: Sequence[Any], *more: str) -> str:
    """A digest of a statement and its parameters, types included: 1, "1" and True differ.

    Raises `TypeError` for a parameter that is not `is_keyable`.
    """
    digest = blake2b(digest_size=16)
    digest.update(sql.encode("utf-8", "surrogatepass"))
    for value in params:
        digest.update(f"\x00{_spelled(value)}".encode("utf-8", "surrogatepass"))
    for text in more:
        digest.update(b"\x02" + text.encode())
    return digest.hexdigest()


def is_keyable(value: Any) -> bool:
    """Whether a parameter has a spelling that tells it from every other one."""
    try:
        _spelled(value)
    except TypeError:
        return False
    return True


_SCALARS: Final[tuple[Any, ...]] = (
    int,
    str,
    float,
    type(None),
    decimal.Decimal,
    uuid.UUID,
    bytes,
    datetime.timedelta,
)
"""Types whose own ``repr`` says all of a value. No subclass is asked for its: it may
leave something out."""


def _spelled(value: Any) -> str:
    """A parameter's type and all of its value; raises `TypeError` where that is not known.

    `repr` of whatever comes is not good enough: that of a `memoryview` is an address, and
    the driver's wrappers of JSON and binary values cut theirs short.
    """
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}\x01"
    for scalar in _SCALARS:
        if isinstance(value, scalar):
            return name + str(scalar.__repr__(value))
    if isinstance(value, (datetime.date, datetime.time)):
        return name + value.isoformat()
    if isinstance(value, (list, tuple)):
        # Each item with its length: no item can pretend to be two.
        items = [_spelled(item) for item in value]
        return name + "".join(f"{len(item)}:{item}" for item in items)
    if isinstance(value, (memoryview, bytearray)):
        return name + bytes(value).hex()
    if kind.__module__.startswith("psycopg.") and hasattr(value, "obj"):
        dumps = getattr(value, "dumps", None)
        if kind.__name__ in {"Json", "Jsonb"}:
            return name + str((dumps or json.dumps)(value.obj))
        return name + _spelled(value.obj)
    raise TypeError(f"no spelling for parameters of type {kind.__qualname__}")
