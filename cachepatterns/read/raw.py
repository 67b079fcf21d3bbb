"""Raw SQL, cached where its author says what it depends on: ``raw(sql, tags=[…])``.

Which tables a text in raw SQL reads can not be known for sure: a function or a view may read
any. So nothing of it is cached unless it is declared; what is declared counts together with
every watched table that the text names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import connections, models
from django.db.models import sql

from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.asked import RAW
from cachepatterns.core.codec import Row
from cachepatterns.core.key import is_keyable, query_digest, query_key
from cachepatterns.core.sqltext import Kind, may_mean_now, names_in, statement
from cachepatterns.core.tag import standing_tags
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.asking import Noted
from cachepatterns.read.deciding import REASON as DECIDES
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.dependencies import Dependencies, tables_read, tier_for
from cachepatterns.read.eligibility import why_not_here
from cachepatterns.read.lookup import read
from cachepatterns.read.options import ReadOptions
from cachepatterns.read.question import Question, question_on
from cachepatterns.registry import site, table_name
from cachepatterns.transactions import database_id, source_id

RAW_PATTERN = "raw"
ModelType = type[models.Model]


def declared_tags(tags: Iterable[Any]) -> tuple[set[str], list[ModelType]]:
    """The standing tags and the models in what a caller declares; `ValueError` if it is bad."""
    standing: set[str] = set()
    declared: list[ModelType] = []
    for given in [tags] if isinstance(tags, (str, type)) else tags:
        if not isinstance(given, type):
            standing |= set(standing_tags(given))
        elif not issubclass(given, models.Model):
            raise ValueError(f"{given!r} is neither a model nor a tag.")
        elif table_name(given) not in site.tracked():
            raise ValueError(
                f"Nobody watches the writes of {given._meta.label}: register it, or have a "
                "policy depend on it (depends_on)."
            )
        else:
            declared.append(given)
    if not standing and not declared:
        raise ValueError("raw(tags=…) needs at least one model or tag to depend on.")
    return standing, declared


class CachedRawQuery(sql.RawQuery):
    """A raw query that asks the cache before it runs."""

    def __init__(
        self,
        query: sql.RawQuery,
        using: str,
        model: ModelType,
        options: ReadOptions,
        declared: Sequence[ModelType],
    ) -> None:
        super().__init__(query.sql, using, query.params)
        self.model, self.options, self.declared = model, options, declared

    def clone(self, using: str) -> CachedRawQuery:
        return CachedRawQuery(self, using, self.model, self.options, self.declared)

    def _execute_query(self) -> None:
        question = self._question()
        if isinstance(question, str):
            label = (self.model._meta.concrete_model or self.model)._meta.label_lower
            emit(ReadEvent(label, RAW_PATTERN, outcome.BYPASS, reason=question))
            super()._execute_query()  # type: ignore[misc]
            return
        answer: Any
        load = Noted(self._load, self.using, RAW, False)

        def again() -> Noted:
            return load.of(self.clone(self.using)._load)

        ((names, *columns),) = read(question, load, load, again=again)
        answer = _Answer(names, list(zip(*columns, strict=True)))
        self.cursor = answer

    def _load(self) -> list[Row]:
        """The result as one row: the columns' names, and each column's values."""
        super()._execute_query()  # type: ignore[misc]
        executed: Any = self.cursor
        with executed as cursor:
            names = [column[0] for column in cursor.description]
            columns = [list(values) for values in zip(*cursor.fetchall(), strict=True)]
        return [(names, *(columns or [[] for _ in names]))]

    def _question(self) -> Question | str:
        """What to ask the cache, or the reason why it is not asked."""
        connection = connections[self.using]
        policy = site.policy_for(self.model)
        if policy is None:
            return "not registered"
        reason = why_not_here(connection, self.using, policy) or self._why_not_this()
        if reason:
            return reason
        found = tables_read(names_in(self.sql), self.declared, site, database_id(connection))
        if found.reason:
            return found.reason
        if any(not p.is_strict for p in found.policies) and decides_a_write():
            return DECIDES
        return self._asked(policy, found, source_id(connection))

    def _asked(self, policy: ResolvedPolicy, found: Dependencies, source: str) -> Question | str:
        options, tier = self.options, tier_for(found, self.options)
        if tier.ttl is None:
            return "tier never"
        schemas = sorted({p.fingerprint for p in found.policies})
        own = (str(options.ttl), str(options.tier), *options.tags)
        more = (RAW_PATTERN, *schemas, *own, *found.tags)
        digest = query_digest(self.sql, self._values(), *more)
        tags = (*found.tags, *options.tags)
        return question_on(
            tags,
            tier,
            key=query_key(config().PREFIX, policy.label, policy.fingerprint, source, digest),
            using=self.using,
            label=policy.label,
            pattern=RAW_PATTERN,
        )

    def _why_not_this(self) -> str:
        if not self.options.enabled:
            return "uncached()"
        if not isinstance(self.sql, str):
            return "raw()"
        if statement(self.sql).kind is not Kind.READ:
            return "raw() that may write"
        words = names_in(self.sql)
        if "for" in words and words & {"update", "share"}:
            return "select_for_update"
        values = self._values()
        if not all(map(is_keyable, values)):
            return "parameter without identity"
        if any(isinstance(v, str) and may_mean_now(v) for v in values):
            return "parameter that may mean now"
        return ""

    def _values(self) -> list[Any]:
        """The parameters in an order of their own, names included."""
        params: Any = self.params
        if isinstance(params, Mapping):
            return [part for name in sorted(params) for part in (name, params[name])]
        return list(params or ())


class _Answer:
    """What Django reads off a cursor, from memory."""

    def __init__(self, names: Sequence[str], rows: Sequence[Row]) -> None:
        self.description = [(name,) for name in names]
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def close(self) -> None:
        """There is nothing to give back."""
