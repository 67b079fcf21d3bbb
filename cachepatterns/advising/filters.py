"""The fields that readers of a model compare with a value: what tags could be narrowed by.

Told by the questions that are kept, of hot keys and beside a share of the entries
(``VERIFY_SHARE``): the names of patterns know only the fields that are told apart already.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import ASKED
from cachepatterns.exceptions import CachePatternsError, CorruptEntry
from cachepatterns.hotkeys import hottest
from cachepatterns.policy import ResolvedPolicy, kind_of
from cachepatterns.read.asking import signed_question

LOOKS_AT = 50_000
"""Keys that are looked at."""
QUESTIONS = 200
"""Questions that are read."""
_COMPARED = re.compile(r'["`](\w+)["`]\.["`](\w+)["`] (?:= |IN \()')


def filtered_fields(policy: ResolvedPolicy) -> list[str]:
    """Names of fields of the model that entries could be told apart by, the most used first.

    Booleans are left out: half of all writes would still concern an entry. Empty where nothing
    is kept, or the cache does not answer.
    """
    meta = policy.model._meta
    by_column = {
        f.column: f.name
        for f in meta.local_concrete_fields
        if kind_of(f) not in (None, "boolean") and not f.primary_key
    }
    found: Counter[str] = Counter()
    try:
        for sql in set(_statements(policy)):
            columns = {
                column for table, column in _COMPARED.findall(sql) if table == meta.db_table
            }
            found.update(by_column[column] for column in columns & set(by_column))
    except CachePatternsError:
        return []
    return [name for name, _times in found.most_common()]


def _statements(policy: ResolvedPolicy) -> Iterator[str]:
    yield from (hot.sql for hot in hottest(QUESTIONS, labels={policy.label}))
    backend = current_store().backend
    pattern = f"{config().PREFIX}:{ASKED}:{policy.label}.{policy.fingerprint}:*"
    left = QUESTIONS
    for page in backend.scan(pattern, limit=LOOKS_AT):
        keys = page[:left]
        for key, payload in zip(keys, backend.get_many(keys), strict=True):
            if payload is not None:
                try:
                    yield signed_question(key, payload).sql
                except CorruptEntry:
                    continue
        left -= len(keys)
        if left <= 0:
            return
