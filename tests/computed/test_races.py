"""The interleavings of computed values that must not happen, each forced.

* A value is computed from old rows while a write commits, and stored afterwards.
* What it was made from was not new enough to be kept (a transaction of the function's own that it
  takes back, an open snapshot, the process's own memory), and the value is kept.
* Those who wait for a value wait for each other.
"""

import json
import subprocess
import sys
import threading

import pytest
from django.db import connection, connections, transaction

from cachepatterns import cached, get_or_compute, invalidate
from cachepatterns.backends.store import current_store
from cachepatterns.computed.learning import learnt
from cachepatterns.exceptions import BackendError
from cachepatterns.read import claim, loading
from shop.home import BASE_DIR
from tests.app.models import Category, Item, Label, Secret
from tests.events import eventually, outcome_of, seen
from tests.integration.test_near_reads import local, near
from tests.integration.threads import Gate, running

__all__ = ["local"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture
def gate():
    found = Gate()
    yield found
    found.open.set()


def prices():
    return [item.price for item in Item.objects.uncached()]


def computed_outcomes(found):
    return [read.outcome for read in found.reads if read.label == "computed"]


def test_a_value_of_old_rows_does_not_outlive_the_write_that_came_meanwhile(goods, gate):
    pk = goods[2][0].pk

    @cached(key="value", tags=[Item])
    def value():
        found = prices()
        gate.wait()
        return found

    with running(value) as old:
        assert gate.reached.wait(20)
        Item.objects.filter(pk=pk).update(price=9)
        gate.open.set()
        assert old() == [0, 1, 2, 3]
    assert value() == [9, 1, 2, 3]
    assert outcome_of(value) == "hit"


def test_a_value_that_is_computed_before_a_commit_is_not_kept_after_it(goods, gate):
    """The writer has registered: nothing that is loaded until it ends may be kept."""
    pk = goods[2][0].pk
    value = cached(tags=[Item])(prices)

    def write():
        with transaction.atomic():
            Item.objects.filter(pk=pk).update(price=9)
            gate.wait()

    with running(lambda: [write()]) as written:
        assert gate.reached.wait(20)
        assert value() == [0, 1, 2, 3]
        gate.open.set()
        written()
    assert value() == [9, 1, 2, 3]


def test_a_row_a_value_rests_on_is_as_exact(goods, gate):
    item = goods[2][0]

    @cached(key="{item.pk}")
    def value(item):
        found = Item.objects.uncached().get(pk=item.pk).price
        gate.wait()
        return found

    with running(lambda: value(item)) as old:
        assert gate.reached.wait(20)
        Item.objects.filter(pk=item.pk).update(price=9)
        gate.open.set()
        assert old() == 0
    assert value(item) == 9


def test_what_a_function_reads_through_the_cache_is_no_older(goods):
    """The inner value is dropped by the same write, whoever of the two is asked first."""
    inner = cached(key="inner", tags=[Item])(lambda: [i.price for i in Item.objects.all()])
    outer = cached(key="outer", tags=[Item])(lambda: sum(inner()))
    assert [outer(), outer()] == [6, 6]
    Item.objects.filter(pk=goods[2][0].pk).update(price=9)
    assert [outer(), outer(), sum(inner())] == [15, 15, 15]


def test_one_that_raises_releases_its_waiters_at_once(goods, gate):
    who = threading.local()

    @cached(key="value", tags=[Item])
    def value():
        if getattr(who, "fails", False):
            gate.wait()
            raise LookupError
        return 1

    def failing():
        who.fails = True
        try:
            value()
        except LookupError:
            return "raised"

    with running(failing) as failed:
        assert gate.reached.wait(20)
        with running(value) as waited:
            eventually(lambda: len(loading.flights._waiting) == 1)
            gate.open.set()
            assert failed() == "raised"
            assert waited() == 1
    assert len(loading.flights) == 0
    assert not loading.flights._waiting


def test_threads_that_miss_at_once_compute_once(goods, gate):
    calls = []

    @cached(key="value", tags=[Item])
    def value():
        calls.append(1)
        gate.wait()
        return len(calls)

    with seen() as found, running(value) as first:
        assert gate.reached.wait(20)
        with running(value) as second, running(value) as third:
            eventually(lambda: len(loading.flights._waiting) == 2)
            gate.open.set()
            assert [first(), second(), third()] == [1, 1, 1]
    assert sorted(computed_outcomes(found)) == ["miss", "shared", "shared"]


PROCESS = """
import json, sys
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
settings.CACHEPATTERNS = json.loads(sys.argv[2])
import django
django.setup()
from django.db import connection
from cachepatterns import cached
from cachepatterns.backends.store import current_store
from tests.app.models import Item

@cached(key="who", tags=[Item])
def value():
    print("computes", flush=True)
    sys.stdin.readline()
    return sys.argv[3]

backend = current_store().backend
backend.ping()
claim = backend.claim

def claiming(*args):
    is_mine = claim(*args)
    if not is_mine:
        print("waits", flush=True)
    return is_mine

backend.claim = claiming
value.uncached.__globals__["__name__"] = "somewhere"
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(value()), flush=True)
"""


class Process:
    def __init__(self, settings, name):
        options = {**settings.CACHEPATTERNS, "FLIGHT_TIMEOUT": 60}
        database = connection.settings_dict["NAME"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, database, json.dumps(options), name],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self):
        return self.process.stdout.readline().strip()

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.communicate()


