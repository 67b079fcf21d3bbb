"""Stale-if-error: where the database fails, what is past its time is better than an error page.

What must not happen: an error of ours (a statement that is wrong) hides behind an old answer; what
a write has outdated is served; a read that decides a write, or one within a transaction, is.
"""

import os

import pytest
from django.core.exceptions import ValidationError
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)

from cachepatterns.observe import BurstLog
from cachepatterns.read import loading, softly, within
from cachepatterns.read.outage import is_outage
from cachepatterns.registry import site
from tests.app.models import Category, Item
from tests.events import outcome_of, seen
from tests.faults.proxy import Proxy
from tests.soft import clock, tiers, ttls  # noqa: F401

EXPIRED = 910


def listed():
    return [item.price for item in Item.objects.filter(active=True)]


def one():
    return Item.objects.get(sku="s0").price


def many():
    return [i.price for i in Item.objects.in_bulk(["s0", "s1"], field_name="sku").values()]


@pytest.fixture
def away(goods, settings, clock, monkeypatch):  # noqa: F811
    """The database behind a proxy; called, it cuts all connections and refuses new ones."""
    tiers(settings, stale_if_error=600)
    there = connection.settings_dict
    with Proxy(int(there["PORT"])) as proxy:
        connection.close()
        monkeypatch.setitem(there, "HOST", "127.0.0.1")
        monkeypatch.setitem(there, "PORT", str(proxy.port))
        site.forget()  # plans know where they were made for
        for read in (listed, one, many):
            read()
        clock.ahead = EXPIRED
        proxy.clock = clock
        yield proxy
        proxy.heal()
    connection.close()
    monkeypatch.undo()
    site.forget()


@pytest.mark.parametrize("read", [listed, one, many])
def test_what_is_expired_is_served_while_the_database_is_away(away, read, caplog, monkeypatch):
    away.refuse()
    monkeypatch.setattr(softly, "log", BurstLog())
    with seen() as found:
        assert read() is not None
    assert [(e.outcome, e.reason) for e in found.reads] == [("stale", "database failed")]
    assert "past its time" in caplog.text
    away.heal()
    connection.close_if_unusable_or_obsolete()  # as Django does between requests
    assert outcome_of(read) == "miss"


def test_a_database_that_answers_is_asked(away):
    Item.objects.filter(sku="s0").update(price=99)
    assert one() == 99


def test_what_a_write_has_outdated_is_not_served(away):
    Item.objects.update(price=99)
    away.refuse()
    with pytest.raises(OperationalError):
        listed()


def test_it_stands_as_long_as_the_tier_says(away):
    assert 1490 < max(ttls()) <= 1500
    away.clock.ahead = 1501
    away.refuse()
    with pytest.raises(OperationalError):
        listed()


def test_what_is_not_expired_needs_no_database(away):
    away.clock.ahead = 0
    away.refuse()
    assert outcome_of(listed) == "hit"


def test_without_a_lease_something_is_served_only_if_the_database_fails(away, settings):
    """While the database is away, no relay can vouch for the outbox."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": True}
    assert outcome_of(listed) == "miss"
    away.refuse()
    assert outcome_of(listed) == "stale"


def test_what_decides_a_write_raises(away):
    away.refuse()
    with pytest.raises(OperationalError):
        Item(sku="s0", name="x", category=Category(pk=1), price=1).validate_unique()


def test_within_a_transaction_it_raises(away):
    answers = []

    def within_one():
        with transaction.atomic():
            list(Category.objects.all())  # it is known what this transaction sees
            away.refuse()
            answers.append(listed())

    with pytest.raises(DatabaseError):
        within_one()
    assert answers == []


def test_no_other_error_is_answered_by_what_is_expired(away, monkeypatch):
    def wrong(*args):
        raise ProgrammingError("no such column")

    monkeypatch.setattr(loading, "why_not_keep", wrong)
    with pytest.raises(ProgrammingError):
        listed()


def test_a_value_that_is_computed_of_it_is_not_kept(away):
    away.refuse()
    with within.computing() as computation:
        assert listed()
    assert computation.unfit == "expired"


def test_who_waits_for_a_load_that_fails_is_served_too(away, monkeypatch):
    """Another thread's load is under way, and comes to nothing."""
    monkeypatch.setattr(loading.flights, "lead", lambda name: None)
    away.refuse()
    assert outcome_of(listed) == "stale"


# -- which errors --------------------------------------------------------------------------------


def of_statement(alias, statement):
    with pytest.raises(DatabaseError) as raised, connections[alias].cursor() as cursor:
        cursor.execute(statement)
    return raised.value


@pytest.mark.django_db(databases=["default", "sqlite"], transaction=True)
def test_a_missing_table_is_no_outage_on_any_database():
    for alias in ("default", "sqlite"):
        assert not is_outage(of_statement(alias, "SELECT * FROM of_no_such_table"))


def test_a_statement_that_times_out_is_one(transactional_db):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 1")
        error = of_statement("default", "SELECT pg_sleep(20)")
        transaction.set_rollback(True)
    assert is_outage(error)


def test_a_locked_sqlite_file_is_one(tmp_path):
    import sqlite3

    path = os.fspath(tmp_path / "locked.db")
    holder, other = sqlite3.connect(path), sqlite3.connect(path, timeout=0)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(sqlite3.OperationalError) as raised:
            other.execute("CREATE TABLE a (b)")
    finally:
        holder.close()
        other.close()
    error = OperationalError(*raised.value.args)
    error.__cause__ = raised.value
    assert is_outage(error)


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (InterfaceError("connection already closed"), True),
        (OperationalError("server closed the connection unexpectedly"), True),
        (OperationalError(2006, "MySQL server has gone away"), True),
        (OperationalError(1205, "Lock wait timeout exceeded"), True),
        (OperationalError(1054, "Unknown column 'a' in 'SELECT'"), False),
        (ProgrammingError("relation does not exist"), False),
        (IntegrityError("duplicate key"), False),
        (ValidationError("no"), False),
        (KeyError("a"), False),
    ],
)
def test_which_errors_are(error, outage):
    assert is_outage(error) is outage
