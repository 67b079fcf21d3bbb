"""Registering ahead: in autocommit, while Django still compiles the statement.

A statement in autocommit commits with its own end, so its model's guard must have been closed when
it is sent. For that Redis is told as soon as one of Django's compilers is asked to execute an
UPDATE, and its answer waited for when the text is complete: by then it is there. The execute
wrapper, which sees the statement itself, takes the registration over. What never gets that far (an
error of Django's, a condition that no row can meet) is released at once.

This only ever spares time. A statement that comes otherwise is registered by the wrapper alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLUpdateCompiler

from cachepatterns.conf import config
from cachepatterns.exceptions import WriteRefused
from cachepatterns.observe import BurstLog
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site
from cachepatterns.transactions import database_id, in_transaction
from cachepatterns.write import outbox
from cachepatterns.write.accounting import is_accounted
from cachepatterns.write.changes import closing_tags, tells_its_table
from cachepatterns.write.concerns import ByQuery, Concerned
from cachepatterns.write.fence import Fence
from cachepatterns.write.wholesale import wholesale

if TYPE_CHECKING:
    _Base: Any = SQLUpdateCompiler
else:
    _Base = object

log = BurstLog()

_AHEAD = "_cachepatterns_ahead"
"""The attribute of a connection that holds the registration, and the query that it is for."""


def install(*, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Receiver of ``connection_created``: have its UPDATEs registered ahead. Once a connection."""
    ops: Any = connection.ops
    if "compiler" not in vars(ops):
        ops.compiler = _Compilers(ops.compiler)


class _Compilers:
    """The compilers of a connection, by their names, as its `ops` gives them."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def __call__(self, compiler_name: str) -> Any:
        base = self._given(compiler_name)
        return _registering(base) if issubclass(base, SQLUpdateCompiler) else base


@cache
def _registering(base: type[SQLUpdateCompiler]) -> type[SQLUpdateCompiler]:
    return type(base.__name__, (RegisteringMixin, base), {"__module__": base.__module__})


class RegisteringMixin(_Base):
    """Registers what an UPDATE may touch before it is compiled."""

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        return _ahead(self, super().execute_sql, args, kwargs)

    def execute_returning_sql(self, *args: Any, **kwargs: Any) -> Any:  # Django 6.0
        return _ahead(self, super().execute_returning_sql, args, kwargs)


def _ahead(compiler: Any, execute: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    connection, query = compiler.connection, compiler.query
    if not _begin(connection, query):
        return execute(*args, **kwargs)
    try:
        return execute(*args, **kwargs)
    finally:
        fence = registered_ahead(connection, query)
        if fence is not None:
            fence.release(())


def registered_ahead(connection: BaseDatabaseWrapper, query: Any) -> Fence | None:
    """Takes over what was registered for `query`, if anything was."""
    fence, made_for = vars(connection).get(_AHEAD) or (None, None)
    if made_for is not query:
        return None
    vars(connection)[_AHEAD] = None
    return fence


def _begin(connection: BaseDatabaseWrapper, query: Any) -> bool:
    """Begins to register what `query`, an UPDATE, may touch; not where the execute wrapper will
    not want that, and once where one of Django's methods calls the other."""
    if vars(connection).get(_AHEAD) is not None or connection.vendor != "postgresql":
        return False
    if in_transaction(connection) or not config().SHORTCUTS:
        return False
    policy = _policy(query)
    if policy is None or is_accounted() or wholesale() is not None:
        return False
    database = database_id(connection)
    concerned = ByQuery(query, policy, connection, database)
    fence = registering(connection, policy, database, concerned)
    if fence is None:
        return False
    vars(connection)[_AHEAD] = fence, query
    return True


def registering(
    connection: BaseDatabaseWrapper, policy: ResolvedPolicy, database: str, concerned: Concerned
) -> Fence | None:
    """A registration, on its way, of what a statement in autocommit may touch; `None` where its
    event is recorded in a transaction of its own, or it can not be registered now.

    Raises `WriteRefused` if that is the policy."""
    if outbox.is_on(connection):
        return None
    try:
        fence = Fence()
        closed, rows = closing_tags(policy, database), concerned.rows()
        fence.add_everything(closed, rows, staying=concerned.staying(), ahead=True)
    except WriteRefused:
        raise
    except Exception:
        log.log("cachepatterns could not register an UPDATE ahead", exc_info=True)
        return None
    return fence


def _policy(query: Any) -> ResolvedPolicy | None:
    """That of the model, if the execute wrapper will close all of its guard for the UPDATE."""
    model = query.model
    policy = site.policy_for(model) if model is not None else None
    if policy is None or not policy.is_strict or policy.policy.ignores:
        return None
    is_alone = query.values and not query.related_updates
    return policy if is_alone and tells_its_table(model) else None