def test_two_processes_compute_once(goods, settings):
    with Process(settings, "one") as one, Process(settings, "two") as two:
        assert [one.says(), two.says()] == ["ready", "ready"]
        one.go()
        assert one.says() == "computes"
        two.go()
        assert two.says() == "waits"
        one.go()
        assert one.says() == '"one"'
        answer = two.says()
        while answer == "waits":
            answer = two.says()
        assert answer == '"one"'


# -- what was not new enough -----------------------------------------------------------------


def reason_after(value):
    """Why the first answer was not kept; the second is computed again."""
    with seen() as found:
        value()
        value()
    first, second = (read for read in found.reads if read.label == "computed")
    assert [first.outcome, second.outcome] == ["miss", "miss"]
    return first.reason


def test_what_a_function_tries_out_and_takes_back_is_kept_for_nobody(goods):
    @cached(key="what if", tags=[Item])
    def what_if():
        with transaction.atomic():
            Item.objects.update(price=100)
            found = prices()
            transaction.set_rollback(True)
        return found

    assert reason_after(what_if) in {"it writes", "writer registered"}


def test_what_a_function_within_another_writes_spoils_both(goods):
    inner = cached(key="inner", tags=[Label])(lambda: Label.objects.get_or_create(name="new")[1])
    outer = cached(key="outer", tags=[Item])(lambda: inner())
    with seen() as found:
        assert [outer(), outer(), outer()] == [True, False, False]
    computed = [r for r in found.reads if r.label == "computed"]
    assert [(r.outcome, r.reason) for r in computed if r.reason] == [
        ("miss", "it writes"), ("miss", "it writes"),
    ]  # fmt: skip
    assert computed[-1].outcome == "hit"


def test_a_snapshot_that_was_open_before_is_not_kept(both_databases):
    a = Category.objects.using("sqlite").create(name="a", slug="a")
    Item.objects.using("sqlite").bulk_create(
        Item(name=f"{n}", sku=f"{n}", category=a, price=n) for n in range(500)
    )
    value = cached(key="value", tags=[Item])(
        lambda: Item.objects.using("sqlite").uncached().count()
    )
    cursor = connections["sqlite"].cursor()
    cursor.execute("SELECT * FROM app_item")
    try:
        cursor.fetchone()
        assert reason_after(value) == "open iterator"
    finally:
        cursor.close()
    value()
    assert outcome_of(value) == "hit"


def test_nothing_is_made_of_what_is_only_in_this_processs_memory(local):
    read = near(lambda: Category.objects.get(slug="a").name)
    with seen() as found:
        assert get_or_compute("a", read, tags=[Category]) == "a"
    assert {r.label: r.outcome for r in found.reads} == {"computed": "miss", "app.category": "hit"}
    near(read)


# -- within each other -------------------------------------------------------------------------


