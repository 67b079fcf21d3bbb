"""Asking again what was asked before, maybe by another process, maybe before a deploy.

The key of a row tells what it answers. That of a query is a digest: of those that are read most
(`sampling`), the statement is kept, with its parameters and all that its entry rests on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from django.db import connections
from msgspec.structs import replace

from cachepatterns.core import asked
from cachepatterns.core.asked import Asked
from cachepatterns.core.codec import Row
from cachepatterns.core.key import GUARD
from cachepatterns.exceptions import CorruptEntry
from cachepatterns.narrowing import tag_field
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.answering import answer
from cachepatterns.read.asking import verified
from cachepatterns.read.eligibility import why_not_here
from cachepatterns.read.lease import lease_keys
from cachepatterns.read.lookup import read
from cachepatterns.read.question import Question
from cachepatterns.read.rowplans import RowPlan
from cachepatterns.transactions import source_id


class KeyParts(NamedTuple):
    """What the key of an entry tells: whose it is, and where it was read from."""

    kind: str
    label: str
    schema: str
    source: str
    last: str


def parts(key: str, prefix: str) -> KeyParts:
    """Raises `ValueError` for what is no entry's key."""
    if not key.startswith(f"{prefix}:"):
        raise ValueError(f"{key!r} is not under the prefix {prefix!r}")
    kind, model, source, last = key.removeprefix(f"{prefix}:").split(":", 3)
    label, dot, schema = model.rpartition(".")
    if not dot:
        raise ValueError(f"{key!r} names no model")
    return KeyParts(kind, label, schema, source, last)


def alias_of(source: str, policy: ResolvedPolicy) -> str:
    """The database alias from which entries of that source were read; empty if there is none."""
    aliases = sorted(policy.databases)
    return next((alias for alias in aliases if source_id(connections[alias]) == source), "")


def row_of(last: str, policy: ResolvedPolicy, using: str) -> tuple[RowPlan, Any, str] | None:
    """The plan, the value and its spelling, from the end of a row's key; `None` where it does not
    tell (a long text stands there as its digest), or nothing of the model is cached.

    Raises one of `NO_VALUE`.
    """
    name, is_named, told = last.rpartition("=")
    named = {tag_field(narrowing, policy): narrowing for narrowing in policy.narrowing}
    narrowing = named.get(name) if is_named else policy.pk
    if narrowing is None or not policy.tier.caches:
        return None
    field = narrowing.field
    while field.remote_field is not None:
        field = field.target_field
    plan = RowPlan(policy, narrowing, using)
    value, spelled = plan.spell(field.to_python(told))
    return (plan, value, spelled) if spelled == told else None


class Record(msgspec.Struct, array_like=True, frozen=True):
    """What `remembering.record` has kept."""

    question: Question
    asked: bytes


_decoder = msgspec.msgpack.Decoder(Record)


def recorded(key: str, kept: bytes) -> tuple[Question, Asked]:
    """What was kept of `key`; raises `CorruptEntry` for anything else."""
    try:
        found = _decoder.decode(verified(key, kept))
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptEntry(f"{error}") from error
    return found.question, asked.unpack(found.asked)


def why_not_again(question: Question, policy: ResolvedPolicy, prefix: str) -> str:
    """Why a question that was recorded, maybe by another release, is none any more; empty if it
    is one."""
    if question.using not in connections:
        return "other database"
    if parts(question.key, prefix).schema != policy.fingerprint:
        return "other schema"
    return why_not_here(connections[question.using], question.using, policy)


def ask_again(question: Question, known: Asked, policy: ResolvedPolicy) -> list[Row]:
    """As the read that was recorded: from the cache, or from the database and stored.

    Settings and policy are those of now. Should the policy name other tags by now, the entry
    rests on none that its readers ask for, and is never served.
    """
    guards = [key.partition(f":{GUARD}:")[2] for key in question.guards]
    ttl = min(question.ttl, policy.tier.ttl or 0.0)
    now = replace(question, leases=lease_keys(guards), ttl=ttl)
    return read(now, lambda: answer(known, policy.model, question.using))
