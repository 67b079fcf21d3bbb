"""One transaction writes models of both consistencies.

What must not happen: the release that carries both bumps is on its way, and `atomic` has returned;
what rests on the strict model's tags is kept away by the registration, and nothing keeps readers
from what rests on the eventual one's.
"""

from functools import partial

import pytest
from django.db import connection, transaction

from cachepatterns.backends.store import current_store
from tests.app.models import Category, Item, Label
from tests.events import outcome_of
from tests.policies import policy_of

pytestmark = pytest.mark.django_db(transaction=True)


def by_one_statement(item, label):
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH one AS (UPDATE app_item SET name = 'j' WHERE id = %s) "
            "UPDATE app_label SET name = 'new' WHERE id = %s",
            [item.pk, label.pk],
        )


def by_a_transaction(item, label):
    with transaction.atomic():
        Item.objects.filter(pk=item.pk).update(name="j")
        Label.objects.filter(pk=label.pk).update(name="new")


@pytest.mark.parametrize("write", [by_a_transaction, by_one_statement])
@pytest.mark.parametrize("beside", ["strict", "eventual"])
def test_an_eventual_bump_is_done_when_the_block_returns(empty_cache, monkeypatch, write, beside):
    with policy_of(Label, consistency="eventual"), policy_of(Item, consistency=beside):
        category = Category.objects.create(name="c", slug="c")
        item = Item.objects.create(name="i", sku="s", price=1, category=category)
        label = Label.objects.create(name="old")

        def read():
            return Label.objects.get(pk=label.pk).name, Item.objects.get(pk=item.pk).name

        read()
        assert read() == ("old", "i")
        backend, under_way = current_store().backend, []
        release = backend.release

        def slow(*args, **kwargs):
            """What nobody waits for takes its time."""
            if kwargs.get("heard") is None:
                release(*args, **kwargs)
            else:
                under_way.append(partial(release, *args, **kwargs))

        monkeypatch.setattr(backend, "release", slow)
        write(item, label)
        assert read() == ("new", "j")
        for each in under_way:
            each()
        read()
        assert [outcome_of(lambda: Label.objects.get(pk=label.pk)), *read()] == ["hit", "new", "j"]


def test_a_strict_one_alone_is_not_waited_for(goods, monkeypatch):
    backend, waited = current_store().backend, []
    release = backend.release

    def noting(*args, **kwargs):
        waited.append(kwargs.get("heard") is None)
        release(*args, **kwargs)

    monkeypatch.setattr(backend, "release", noting)
    item = goods[2][0]
    with transaction.atomic():
        item.category = goods[1]
        item.save()
        Label.objects.create(name="new")
    Item.objects.filter(pk=item.pk).update(price=7)
    Item.objects.filter(price__gt=0).update(stock=7)
    assert waited == [False] * 3
