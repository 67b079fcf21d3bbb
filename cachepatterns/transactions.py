"""What is known of the transaction a connection is in: ground for both journeys.

The state of a transaction lives *in the connection's own list of commit hooks*. Django
drops that list at a rollback, at a close, at a failed connect, and runs it after the
outermost commit, so the state can neither outlive its transaction nor leak into the
next one, however it ends. It stands first in the list: hooks of the user's own, also
those registered earlier, run after it and see fresh data.

But not within a `TestCase`, whose transaction nobody commits: there it would be among the hooks
that `captureOnCommitCallbacks` counts and runs, and outlive the test. It is held by the block that
the `TestCase` has put around the test, until that is left.

Longer than most: whose transaction it is, whose session and which database are asked of one
connection, by both journeys, and mostly together.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any
from weakref import ref

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.observe import InvalidationEvent
from cachepatterns.replicas import primary_alias, primary_of

Deliver = Callable[[list[InvalidationEvent], Any], None]


class PendingWrites:
    """The writes of one transaction, delivered after its COMMIT."""

    def __init__(self, deliver: Deliver, driver: Any) -> None:
        self._deliver = deliver
        self._driver = driver
        self.events: list[InvalidationEvent] = []
        self.fence: Any = None
        """The transaction's registration (`write.fence.Fence`)."""
        self.recorded: set[str] = set()
        """The tags that stand in the outbox; forgotten where a savepoint may take them back."""

    def __call__(self) -> None:
        events, self.events = self.events, []
        fence, self.fence = self.fence, None
        if events or fence is not None:  # one may have been registered ahead, and not written
            self._deliver(events, fence)

    def drop(self) -> None:
        """The transaction has ended, but not by a COMMIT that was acknowledged."""
        fence, self.fence = self.fence, None
        if fence is not None:
            fence.abandon(is_over=_is_over(self._driver))


class CommitHook:
    """What stands in Django's list: called after the COMMIT, dropped uncalled otherwise.

    Nothing else may hold it. An error keeps the frames that it passed, and Django may keep the
    error with the connection (`rollback_exc`); so frames hold the `PendingWrites` only, and
    the end of the transaction is not missed.

    Registered without savepoint ids, so that the rollback of a savepoint does not drop
    it: what was written before the savepoint counts, and bumping too much only costs
    misses.
    """

    def __init__(self, writes: PendingWrites) -> None:
        self.writes = writes

    def __call__(self) -> None:
        self.writes()

    def __del__(self) -> None:
        # After a rollback, or with a connection that died.
        self.writes.drop()


def pending_writes(connection: BaseDatabaseWrapper) -> PendingWrites | None:
    """What the transaction that `connection` is in has written, or `None` if nothing."""
    found = None
    for hook in connection.run_on_commit:
        if isinstance(hook[1], CommitHook):
            found = hook[1]
            break
    else:
        for block in _testcase_blocks(connection):
            found = found or vars(block).get(_HOOK)
    if found is None:
        return None
    if connection.in_atomic_block and not in_atomic(connection):
        _testcase_commits(connection)
        return None
    return found.writes


_HOOK = "_cachepatterns_hook"
"""The attribute of a `TestCase`'s block that holds what else is the connection's."""


def _testcase_blocks(connection: BaseDatabaseWrapper) -> Sequence[Any]:
    """The blocks that a `TestCase` has put around a test: of the class, and of the test."""
    blocks: Sequence[Any] = connection.atomic_blocks
    if not blocks or not getattr(blocks[0], "_from_testcase", False):
        return ()
    return [block for block in blocks if getattr(block, "_from_testcase", False)]


def _hold(block: Any, hook: CommitHook) -> None:
    """Until the block is left: `TestCase` calls its `__exit__` by name."""
    vars(block)[_HOOK] = hook
    if "__exit__" in vars(block):
        return
    leave = block.__exit__

    def left(*error: Any) -> Any:
        try:
            return leave(*error)
        finally:
            vars(block).pop(_HOOK, None)
            vars(block).pop("__exit__", None)

    block.__exit__ = left


ignores_testcase = False
"""Whether the transaction that a ``TestCase`` wraps around each test counts for none: what is
written outside of the test's own atomic blocks counts as committed at once, and what is written
within them once they have ended. Set by `cachepatterns.testing` alone."""


