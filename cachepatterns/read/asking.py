"""Keeping what was asked beside a share of the entries; `core.asked` says why."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.constants import SINGLE
from django.utils.crypto import constant_time_compare, salted_hmac

from cachepatterns.backends.base import Item
from cachepatterns.conf import config
from cachepatterns.core import asked
from cachepatterns.core.asked import ROWS, Asked
from cachepatterns.core.codec import Row
from cachepatterns.core.key import asked_key
from cachepatterns.exceptions import CorruptEntry, UnstorableValue
from cachepatterns.observe import BurstLog

log = BurstLog()

_SIGNATURE_BYTES = 32


class Compiled(Exception):
    """A statement, instead of its answer."""

    def __init__(self, sql: str, params: Any) -> None:
        super().__init__(sql)
        self.sql, self.params = sql, params


class _Telling:
    """A compiler's `execute_sql` that gets no further than the statement."""

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        with contextlib.suppress(EmptyResultSet):
            raise Compiled(*self.as_sql())  # type: ignore[attr-defined]
        # Django finds out too, and asks nobody.
        return super().execute_sql(*args, **kwargs)  # type: ignore[misc]


@cache
def _telling(base: type[Any]) -> type[Any]:
    return type(f"Telling{base.__name__}", (_Telling, base), {})


@contextlib.contextmanager
def compiling_only(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Whatever is asked of `connection` within the block, by this thread, raises `Compiled`."""
    ops: Any = connection.ops
    before, base = vars(ops).get("compiler"), ops.compiler
    ops.compiler = lambda name: _telling(base(name))
    try:
        yield
    finally:
        if before is None:
            vars(ops).pop("compiler", None)
        else:
            ops.compiler = before


class Noted:
    """A load that notes the statement that it sends, for the share of the entries beside which
    it is kept: nothing but Django knows how it spells `count()`, `exists()` and `aggregate()`.
    """

    __slots__ = ("_aggregates", "_form", "_load", "_ordered", "_sent", "_using")

    def __init__(
        self,
        load: Callable[[], list[Row]],
        using: str,
        form: str = ROWS,
        ordered: bool = True,
        aggregates: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._load, self._using = load, using
        self._form, self._ordered, self._aggregates = form, ordered, aggregates
        self._sent: list[tuple[str, Any]] = []

    def __call__(self) -> list[Row]:
        if not _is_chosen():
            return self._load()
        with connections[self._using].execute_wrapper(self._note):
            return self._load()

    @property
    def form(self) -> str:
        return self._form

    @property
    def is_chosen(self) -> bool:
        """Whether there is a statement to be kept, and no other one."""
        return len(self._sent) == 1

    def packed(self, question: Any) -> bytes:
        """Raises `UnstorableValue`."""
        ((sql, params),) = self._sent
        if params is None:
            sql, params = sql.replace("%", "%%"), ()  # then it means nothing to the driver
        names = list(params) if isinstance(params, Mapping) else []
        return asked.pack(
            question.using,
            sql,
            [params[name] for name in names] if names else params,
            stamps=question.stamps,
            guards=question.guards,
            single=self._form not in (asked.ROWS, asked.RAW),
            columns=None,
            ordered=self._ordered,
            form=self._form,
            aggregates=self._aggregates,
            names=names,
        )

    def foretold(self, question: Any) -> bytes | None:
        """As `packed`, of a statement that is not sent: the load is begun, and left where Django
        would send it. `None` for raw SQL, which takes another way."""
        if self._form == asked.RAW:
            return None
        noted, self._sent = self._sent, []
        try:
            with compiling_only(connections[self._using]):
                self._load()
        except Compiled as compiled:
            self._sent.append((compiled.sql, compiled.params))
            return self.packed(question)
        finally:
            self._sent = noted
        return None

    def _note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._sent.append((sql, params))
        return execute(sql, params, many, context)


def question_item(asker: Any, question: Any, ttl: float) -> list[Item]:
    """What to store beside the entry of `question`: mostly nothing. `asker` is a compiler, or
    what has noted its statement."""
    is_noted = isinstance(asker, Noted)
    if asker is None or not (asker.is_chosen if is_noted else _is_chosen()):
        return []
    key = asked_key(question.key)
    try:
        payload = asker.packed(question) if is_noted else packed(asker, question)
        return [(key, signed(key, payload), ttl)]
    except UnstorableValue:
        return []
    except Exception:  # the page has its answer; it must not break for what is kept beside it
        log.log("cachepatterns could not keep what was asked", exc_info=True)
        return []


def _is_chosen() -> bool:
    return random.random() < config().VERIFY_SHARE


def signed_question(key: str, stored: bytes) -> Asked:
    """The question that stands under `key`; raises `CorruptEntry` for what we did not store.

    It holds a statement that will be run: who can write to Redis, but does not know the
    ``SECRET_KEY``, must not have us run one.
    """
    return asked.unpack(verified(key, stored))


def signed(key: str, payload: bytes) -> bytes:
    """What to store under `key`, so that `verified` believes it."""
    return _signature(key, payload) + payload


def verified(key: str, stored: bytes) -> bytes:
    """What `signed` was given; raises `CorruptEntry` for what was stored by anybody else."""
    signature, payload = stored[:_SIGNATURE_BYTES], stored[_SIGNATURE_BYTES:]
    if not constant_time_compare(signature, _signature(key, payload)):
        raise CorruptEntry("a question that is not signed with this SECRET_KEY")
    return payload


def _signature(key: str, payload: bytes) -> bytes:
    told = key.encode() + b"\x00" + payload
    return salted_hmac("cachepatterns.asked", told, algorithm="sha256").digest()


def packed(compiler: Any, question: Any) -> bytes:
    """What a compiler was asked; raises `UnstorableValue`."""
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
        ordered=_is_count(compiler.query) or is_told_to_the_last_row(compiler.query),
    )


def _is_count(query: Any) -> bool:
    """Whether it only asks how many rows there are: which ones makes no difference."""
    return hasattr(query, "inner_query") and list(query.annotation_select) == ["__count"]


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