def test_two_values_that_need_each_other_do_not_wait_for_each_other(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FLIGHT_TIMEOUT": 3600}
    both = threading.Barrier(2, timeout=20)
    depth = threading.local()

    def value(name, other):
        def compute():
            if getattr(depth, "is_inner", False):
                return [name]
            both.wait()
            depth.is_inner = True
            return [name, *values[other]()]

        return cached(key=name, tags=[Item])(compute)

    values = {"a": value("a", "b"), "b": value("b", "a")}
    with running(values["a"]) as one, running(values["b"]) as two:
        assert one() in (["a", "b"], ["a", "b", "a"])
        assert two() in (["b", "a"], ["b", "a", "b"])


def test_one_that_calls_itself_with_the_same_arguments_computes(goods):
    calls = []

    @cached(key="value", tags=[Item])
    def value():
        calls.append(1)
        return 1 if len(calls) > 1 else value() + 1

    assert value() == 2


calls = []


@cached(tags=[Item])
def fibonacci(n):
    calls.append(n)
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def test_a_recursive_one_computes_each_value_once(goods):
    fibonacci(1), fibonacci(2)  # that it is made of others is learnt now
    invalidate(Item)
    calls.clear()
    assert fibonacci(20) == 6765
    assert len(calls) == 21


# -- made of each other ------------------------------------------------------------------------


@cached(tags=[Label])
def labels(suffix=""):
    return [label.name + suffix for label in Label.objects.all()]


@cached(tags=[Item])
def shelf(suffix=""):
    calls.append(suffix)
    return [Item.objects.count(), *labels(suffix)]


@pytest.fixture
def told(goods):
    """The shelf knows what it is made of; nothing is kept."""
    shelf("other")
    calls.clear()
    return goods


def test_it_goes_with_what_it_is_made_of_though_its_tags_do_not_name_that(told):
    assert [shelf(), shelf()] == [[4], [4]]
    Label.objects.create(name="new")
    assert [shelf(), shelf()] == [[4, "new"], [4, "new"]]
    assert outcome_of(shelf) == "hit"
    labels.invalidate()
    before = len(calls)
    shelf()
    assert len(calls) == before + 1
    get_or_compute("whole", lambda: shelf(), tags=[])
    assert get_or_compute("whole", lambda: shelf(), tags=[]) == [4, "new"]
    Label.objects.update(name="newer")
    assert get_or_compute("whole", lambda: shelf(), tags=[]) == [4, "newer"]


def test_what_it_is_made_of_is_learnt_once(goods):
    learnt.forget()
    calls.clear()
    for suffix in "abc":
        assert shelf(suffix) == shelf(suffix) == shelf(suffix)
    assert sorted(calls) == ["a", "a", "b", "b", "c", "c"]


def test_what_one_process_has_learnt_another_need_not_know(told):
    """It takes no entry of the other's for its own, and drops none that it may serve."""
    assert shelf() == [4]
    kept = learnt.of(shelf.key()), learnt.of(shelf.name)
    learnt.forget()
    assert shelf() == [4]
    assert (learnt.of(shelf.key()), learnt.of(shelf.name)) == kept
    Label.objects.create(name="new")
    assert shelf() == [4, "new"]


# -- when Redis has other bytes, or none ----------------------------------------------------------


def test_foreign_bytes_are_computed_anew_and_replaced(goods, monkeypatch):
    value = cached(tags=[Item])(prices)
    value()
    monkeypatch.setattr(type(value._values), "kept", lambda self, v: (b"\x09junk", v))
    value.invalidate()
    with seen() as found:
        assert value() == [0, 1, 2, 3]
    assert [error.kind for error in found.errors] == ["corrupt"]
    monkeypatch.undo()
    assert value() == [0, 1, 2, 3]
    assert outcome_of(value) == "hit"


def test_without_redis_it_is_computed(goods, monkeypatch):
    value = cached(tags=[Item])(prices)

    def away(*args, **kwargs):
        raise BackendError("away")

    monkeypatch.setattr(current_store(), "read", away)
    assert value() == [0, 1, 2, 3]
    assert outcome_of(lambda: get_or_compute("a", lambda: 1)) == "error"


def test_a_value_that_is_too_large_is_given_and_not_kept(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "MAX_VALUE_BYTES": 1000}
    claim.forget()
    with seen() as found:
        assert len(get_or_compute("a", lambda: [*range(2000)])) == 2000
    assert found.reasons == ["too large"]


# -- without tags ------------------------------------------------------------------------------


@cached(ttl=600)
def stock(by):
    calls.append(by)
    if by == "rows":
        return sum(item.stock for item in Item.objects.in_bulk().values())
    if by == "row":
        return Item.objects.order_by("pk").first().stock
    if by == "plain manager":
        return sum(Item._meta.base_manager.values_list("stock", flat=True).uncached())
    if by == "sql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(stock) FROM app_item")
            return int(cursor.fetchone()[0])
    if by == "many to many":
        return len(Label.objects.first().items.all())
    if by == "foreign key":
        return int(Item.objects.order_by("pk").last().category.name == "renamed")
    if by == "another":
        return labelled()
    return Item.objects.filter(stock__gt=0).count()


@cached(tags=[Label])
def labelled():
    return Label.objects.count()


WRITES = {
    "many to many": lambda items: items[0].labels.add(Label.objects.first()),
    "foreign key": lambda items: Category.objects.filter(name="b").update(name="renamed"),
    "another": lambda items: Label.objects.create(name="another"),
}


@pytest.mark.parametrize(
    "by",
    ["rows", "row", "plain manager", "sql", "many to many", "foreign key", "another", "count"],
)
def test_without_tags_a_value_rests_on_whatever_it_was_seen_to_read(goods, by):
    Label.objects.create(name="one")
    before = stock(by)
    stock(by)
    assert outcome_of(lambda: stock(by)) == "hit"
    WRITES.get(by, lambda items: Item.objects.filter(pk=items[0].pk).update(stock=1))(goods[2])
    assert stock(by) == before + 1
    assert (stock(by), outcome_of(lambda: stock(by))) == (before + 1, "hit")


def test_without_tags_what_nobody_watches_is_kept_for_nobody(goods):
    value = cached(key="secrets")(lambda: Secret.objects.count())
    with seen() as found:
        assert [value(), value()] == [0, 0]
    reasons = [read.reason for read in found.reads if read.label == "computed"]
    assert reasons == ["app.secret not registered"] * 2
    outer = cached(key="said", tags=[Item])(lambda: value() + Item.objects.count())
    assert [outer(), outer(), outer()] == [4, 4, 4]  # the second time it knows of the inner one
    assert outcome_of(outer) == "hit"


def test_with_tags_a_value_rests_on_these_alone(goods):
    value = cached(key="these", tags=[Label])(prices)
    assert value() == [0, 1, 2, 3]
    Item.objects.update(price=9)
    assert value() == [0, 1, 2, 3]