def in_atomic(connection: BaseDatabaseWrapper) -> bool:
    """Whether `connection` is in an atomic block that somebody will commit."""
    if not ignores_testcase or not connection.in_atomic_block:
        return connection.in_atomic_block
    return not all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _testcase_commits(connection: BaseDatabaseWrapper) -> None:
    """An atomic block within a test's transaction has ended. Nobody tells how: if by a rollback,
    what is bumped now costs misses."""
    _call_hooks(connection)


def begin_writes(connection: BaseDatabaseWrapper, deliver: Deliver) -> PendingWrites:
    """The pending writes of the transaction, made at its first write."""
    pending = pending_writes(connection)
    if pending is None:
        pending = PendingWrites(deliver, connection.connection)
        around = _testcase_blocks(connection)
        if around:
            _hold(around[-1], CommitHook(pending))
        else:
            hooks: list[Any] = connection.run_on_commit
            hooks.insert(0, (set(), CommitHook(pending), True))
    return pending


def _is_over(driver: Any) -> bool:
    """Whether the transaction that was on the driver's connection has certainly ended."""
    try:
        return is_idle(driver) is True
    except Exception:
        return False


def is_idle(driver: Any) -> bool | None:
    """Whether the driver's connection lives and is in no transaction; `None` if not known.

    Not what Django believes: ``BEGIN`` may have been sent by hand.
    """
    pgconn = getattr(driver, "pgconn", None)
    if pgconn is not None:  # psycopg
        # Of a connection that is closed or broken libpq says that it is not known.
        return _IS_IDLE.get(pgconn.transaction_status)
    inside = getattr(driver, "in_transaction", None)  # sqlite3
    return None if inside is None else not inside


_IDLE, _IN_TRANSACTION, _IN_ERROR, _UNKNOWN = 0, 2, 3, 4  # libpq's PGTransactionStatusType
_IS_IDLE = {_IDLE: True, _IN_TRANSACTION: False, _IN_ERROR: False}


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether a statement on `connection` now would not commit by itself."""
    if connection.in_atomic_block:
        return in_atomic(connection)
    if connection.connection is None:  # before the first statement connects
        return not connection.settings_dict["AUTOCOMMIT"]
    return not connection.autocommit or is_idle(connection.connection) is False


def in_manual_mode(connection: BaseDatabaseWrapper) -> bool:
    """Whether the user commits by hand, where Django tells nobody."""
    if connection.connection is None or connection.in_atomic_block:
        return False
    return not connection.autocommit or is_idle(connection.connection) is False


def begin_now(connection: BaseDatabaseWrapper) -> None:
    """Have the BEGIN sent that psycopg keeps back until a transaction's first statement.

    Who registers before he has sent any (`announces`) must be ended by `transaction_timeout`
    before his registration expires, so it has to count from earlier. An empty statement takes no
    snapshot: SET TRANSACTION may follow.
    """
    driver = connection.connection
    if hasattr(driver, "pgconn") and is_idle(driver):
        with connection.wrap_database_errors:
            driver.execute("")


def is_undone(connection: BaseDatabaseWrapper) -> bool:
    """Whether nothing that the transaction has written can be committed any more.

    To a savepoint or altogether: the database or Django accepts no statement before that.
    """
    if connection.in_atomic_block and connection.needs_rollback:
        return True
    driver = connection.connection
    if driver is None or hasattr(driver, "in_transaction"):
        return False
    pgconn = getattr(driver, "pgconn", None)
    return pgconn is not None and int(pgconn.transaction_status) in {_IN_ERROR, _UNKNOWN}


def doom(connection: BaseDatabaseWrapper) -> None:
    """Nothing of the transaction may be committed, as after an error of the database: to a
    savepoint or altogether. By hand only PostgreSQL can be told so."""
    if connection.in_atomic_block:
        connection.needs_rollback = True
    elif in_manual_mode(connection) and hasattr(connection.connection, "pgconn"):
        with contextlib.suppress(Exception):  # which is what it is for
            connection.connection.execute("DO $$ BEGIN RAISE 'refused by cachepatterns'; END $$")


def savepoint_ended(connection: BaseDatabaseWrapper) -> None:
    """A ROLLBACK may have taken back events that were recorded since a savepoint."""
    pending = pending_writes(connection)
    if pending is not None:
        pending.recorded.clear()


def raw_transaction_ended(connection: BaseDatabaseWrapper) -> None:
    """A COMMIT or ROLLBACK was sent by hand: deliver what the transaction has written."""
    if connection.in_atomic_block or not connection.autocommit:
        return  # Django ends this one, or hears of its end
    if pending_writes(connection) is not None and is_idle(connection.connection):
        _call_hooks(connection)


def _call_hooks(connection: BaseDatabaseWrapper) -> None:
    """Deliver what was written, as Django would after a COMMIT."""
    hooks: list[Any] = connection.run_on_commit
    mine = [hook[1] for hook in hooks if isinstance(hook[1], CommitHook)]  # not dropped yet
    hooks[:] = [hook for hook in hooks if not isinstance(hook[1], CommitHook)]
    for block in _testcase_blocks(connection):
        held = vars(block).pop(_HOOK, None)
        mine += [] if held is None else [held]
    for hook in mine:
        hook()


# -- connections whose session was changed -------------------------------------------------

_CUSTOMISED = "_cachepatterns_customised"
"""The attribute of a driver's connection whose session was changed. Where that can have none, of
Django's, which refers to it."""


