"""Reads from the process's own memory: only where it is accepted, and never older than that.

The interleaving that must not happen: another process commits and bumps, this one does not hear
of it, and still answers from memory when the accepted time is over.
"""

import subprocess
import sys
import time
from contextlib import suppress

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import QuerySet

from cachepatterns import invalidate
from cachepatterns.backends.near import NearCache
from cachepatterns.backends.store import Store, current_store, make_backend
from cachepatterns.conf import config
from cachepatterns.core.key import tag_key
from cachepatterns.quarantine import declare_no_writers
from cachepatterns.read import lookup
from cachepatterns.stats.summing import amounts, numbers
from cachepatterns.stats.tally import Tally
from shop.home import BASE_DIR
from tests.app.models import Category, Item, Label
from tests.events import eventually, outcome_of, seen
from tests.policies import policy_of

LOCAL = {"static": {"local": True}}


@pytest.fixture
def local(settings, goods):
    """Categories and labels in a local tier, whose policies accept a minute.

    A machine that is busy for half a second does not lose track of Redis here.
    """
    options = {**settings.CACHES["default"]["OPTIONS"], "SOCKET_TIMEOUT": 60}
    default = {**settings.CACHES["default"], "OPTIONS": options}
    settings.CACHES = {**settings.CACHES, "default": default}
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TIERS": LOCAL}
    with policy_of(Category, accepts_staleness=60.0), policy_of(Label, accepts_staleness=60.0):
        yield goods
    current_store().near.close()


def near(read):
    """`read`, which is answered from memory from now on."""
    eventually(lambda: outcome_of(read) == "near")
    return read


def another_process(sql, *tags):
    """A write that this process is told of by Redis only."""
    with connection.cursor() as cursor:
        cursor.cursor.execute(sql)
    Store(make_backend("default")).bump([tag_key(config().PREFIX, tag) for tag in tags])


def tags_of(model):
    """The stamps that stand, of one model."""
    client = current_store().backend._client()
    found = client.scan_iter(f"*:tag:{model._meta.label_lower}@*")
    return [key.decode().split(":tag:")[1] for key in found]


