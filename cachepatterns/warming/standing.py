"""Which of many hot keys have a valid entry: looked at, and neither read nor asked for."""

from __future__ import annotations

from collections.abc import Sequence

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.entry import is_valid, unpack
from cachepatterns.exceptions import CorruptEntry
from cachepatterns.hotkeys import HotKey
from cachepatterns.read.again import alias_of, parts, row_of
from cachepatterns.read.dependencies import NO_VALUE
from cachepatterns.read.question import Question


def stand(keys: Sequence[HotKey]) -> list[HotKey]:
    """Those of `keys` whose entry would be served now; one round trip. Raises `BackendError`."""
    asked = [(key, question) for key in keys if (question := _question(key)) is not None]
    guards = list(dict.fromkeys(guard for _, question in asked for guard in question.guards))
    wanted = [name for _, question in asked for name in (question.key, *question.stamps)]
    if not wanted:
        return []
    found = current_store().read(guards, wanted)
    is_open = dict(zip(guards, found.is_open, strict=True))
    values = iter(found.values)
    warm = []
    for key, question in asked:
        payload, *standing = [next(values) for _ in range(1 + len(question.stamps))]
        if payload is None or not all(is_open[guard] for guard in question.guards):
            continue
        try:
            if is_valid(unpack(payload), standing):
                warm.append(key)
        except CorruptEntry:
            continue
    return warm


def _question(hot: HotKey) -> Question | None:
    """What the key answers; `None` where its policy has changed so that it would answer nobody."""
    policy = hot.policy
    if policy is None or not policy.tier.caches:
        return None
    told = parts(hot.key, config().PREFIX)
    if told.schema != policy.fingerprint:
        return None
    if not hot.is_row:
        return hot.kept[0] if hot.kept else None
    using = alias_of(told.source, policy)
    try:
        found = row_of(told.last, policy, using) if using else None
    except NO_VALUE:
        return None
    if found is None:
        return None
    plan, _value, spelled = found
    return plan.question(spelled)
