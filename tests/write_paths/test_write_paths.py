"""Whichever way a row is written: each cached read then answers as the database does.

In autocommit, in a transaction that commits and in one that is rolled back. Entries that the
write does not concern survive, where the database can tell, and nobody's write costs a
statement more than Django's own.
"""

from contextlib import ExitStack, contextmanager

import pytest
from django.db import connections, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from cachepatterns import uncached
from cachepatterns.models import InvalidationEvent
from cachepatterns.registry import site
from cachepatterns.write.fence import settle
from tests.events import seen
from tests.write_paths.conftest import DATABASES
from tests.write_paths.paths import DELETE, INSERT, ROWS, UPDATE, UPSERT, Writer
from tests.write_paths.world import READS, plain, restore

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=DATABASES),
    pytest.mark.usefixtures("world"),
]


# -- reading --------------------------------------------------------------------------------


def truth(group, using):
    """What the database answers, read by read."""
    with uncached():
        return {
            name: read(lambda model: plain(model, using)) for name, read in READS[group].items()
        }


def answers(group, using):
    """What the cache answers, and which reads it answered without the database."""
    found, hits = {}, set()
    for name, read in READS[group].items():
        with seen() as events:
            found[name] = read(lambda model: model.objects.using(using))
        if all(event.outcome in {"hit", "negative"} for event in events.reads):
            hits.add(name)
    return found, hits


def differing(found, expected):
    return {
        name: {"cache": answer, "database": expected[name]}
        for name, answer in found.items()
        if answer != expected[name]
    }


def start(group, using):
    """The rows as they were, and everything in the cache."""
    restore(group, using)
    settle()
    return answers(group, using)[0]


def can_count_on_hits(using):
    """No driver for MariaDB tells that a transaction was rolled back: what was registered for it
    is not released, and keeps readers away until it expires."""
    return connections[using].vendor != "mysql"


@pytest.mark.parametrize("using", DATABASES)
@pytest.mark.parametrize("group", READS)
def test_every_read_is_answered_from_the_cache_the_second_time(group, using, empty_cache):
    first = start(group, using)
    second, hits = answers(group, using)
    assert first == second == truth(group, using)
    if can_count_on_hits(using):
        assert hits == set(READS[group])


# -- writing --------------------------------------------------------------------------------


def autocommit(write, using):
    write(Writer(using))


def committed(write, using):
    with transaction.atomic(using):
        write(Writer(using))


def rolled_back(write, using):
    with transaction.atomic(using):
        answer = write(Writer(using))
        transaction.set_rollback(True, using)
    return answer


WAYS = {"default": (autocommit, committed), "sqlite": (autocommit,)}
EACH = [
    pytest.param(path, using, id=f"{name}-{using}")
    for name, path in ROWS.items()
    for using in DATABASES
    if connections[using].vendor in path.vendors
]


def is_told(path, connection):
    """Whether the database tells row by row what such a write did."""
    kinds = {INSERT, DELETE}
    if connection.vendor == "postgresql":
        kinds.add(UPDATE)
        if connection.pg_version >= 180000:
            kinds.add(UPSERT)
    return path.how <= frozenset().union(*kinds) and connection.vendor != path.untold


@pytest.mark.parametrize(("path", "using"), EACH)
def test_after_a_write_every_read_answers_as_the_database_does(path, using):
    before = start(path.group, using)
    rolled_back(path.write, using)
    settle()
    assert differing(answers(path.group, using)[0], before) == {}
    for way in WAYS[using]:
        with seen() as events:
            way(path.write, using)
        found, hits = answers(path.group, using)
        now = truth(path.group, using)
        assert differing(found, now) == {}
        assert now != before, "the path writes nothing that is read"
        if is_told(path, connections[using]):
            assert not [event for event in events.invalidations if event.coarse]
            if can_count_on_hits(using):
                assert path.spares - hits == set()
        if way is not WAYS[using][-1]:
            start(path.group, using)


# -- what it costs --------------------------------------------------------------------------


@contextmanager
def counted(using):
    """The statements of a block, as they are sent; without the events of an outbox."""
    run = []

    def note(execute, sql, params, many, context):
        if InvalidationEvent._meta.db_table not in str(sql):
            run.append(str(sql))
        return execute(sql, params, many, context)

    with connections[using].execute_wrapper(note):
        yield run


@contextmanager
def nothing_cached(monkeypatch, using):
    """Django as it is alone."""
    with monkeypatch.context() as patch, ExitStack() as stack:
        for signal in (pre_save, post_save, pre_delete, post_delete, m2m_changed):
            patch.setattr(signal, "receivers", [])
            signal.sender_receivers_cache.clear()
            stack.callback(signal.sender_receivers_cache.clear)
        patch.setattr(site, "policy_for", lambda model: None)
        patch.setattr(connections[using], "execute_wrappers", [])
        yield


@pytest.mark.parametrize("path", [p.values[0] for p in EACH if p.values[1] == "default"])
def test_a_write_costs_no_statement_more_than_djangos_own_and_returns_the_same(path, monkeypatch):
    restore(path.group, "default")
    with counted("default") as ours:
        answer = rolled_back(path.write, "default")
    with nothing_cached(monkeypatch, "default"), counted("default") as djangos:
        expected = rolled_back(path.write, "default")
    assert len(ours) == len(djangos), (ours, djangos)
    if isinstance(answer, int) or (isinstance(answer, tuple) and isinstance(answer[0], int)):
        assert answer == expected
