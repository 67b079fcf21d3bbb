"""The reading door of the ORM: a SQL compiler whose `execute_sql` asks the cache first.

Django's query classes ask `get_compiler()` for the compiler that runs them; ours is a
subclass of the backend's own, made once per backend. Everything above it (iterables,
converters, `select_related`, prefetches, async) is Django's, fed with the same raw rows
the database driver returned.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI, SINGLE

from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.key import is_keyable, query_digest, query_key
from cachepatterns.core.sqltext import may_mean_now, read_text
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read.deciding import REASON as DECIDES
from cachepatterns.read.deciding import decides_a_write
from cachepatterns.read.dependencies import dependencies, tier_for
from cachepatterns.read.eligibility import why_not_here, why_not_this
from cachepatterns.read.lookup import read
from cachepatterns.read.options import DEFAULT, ReadOptions
from cachepatterns.read.pattern import pattern_of
from cachepatterns.read.question import Question, question_on
from cachepatterns.read.statement import Statement, compiled
from cachepatterns.registry import site
from cachepatterns.transactions import database_id, source_id

if TYPE_CHECKING:
    _Base: Any = SQLCompiler
else:
    _Base = object

Compiled = tuple[str, tuple[Any, ...]]


@cache
def cached_compiler(base: type[SQLCompiler]) -> type[SQLCompiler]:
    """The caching subclass of a database backend's SELECT compiler."""
    return type(f"Cached{base.__name__}", (CachedCompilerMixin, base), {})


class CachedCompilerMixin(_Base):
    """Puts the cache before `execute_sql`; see the module's docstring."""

    _compiled: Compiled | None = None
    asked: Compiled
    asked_for: str
    """What was asked last, and how it is fetched: MULTI or SINGLE."""

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        # Compiling changes the query, so what was compiled for the key is what is run.
        if self._compiled is not None and not args and not kwargs:
            compiled, self._compiled = self._compiled, None
            return compiled
        return super().as_sql(*args, **kwargs)

    def execute_sql(
        self,
        result_type: Any = MULTI,
        chunked_fetch: bool = False,
        chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    ) -> Any:
        if result_type not in (MULTI, SINGLE):
            return super().execute_sql(result_type, chunked_fetch, chunk_size)
        options: ReadOptions = getattr(self._rows_query, "cache_options", DEFAULT)
        policy = site.policy_for(self.query.model) if self.query.model else None
        if policy is None:
            reason = "not registered"
        elif chunked_fetch:
            reason = "iterator()"
        else:
            reason = why_not_here(self.connection, self.using, policy)
            reason = reason or why_not_this(self.query, options)
        if reason or policy is None:
            self._bypass(reason, result_type)
            return super().execute_sql(result_type, chunked_fetch, chunk_size)
        question: Question | None = None
        try:
            self._compiled = self.as_sql()
        except EmptyResultSet:
            pass  # Django answers without asking the database.
        else:
            question = self._question(policy, options, result_type)
        if question is None:
            return super().execute_sql(result_type, chunked_fetch, chunk_size)

        def load() -> list[tuple[Any, ...]]:
            found = base_execute(result_type, chunked_fetch, chunk_size)
            if result_type == MULTI:
                return list(chain.from_iterable(found))
            return [] if found is None else [found]

        base_execute = super().execute_sql
        rows = read(question, load, self, again=self._again)
        if result_type == MULTI:
            return [rows]
        return rows[0] if rows else None

    def _again(self) -> Statement:
        return compiled(self, self.using)

    @property
    def _rows_query(self) -> Any:
        """The query whose conditions choose the rows: that within an `AggregateQuery`."""
        return getattr(self.query, "inner_query", self.query)

    def _question(
        self, policy: ResolvedPolicy, options: ReadOptions, result_type: str
    ) -> Question | None:
        """What to ask the cache; `None`, counted, if this query is no question for it."""
        assert self._compiled is not None
        sql, params = self.asked = self._compiled
        self.asked_for = result_type
        if not sql:
            return None
        if not all(map(is_keyable, params)):
            self._bypass("parameter without identity", result_type)
            return None
        if any(isinstance(p, str) and may_mean_now(p) for p in params):
            # Cast to a time it is the time it is; as a mere word it is rare enough.
            self._bypass("parameter that may mean now", result_type)
            return None
        database = database_id(self.connection)
        found = dependencies(self._rows_query, read_text(sql), site, self.connection, database)
        if found.reason:
            self._bypass(found.reason, result_type)
            return None
        if any(not p.is_strict for p in found.policies) and decides_a_write():
            self._bypass(DECIDES, result_type)
            return None
        tier = tier_for(found, options)
        if tier.ttl is None:
            self._bypass("tier never", result_type)
            return None
        # SINGLE drops what MULTI keeps (further rows, columns only there to order by).
        schemas = sorted({p.fingerprint for p in found.policies})
        own = (str(options.ttl), str(options.tier), *options.tags)
        more = (result_type, str(self.col_count), *schemas, *own)
        source = source_id(self.connection)
        digest = query_digest(sql, params, *more)
        tags = (*found.tags, *options.tags)
        return question_on(
            tags,
            tier,
            key=query_key(config().PREFIX, policy.label, policy.fingerprint, source, digest),
            using=self.using,
            label=policy.label,
            pattern=pattern_of(self.query, found.narrowed_by, result_type),
        )

    def _bypass(self, reason: str, result_type: str) -> None:
        model = self.query.model
        if model is None:
            return
        label = (model._meta.concrete_model or model)._meta.label_lower
        pattern = pattern_of(self.query, "", result_type)
        emit(ReadEvent(label, pattern, outcome.BYPASS, reason=reason))
