"""The interleavings that must not happen, each forced."""

import threading

from django.db import connection

from cachepatterns.backends.store import current_store
from cachepatterns.read import claim, loading
from tests.app.models import Item
from tests.events import outcome_of, seen
from tests.integration.threads import Gate, running


def price(pk):
    return Item.objects.get(pk=pk).price


def listed(category):
    return [i.price for i in Item.objects.filter(category=category)]


def test_a_late_store_of_an_old_value_is_never_served(goods, held_before_store):
    """Reader loads 0; writer commits 9 and bumps; the reader stores 0 at last."""
    pk = goods[2][0].pk
    with running(lambda: price(pk)) as old:
        assert held_before_store.reached.wait(20)
        Item.objects.filter(pk=pk).update(price=9)
        held_before_store.open.set()
        assert old() == 0
    assert price(pk) == 9
    assert outcome_of(lambda: price(pk)) == "hit"


def test_a_late_store_of_an_old_list_is_never_served(goods, held_before_store):
    a = goods[0]
    with running(lambda: listed(a)) as old:
        assert held_before_store.reached.wait(20)
        Item.objects.create(name="n", sku="n", category=a, price=7)
        held_before_store.open.set()
        assert old() == [0, 2]
    assert listed(a) == [0, 2, 7]


def test_a_reader_that_starts_after_a_write_shares_no_load_begun_before_it(
    goods, held_before_store
):
    """The old load is still in flight; the new reader holds other stamps and loads itself."""
    pk = goods[2][0].pk
    with running(lambda: price(pk)) as old:
        assert held_before_store.reached.wait(20)
        Item.objects.filter(pk=pk).update(price=9)
        assert price(pk) == 9
        held_before_store.open.set()
        assert old() == 0
    assert price(pk) == 9


def test_a_bump_between_minting_and_loading_makes_the_stored_entry_worthless(goods, monkeypatch):
    """The reader minted its stamps; a write commits before the reader's query runs."""
    a, pk, store = goods[0], goods[2][0].pk, current_store()
    original = store.mint
    wrote = []

    def mint(*args):
        stamps = original(*args)
        if not wrote:
            wrote.append(1)
            with running(lambda: Item.objects.filter(pk=pk).update(price=9)) as done:
                assert done() == 1
        return stamps

    monkeypatch.setattr(store, "mint", mint)
    # Who claims looks once more, and would notice.
    monkeypatch.setattr(claim, "is_worth_it", lambda *args: False)
    assert listed(a) == [9, 2]
    assert outcome_of(lambda: listed(a)) == "miss"
    assert outcome_of(lambda: listed(a)) == "hit"


def test_readers_in_one_process_load_a_missing_entry_once(goods, monkeypatch):
    a, readers = goods[0], 8
    barrier, gate = threading.Barrier(readers), Gate()
    waited = threading.Semaphore(0)
    original_wait, original_store = loading.flights.wait, current_store().store

    def wait(*args):
        waited.release()
        return original_wait(*args)

    def held(*args, **kwargs):
        gate.wait()
        original_store(*args, **kwargs)

    monkeypatch.setattr(loading.flights, "wait", wait)
    monkeypatch.setattr(current_store(), "store", held)

    def read():
        barrier.wait(20)
        return listed(a)

    with seen() as found:
        answers = []

        def run():
            try:
                answers.append(read())
            finally:
                connection.close()

        threads = [threading.Thread(target=run) for _ in range(readers)]
        for thread in threads:
            thread.start()
        assert gate.reached.wait(20)
        for _ in range(readers - 1):
            assert waited.acquire(timeout=20)
        gate.open.set()
        for thread in threads:
            thread.join(20)
    assert answers == [[0, 2]] * readers
    assert sorted(found.outcomes) == ["miss"] + ["shared"] * (readers - 1)


def test_no_mutable_value_is_shared_between_callers(goods):
    pk = goods[2][0].pk
    Item.objects.filter(pk=pk).update(data={"colours": ["red"]})
    first = Item.objects.get(pk=pk)
    first.data["colours"].append("blue")
    second = Item.objects.get(pk=pk)
    assert second.data == {"colours": ["red"]}
    second.data["colours"].append("green")
    assert Item.objects.get(pk=pk).data == {"colours": ["red"]}
