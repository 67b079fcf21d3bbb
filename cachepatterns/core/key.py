"""Keys: readable, deterministic, bounded, and never holding a value of the user's.

``PREFIX:KIND:MODEL.SCHEMA:DIGEST``. The schema fingerprint makes two deployed versions
of a model unable to read each other's rows; SQL parameters enter only as a digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

ROW, QUERY, TAG, STATS = "row", "q", "tag", "stats"


def row_key(prefix: str, label: str, schema: str, database: str, pk: str) -> str:
    """The key of one row by its canonical primary key."""
    return f"{prefix}:{ROW}:{label}.{schema}:{database}:{pk}"


def query_key(prefix: str, label: str, schema: str, database: str, digest: str) -> str:
    """The key of one query's result by the digest of its SQL and parameters."""
    return f"{prefix}:{QUERY}:{label}.{schema}:{database}:{digest}"


def tag_key(prefix: str, tag: str) -> str:
    """The key under which a tag's stamp stands."""
    return f"{prefix}:{TAG}:{tag}"


def coarsest(tag_key: str) -> str:
    """The key of the tag that everything under this one rests on too.

    The model tag for a row or field tag, the family for a named tag.
    """
    head, mark, rest = tag_key.partition(f":{TAG}:")
    return head + mark + rest.partition(":")[0]


def stats_key(prefix: str, name: str) -> str:
    """A key of the fleet-wide statistics."""
    return f"{prefix}:{STATS}:{name}"


def query_digest(sql: str, params: Sequence[Any], *more: str) -> str:
    """A digest of a statement and its parameters, types included: 1, "1" and True differ."""
    digest = blake2b(digest_size=16)
    digest.update(sql.encode("utf-8", "surrogatepass"))
    for value in params:
        kind = type(value)
        text = f"\x00{kind.__module__}.{kind.__qualname__}\x01{value!r}"
        digest.update(text.encode("utf-8", "surrogatepass"))
    for text in more:
        digest.update(b"\x02" + text.encode())
    return digest.hexdigest()


def is_keyable(value: Any) -> bool:
    """Whether two parameters with equal type and ``repr`` are the same to the database.

    Objects with the default ``repr`` (an address) have no stable identity.
    """
    if isinstance(value, (list, tuple)):
        return all(map(is_keyable, value))
    spelling: object = type(value).__repr__
    return spelling is not object.__repr__
