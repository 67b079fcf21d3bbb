"""Keeping what was asked beside a share of the entries; `core.asked` says why."""

from __future__ import annotations

import random
from typing import Any

from django.db.models.sql.constants import SINGLE
from django.utils.crypto import constant_time_compare, salted_hmac

from cachepatterns.backends.base import Item
from cachepatterns.conf import config
from cachepatterns.core import asked
from cachepatterns.core.asked import Asked
from cachepatterns.core.key import asked_key
from cachepatterns.exceptions import CorruptEntry, UnstorableValue
from cachepatterns.observe import BurstLog

log = BurstLog()

_SIGNATURE_BYTES = 32


def question_item(compiler: Any, question: Any, ttl: float) -> list[Item]:
    """What to store beside the entry of `question`: mostly nothing."""
    if compiler is None or random.random() >= config().VERIFY_SHARE:
        return []
    key = asked_key(question.key)
    try:
        payload = _packed(compiler, question)
        return [(key, _signature(key, payload) + payload, ttl)]
    except UnstorableValue:
        return []
    except Exception:  # the page has its answer; it must not break for what is kept beside it
        log.log("cachepatterns could not keep what was asked", exc_info=True)
        return []


def signed_question(key: str, stored: bytes) -> Asked:
    """The question that stands under `key`; raises `CorruptEntry` for what we did not store.

    It holds a statement that will be run: who can write to Redis, but does not know the
    ``SECRET_KEY``, must not have us run one.
    """
    signature, payload = stored[:_SIGNATURE_BYTES], stored[_SIGNATURE_BYTES:]
    if not constant_time_compare(signature, _signature(key, payload)):
        raise CorruptEntry("a question that is not signed with this SECRET_KEY")
    return asked.unpack(payload)


def _signature(key: str, payload: bytes) -> bytes:
    told = key.encode() + b"\x00" + payload
    return salted_hmac("cachepatterns.asked", told, algorithm="sha256").digest()


def _packed(compiler: Any, question: Any) -> bytes:
    sql, params = compiler.asked
    single = compiler.asked_for == SINGLE
    columns = compiler.col_count if single or compiler.has_extra_select else None
    return asked.pack(
        question.using,
        sql,
        params,
        stamps=question.stamps,
        guards=question.guards,
        single=single,
        columns=columns,
        ordered=is_told_to_the_last_row(compiler.query),
    )


def is_told_to_the_last_row(query: Any) -> bool:
    """Whether the query's order leaves no choice: it names a unique field of its own model, and
    no join can show one of its rows twice."""
    if hasattr(query, "inner_query") or query.combinator or query.distinct:
        return False
    if query.group_by is not None or query.extra_order_by:
        return False
    if any(_multiplies(join) for join in query.alias_map.values()):
        return False
    meta = query.get_meta()
    unique = {"pk"} | {f.name for f in meta.concrete_fields if f.unique and not f.null}
    ordering = query.order_by or (meta.ordering if query.default_ordering else ())
    return any(isinstance(name, str) and name.lstrip("-+") in unique for name in ordering)


def _multiplies(join: Any) -> bool:
    field = getattr(join, "join_field", None)
    return field is not None and not (field.many_to_one or field.one_to_one)