def mark_customised(connection: BaseDatabaseWrapper) -> None:
    """Remember that a statement changed what this session sees (search_path, role, …).

    Forgotten when the driver's connection is replaced.
    """
    known, driver = vars(connection), connection.connection
    if hasattr(driver, "__dict__"):
        # A pool hands it on as it is: who has it next, in another thread, sees the same.
        vars(driver)[_CUSTOMISED] = True
        return
    mark: Any = True  # where the driver's can not be referred to: for good
    if driver is not None and known.get(_CUSTOMISED) is not True:
        with contextlib.suppress(TypeError):
            mark = ref(driver)
    known[_CUSTOMISED] = mark


def is_customised(connection: BaseDatabaseWrapper) -> bool:
    driver = connection.connection
    if _CUSTOMISED in getattr(driver, "__dict__", ()):
        return True
    mark = vars(connection).get(_CUSTOMISED)
    if mark is None or mark is True:
        return mark is True
    return driver is not None and mark() is driver


# -- which database -------------------------------------------------------------------------


def database_id(connection: BaseDatabaseWrapper) -> str:
    """Names the database in tags and guards: by its own name alone.

    One database may be reached by many addresses (another spelling of the host, a pooler's
    port, another user), and what is written through one must invalidate what was read
    through the other. Two databases of one name cost each other misses, and are vouched for
    together (`write.delivery`). A replica is its primary.
    """
    name = str(primary_of(connection).settings_dict["NAME"])
    if connection.vendor == "sqlite" and not name.startswith("file:"):
        name = os.path.realpath(name)
    return _database_id(connection.vendor, name)


def place_of(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    """Where a connection leads by its settings: test runners, and sites that switch tenants,
    change them under a connection. The rest of `source_id` is what its session is like, which a
    connection that is open has been told already."""
    return _place(connection.settings_dict)


_place: Callable[[Any], tuple[str, ...]] = itemgetter("NAME", "HOST", "PORT", "USER")


def aliases_by_database(aliases: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`aliases` by the `database_id` of what they lead to, primaries in place of replicas.

    Those of one id may be one database or several of one name.
    """
    found: dict[str, tuple[str, ...]] = {}
    for alias in sorted({primary_alias(alias) for alias in aliases}):
        if alias in connections:
            database = database_id(connections[alias])
            found[database] = (*found.get(database, ()), alias)
    return found


def source_id(connection: BaseDatabaseWrapper) -> str:
    """Names what an entry was read from, in its key: nothing is shared by two sources that
    might answer differently (another server, schema, role or time zone). A replica stands for
    its primary: where they are asked as the same user, each may answer for the other."""
    place, session = primary_of(connection).settings_dict, connection.settings_dict
    options = session.get("OPTIONS") or {}
    parts = [str(place.get(key)) for key in ("HOST", "PORT", "NAME")]
    parts += [str(session.get("USER")), connection.timezone_name]
    parts += [str(options.get(key, "")) for key in _TELLING_OPTIONS]
    return _database_id(connection.vendor, *parts)


_TELLING_OPTIONS = ("options", "service", "assume_role", "read_default_file", "init_command")
"""The connection options that say where to connect, or as whom, or what the session is like."""


@lru_cache(maxsize=256)
def _database_id(*parts: str) -> str:
    return blake2b("\n".join(parts).encode(), digest_size=4).hexdigest()
