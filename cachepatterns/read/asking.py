"""Keeping what was asked beside a share of the entries; `core.asked` says why."""

from __future__ import annotations

import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.crypto import constant_time_compare, salted_hmac

from cachepatterns.backends.base import Item
from cachepatterns.conf import config
from cachepatterns.core import asked
from cachepatterns.core.asked import ROWS, Asked
from cachepatterns.core.codec import Row
from cachepatterns.core.key import asked_key
from cachepatterns.exceptions import CorruptEntry, UnstorableValue
from cachepatterns.observe import BurstLog
from cachepatterns.read.statement import Statement, compiled

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


def sent_by(
    load: Callable[[], list[Row]], connection: BaseDatabaseWrapper
) -> tuple[str, Any] | None:
    """What `load` would send; `None` if it sends nothing that is compiled."""
    try:
        with compiling_only(connection):
            load()
    except Compiled as compiled:
        return compiled.sql, compiled.params
    return None


class Noting(ABC):
    """A load that notes the statement that it sends, for the share of the entries beside which
    it is kept: nothing but Django knows how it spells `count()`, `exists()` and `aggregate()`.

    One is made for each read, hits too: so it is told what it needs, and works nothing out.
    """

    __slots__ = ("_sent", "_using")

    _form: str
    """What an entry holds of the answer (`core.asked`)."""
    _ordered: bool
    """Whether its order is told to the last row."""
    _aggregates: tuple[tuple[str, str], ...]

    def __init__(self, using: str) -> None:
        self._using = using
        self._sent: Sequence[tuple[str, Any]] = ()

    @abstractmethod
    def _load(self) -> list[Row]:
        """Ask the database."""

    @abstractmethod
    def _load_by_django(self) -> list[Row]:
        """The same as Django does it, where `_load` may not compile the statement."""

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
        sent = sent_by(self._load_by_django, connections[self._using])
        if sent is None:
            return None
        noted, self._sent = self._sent, (sent,)
        try:
            return self.packed(question)
        finally:
            self._sent = noted

    def of(self, load: Callable[[], list[Row]]) -> Noted:
        """Another load of the same."""
        return Noted(load, self._using, self._form, self._ordered, self._aggregates)

    def as_asked(self, question: Any) -> bytes:
        """As `foretold`; raises `UnstorableValue` where that is not known."""
        known = self.foretold(question)
        if known is None:
            raise UnstorableValue("raw SQL is known when it is sent")
        return known

    def _note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._sent = (*self._sent, (sql, params))
        return execute(sql, params, many, context)


class Noted(Noting):
    """One that calls a function."""

    __slots__ = ("_aggregates", "_form", "_function", "_ordered")

    def __init__(
        self,
        load: Callable[[], list[Row]],
        using: str,
        form: str = ROWS,
        ordered: bool = True,
        aggregates: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(using)
        self._function, self._form, self._ordered = load, form, ordered
        self._aggregates = aggregates

    def _load(self) -> list[Row]:
        return self._function()

    _load_by_django = _load


def question_item(asker: Any, question: Any, ttl: float) -> list[Item]:
    """What to store beside the entry of `question`: mostly nothing. `asker` is a compiler, a
    statement, or what has noted its own."""
    is_noted = isinstance(asker, Noting)
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


def _statement(asker: Any, question: Any) -> Statement:
    return asker if isinstance(asker, Statement) else compiled(asker, question.using)


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


def packed(asker: Any, question: Any) -> bytes:
    """What a compiler, or a statement, was asked; raises `UnstorableValue`."""
    if not isinstance(asker, Statement):
        try:
            asker = compiled(asker, question.using)
        except EmptyResultSet as error:
            raise UnstorableValue("of nothing that can be, nobody is asked") from error
    return asker.as_asked(question)