READS = {
    "a row": lambda: Category.objects.get(slug="a"),
    "a list": lambda: list(Category.objects.filter(slug__startswith="a")),
    "a compiled query": lambda: list(Category.objects.filter(slug__regex="a").values_list("slug")),
    "a count": lambda: Category.objects.count(),
    "whether there is one": lambda: Category.objects.filter(slug="a").exists(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_third_time_memory_answers_and_says_the_same(local, read):
    first = read()
    assert outcome_of(read) == "hit"
    near(read)
    assert read() == first


def test_what_the_caller_does_to_it_is_not_remembered(local):
    read = near(lambda: Category.objects.get(slug="a"))
    read().name = "spoilt"
    assert (read().name, outcome_of(read)) == ("a", "near")


def test_ones_own_writes_are_seen_at_once(local):
    read = near(lambda: Category.objects.get(slug="a"))
    Category.objects.filter(slug="a").update(name="new")
    assert read().name == "new"
    near(read)
    with transaction.atomic():
        Category.objects.filter(slug="a").update(name="newer")
    assert read().name == "newer"
    with policy_of(Category, consistency="eventual", accepts_staleness=60.0):
        near(read)
        Category.objects.filter(slug="a").update(name="newest")
        assert read().name == "newest"


def rename(name):
    Category.objects.filter(slug="a").update(name=name)


def rename_in_a_transaction(name):
    with transaction.atomic():
        rename(name)


def rename_past_django(name):
    with connection.cursor() as cursor:
        cursor.cursor.execute("UPDATE app_category SET name = %s WHERE slug = 'a'", [name])
    invalidate(QuerySet(Category).get(slug="a"))


OWN_WRITES = {
    "a statement": rename,
    "a transaction": rename_in_a_transaction,
    "told by hand": rename_past_django,
}


@pytest.mark.parametrize("write", OWN_WRITES.values(), ids=OWN_WRITES)
@pytest.mark.parametrize("consistency", ["strict", "eventual"])
def test_ones_own_writes_need_not_be_heard_of(local, monkeypatch, consistency, write):
    """The interleaving that must not happen: the thread that hears of changes gets no turn; this
    process writes, and goes on to answer from memory what it has just replaced."""
    with policy_of(Category, consistency=consistency, accepts_staleness=60.0):
        read = near(lambda: Category.objects.get(slug="a").name)
        monkeypatch.setattr(current_store().near._tracking, "_changed", lambda keys: None)
        write("new")
        assert read() == "new"


def test_others_writes_are_heard_of(local):
    read = near(lambda: Category.objects.get(slug="a").name)
    another_process("UPDATE app_category SET name = 'new'", *tags_of(Category))
    eventually(lambda: read() == "new")


def test_what_is_missed_of_the_model_leaves_it_there(local):
    """That a stamp may live longer now is told as any change of it is: not with every miss."""
    Category.objects.get(slug="b")
    for name in "abc":  # the first of a process prolongs what it rests on
        list(Category.objects.filter(name=name))
    read = near(lambda: Category.objects.get(slug="a"))
    tracking = current_store().near._tracking
    for miss in (
        lambda: list(Category.objects.filter(name="d")),
        lambda: list(Category.objects.filter(name="a").order_by("slug")),
        lambda: Category.objects.filter(slug="none").first(),
        lambda: Category.objects.in_bulk(["a", "nor this"], field_name="slug"),
    ):
        with seen() as found:
            miss()
        assert "miss" in found.outcomes
        missed = time.monotonic()
        eventually(lambda: tracking.confirmed_at > missed)  # noqa: B023
        assert outcome_of(read) == "near"


def test_memory_answers_nobody_who_has_not_accepted_it(settings, goods):
    def read():
        return Category.objects.get(slug="a")

    assert [outcome_of(read) for _ in range(4)] == ["miss", "hit", "hit", "hit"]
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TIERS": LOCAL}
    assert {outcome_of(read) for _ in range(4)} == {"hit"}
    assert not current_store().near.is_used


def test_nor_a_query_of_several_models_one_of_which_has_not(local):
    def read():
        return [item.category.name for item in Item.objects.select_related("category")]

    read()
    assert {outcome_of(read) for _ in range(5)} == {"hit"}


def test_nor_somebody_who_is_about_to_write(local):
    """Memory says that there is such a label, the database says that there is none."""
    Label.objects.create(name="new")
    read = near(lambda: Label.objects.filter(name="new").exists())
    with connection.cursor() as cursor:
        cursor.cursor.execute("DELETE FROM app_label")
    assert outcome_of(read) == "near"
    with seen() as found, suppress(ValidationError):  # strictly, Redis may be believed
        Label(name="new").full_clean()
    assert found.outcomes
    assert "near" not in found.outcomes


def test_nor_a_transaction_that_has_written(local):
    read = near(lambda: Category.objects.get(slug="a").name)
    with transaction.atomic():
        Category.objects.filter(slug="b").update(name="x")
        with connection.cursor() as cursor:
            cursor.cursor.execute("UPDATE app_category SET name = 'mine' WHERE slug = 'a'")
        assert read() == "mine"


def test_a_lease_that_ends_is_noticed_within_what_is_accepted(settings, goods):
    """Nobody bumps, and no relay vouches any more: memory must not outlive the lease."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TIERS": LOCAL, "OUTBOX": True}
    with policy_of(Category, accepts_staleness=0.5):
        declare_no_writers()
        call_command("relay_invalidations", "--once", verbosity=0)

        def read():
            return Category.objects.get(slug="a").name

        near(read)
        with connection.cursor() as cursor:
            cursor.cursor.execute("UPDATE app_category SET name = 'new' WHERE slug = 'a'")
        client = current_store().backend._client()
        client.delete(*client.keys("*:lease:*"))
        ended = time.monotonic()
        while read() == "a":
            began = time.monotonic()
            assert began - ended < 20
        assert outcome_of(read) == "miss"
    current_store().near.close()


def test_nor_is_it_kept_for_longer_by_a_reader_who_was_held_up(settings, goods, monkeypatch):
    """What was accepted is over before what Redis has said is put into memory."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TIERS": LOCAL, "OUTBOX": True}
    kept, put, unpack = [], NearCache.put, lookup.unpack
    monkeypatch.setattr(NearCache, "put", lambda *args: kept.append(args[-1]) or put(*args))
    monkeypatch.setattr(lookup, "unpack", lambda found: time.sleep(0.5) or unpack(found))

    def read():
        call_command("relay_invalidations", "--once", verbosity=0)
        return Category.objects.get(slug="a")

    with policy_of(Category, accepts_staleness=5.0):
        declare_no_writers()
        eventually(lambda: read() and kept)
    assert max(kept) <= 4.5
    current_store().near.close()


WRITER = """
import sys, time, django
django.setup()
from tests.app.models import Category
from tests.app import caching
Category.objects.count()
for number in range(1, int(sys.argv[1]) + 1):
    Category.objects.filter(slug="a").update(name=str(number))
    print(number, time.monotonic(), flush=True)
    time.sleep(0.002)
"""


def test_racing_a_writer_nothing_older_than_accepted_is_ever_read(settings, goods):
    accepted, writes = 0.25, 300
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TIERS": LOCAL}
    Category.objects.filter(slug="a").update(name="0")
    env_db = connection.settings_dict["NAME"]
    script = (
        "import django.conf\n"
        f"django.conf.settings.DATABASES['default']['NAME'] = {env_db!r}\n{WRITER}"
    )
    reads = []
    with (
        policy_of(Category, accepts_staleness=accepted),
        subprocess.Popen(
            [sys.executable, "-c", script, str(writes)],
            cwd=BASE_DIR,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer,
        seen() as found,
    ):
        while writer.poll() is None:
            began = time.monotonic()
            reads.append((began, int(Category.objects.get(slug="a").name)))
            if len(reads) % 50 == 0:
                time.sleep(0.001)
        written = [line.split() for line in writer.stdout]
    current_store().near.close()
    assert len(written) == writes
    committed = [(0.0, 0), *((float(at), int(number)) for number, at in written)]
    position = 0
    for began, value in reads:
        while position + 1 < len(committed) and committed[position + 1][0] <= began - accepted:
            position += 1
        assert value >= committed[position][1]
    assert found.outcomes.count("near") > writes


def test_it_is_counted_as_a_hit_of_its_own(local):
    read = near(lambda: Category.objects.get(slug="a"))
    with seen() as found:
        read()
    tally = Tally()
    for event in found.events:
        tally.add(event)
    sums = numbers(amounts(tally.written()))
    assert (sums.near, sums.hits, sums.hit_rate) == (1, 1, 1.0)
