"""Whichever way a row is written: each cached read then answers as the database does.

In autocommit, in a transaction that commits and in one that is rolled back. Entries that the
write does not concern survive, where the database can tell, and nobody's write costs a
statement more than Django's own.
"""

import pytest
from django.db import connections, transaction

from cachepatterns import uncached
from cachepatterns.write.fence import settle
from tests.events import seen
from tests.write_paths.conftest import DATABASES
from tests.write_paths.paths import ROWS, Writer
from tests.write_paths.world import READS, plain, restore

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=DATABASES),
    pytest.mark.usefixtures("world"),
]


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
        if all(event.outcome == "hit" for event in events.reads):
            hits.add(name)
    return found, hits


def autocommit(write, using):
    write(Writer(using))


def committed(write, using):
    with transaction.atomic(using):
        write(Writer(using))


def rolled_back(write, using):
    with transaction.atomic(using):
        write(Writer(using))
        transaction.set_rollback(True, using)


WAYS = {"default": (autocommit, committed), "sqlite": (autocommit,)}
EACH = [
    pytest.param(path, using, id=f"{name}-{using}")
    for name, path in ROWS.items()
    for using in DATABASES
    if connections[using].vendor in path.vendors
]


@pytest.mark.parametrize("using", DATABASES)
@pytest.mark.parametrize("group", READS)
def test_every_read_is_answered_from_the_cache_the_second_time(group, using):
    restore(group, using)
    first, _hits = answers(group, using)
    assert answers(group, using) == (first, set(READS[group]))
    assert first == truth(group, using)


@pytest.mark.parametrize(("path", "using"), EACH)
def test_after_a_write_every_read_answers_as_the_database_does(path, using):
    before = start(path.group, using)
    rolled_back(path.write, using)
    settle()
    assert differing(answers(path.group, using)[0], before) == {}
    for how in WAYS[using]:
        how(path.write, using)
        found, now = answers(path.group, using)[0], truth(path.group, using)
        assert differing(found, now) == {}
        assert now != before, "the path writes nothing that is read"
        if how is not WAYS[using][-1]:
            start(path.group, using)


def start(group, using):
    """The rows as they were, and everything in the cache."""
    restore(group, using)
    return answers(group, using)[0]


def differing(found, expected):
    return {
        name: {"cache": answer, "database": expected[name]}
        for name, answer in found.items()
        if answer != expected[name]
    }
