"""Every state of a connection in which nothing may be cached has a reason of its own."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from django.db.models import sql

from cachepatterns import uncached
from cachepatterns.core.tier import NEVER
from cachepatterns.read.eligibility import why_not_here, why_not_this
from cachepatterns.read.options import DEFAULT, ReadOptions
from cachepatterns.registry import site
from cachepatterns.sqlwatch import watch
from cachepatterns.transactions import CommitHook, PendingWrites, mark_customised
from tests.app.models import Item


class Driver:
    """A driver's connection that tells its isolation level and the state it is in."""

    def __init__(self, isolation: str = "read committed", status: str = "INTRANS") -> None:
        self.isolation = isolation
        self.info = SimpleNamespace(transaction_status=SimpleNamespace(name=status))

    @contextmanager
    def cursor(self):
        answer = SimpleNamespace(fetchone=lambda: (self.isolation,))
        yield SimpleNamespace(execute=lambda statement: answer)


def connection(vendor="postgresql", name="shop", driver=None, **state):
    usual = {
        "in_atomic_block": False,
        "autocommit": True,
        "needs_rollback": False,
        "run_on_commit": [],
        "atomic_blocks": [],
        "isolation_level": None,
    }
    return SimpleNamespace(
        vendor=vendor,
        alias="default",
        settings_dict={"NAME": name},
        connection=driver or Driver(),
        **(usual | state),
    )


def reason(found, *, alias="default", **policy):
    return why_not_here(found, alias, replace(site.policy_for(Item), **policy))


def atomic(**state):
    return connection(in_atomic_block=True, **state)


HOOK = (set(), print, True)


def written():
    return [(set(), CommitHook(PendingWrites(lambda events, fence: None, None)), True)]


@pytest.mark.parametrize("vendor", ["postgresql", "sqlite", "mysql"])
def test_nothing_speaks_against_an_autocommit_read(vendor):
    assert reason(connection(vendor)) == ""


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: connection("oracle"), "unsupported database"),
        (lambda: connection("sqlite", ":memory:"), "private database"),
        (lambda: connection("sqlite", "file:x?mode=memory&cache=shared"), "private database"),
        (lambda: connection(autocommit=False), "manual transaction"),
        (lambda: atomic(), ""),
        (lambda: atomic(driver=Driver("read uncommitted")), ""),
        (lambda: atomic(driver=Driver("repeatable read")), "snapshot transaction"),
        (lambda: atomic(driver=Driver("serializable")), "snapshot transaction"),
        (lambda: atomic(vendor="sqlite"), "snapshot transaction"),
        (lambda: atomic(vendor="mysql"), "snapshot transaction"),
        (
            lambda: atomic(vendor="mysql", isolation_level="repeatable read"),
            "snapshot transaction",
        ),
        (lambda: atomic(vendor="mysql", isolation_level="read committed"), ""),
        (lambda: atomic(run_on_commit=written()), "transaction has written"),
        (
            lambda: atomic(run_on_commit=[(set(), print, True), *written()]),
            "transaction has written",
        ),
        (lambda: atomic(run_on_commit=[HOOK]), ""),
        (lambda: atomic(needs_rollback=True), "broken transaction"),
        (lambda: atomic(driver=Driver(status="INERROR")), "broken transaction"),
    ],
)
def test_the_state_of_the_connection_decides(found, expected):
    assert reason(found()) == expected


def test_a_policy_names_its_databases_and_its_tier():
    assert reason(connection(), alias="replica") == "other database"
    assert reason(connection(), databases=frozenset({"other"})) == "other database"
    assert reason(connection(), tier=NEVER) == "tier never"


def test_the_user_switches_the_cache_off(settings):
    with uncached():
        assert reason(connection()) == "uncached block"
        with uncached():
            pass
        assert reason(connection()) == "uncached block"
    assert reason(connection()) == ""
    settings.CACHEPATTERNS = {"ENABLED": False}
    assert reason(connection()) == "disabled"


def test_a_session_that_sees_other_things_keeps_to_its_database_until_it_is_replaced():
    found = connection()
    mark_customised(found)
    assert reason(found) == "session state"
    found.connection = Driver()
    assert reason(found) == ""


def test_a_pool_hands_a_session_on_as_it_is():
    """What the next thread reads by it is not what others should be given."""
    found, next_one = connection(), connection()
    mark_customised(found)
    next_one.connection, found.connection = found.connection, None
    assert reason(next_one) == "session state"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "session state"),
        ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "session state"),
        ("SET @@transaction_isolation = 'serializable'", "session state"),
        ("SET innodb_lock_wait_timeout = 1", "session state"),
        ("SET foreign_key_checks = 0", ""),
        # What Django says whenever it connects.
        ("SET SQL_AUTO_IS_NULL = 0; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", ""),
        ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", ""),
        ("SET SQL_AUTO_IS_NULL = 0; SET sql_mode = 'ANSI'", "session state"),
    ],
)
def test_what_mariadb_keeps_for_the_next_transaction(statement, expected):
    found = connection("mysql", isolation_level="read committed")
    watch(lambda *args: None, statement, None, False, {"connection": found})
    assert reason(found) == expected
    found.in_atomic_block = True
    assert reason(found) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda query: None, ""),
        (lambda query: setattr(query, "select_for_update", True), "select_for_update"),
        (lambda query: setattr(query, "explain_info", object()), "explain"),
    ],
)
def test_the_query_itself_may_be_no_question_for_a_cache(change, expected):
    query = sql.Query(Item)
    change(query)
    assert why_not_this(query, DEFAULT) == expected


def test_the_caller_may_ask_for_the_database():
    assert why_not_this(sql.Query(Item), ReadOptions(enabled=False)) == "uncached()"
