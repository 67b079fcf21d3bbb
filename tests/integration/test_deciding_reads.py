"""Reads that Django makes to decide a write believe no negative and no eventual entry.

In each story an entry says that there is nothing, and then somebody writes past Django. Who
acts on the entry does the wrong thing; a read that decides a write asks the database.
"""

import contextlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import django
import pytest
from django import forms
from django.core import serializers
from django.core.cache import caches
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, connection, models
from django.db.models import QuerySet
from django.db.models.deletion import Collector

from cachepatterns.read import deciding
from tests.app.models import Category, Item, Label, Note
from tests.events import seen
from tests.policies import policy_of


def past_django(sql, *params):
    """A write on the driver's own connection, which no layer sees."""
    connection.ensure_connection()
    connection.connection.cursor().execute(sql, params)


def add_label(goods):
    past_django("INSERT INTO app_label (id, name) VALUES (5, 'new')")


def outcome(act, *errors):
    """What `act` gives, or the name of the error that it raises."""
    try:
        return act()
    except errors as error:
        return type(error).__name__


def unique_name(goods):
    return outcome(Label(name="new").validate_unique, ValidationError)


def unique_constraint(goods):
    constraint = models.UniqueConstraint(fields=["name"], name="u")
    return outcome(lambda: constraint.validate(Label, Label(name="new")), ValidationError)


def target_of_key(goods):
    item = Item(name="x", sku="x", category=goods[0], second_id=777, price=1)
    return outcome(lambda: Item._meta.get_field("second").clean(777, item), ValidationError)


def choose(field, value):
    """The name of the label that the form would take, or why it would take none."""
    clean = field(Label.objects.all()).clean
    chosen = outcome(lambda: clean(value), ValidationError)
    if isinstance(chosen, str | Label):
        return str(getattr(chosen, "name", chosen))
    return ", ".join(label.name for label in chosen)


def collect(goods):
    collector = Collector(using="default")
    collector.collect([goods[0]])
    return collector


def empty_set(goods):
    goods[0].second_items.set([])
    return QuerySet(Item).filter(second=goods[0]).count()


def load_fixture(goods):
    text = json.dumps([{"model": "app.label", "fields": {"name": "new"}}])
    for found in serializers.deserialize("json", text):
        found.save()
    return QuerySet(Label).get(name="new").pk


@dataclass(frozen=True)
class Story:
    """What is asked and is not there, what happens then, what is done, what must come of it."""

    ask: Callable[[Any], Any]
    happens: Callable[[Any], Any]
    act: Callable[[Any], Any]
    expected: Any


STORIES = {
    "validate_unique": Story(unique_name, add_label, unique_name, "ValidationError"),
    "UniqueConstraint": Story(unique_constraint, add_label, unique_constraint, "ValidationError"),
    "ForeignKey.clean": Story(
        target_of_key,
        lambda goods: past_django(
            "INSERT INTO app_category (id, name, slug) VALUES (777, 'n', 'n')"
        ),
        target_of_key,
        777,
    ),
    "a field of a form that chooses one": Story(
        lambda goods: Label.objects.get(pk=5),
        add_label,
        lambda goods: choose(forms.ModelChoiceField, 5),
        "new",
    ),
    "a field of a form that chooses several": Story(
        lambda goods: list(Label.objects.filter(pk__in=["5"])),
        add_label,
        lambda goods: choose(forms.ModelMultipleChoiceField, ["5"]),
        "new",
    ),
    "save() that selects first": Story(
        lambda goods: Label.objects.filter(pk=5).exists(),
        add_label,
        lambda goods: outcome(Label(pk=5, name="other").save, IntegrityError),
        None,
    ),
    "get_or_create": Story(
        lambda goods: Label.objects.get(name="new"),
        add_label,
        lambda goods: Label.objects.get_or_create(name="new")[1],
        False,
    ),
    "update_or_create": Story(
        lambda goods: Label.objects.get(name="new"),
        add_label,
        lambda goods: Label.objects.update_or_create(name="new")[1],
        False,
    ),
    "delete() and what hangs on the row": Story(
        lambda goods: (Item.objects.all().delete(), collect(goods)),
        lambda goods: past_django(
            "INSERT INTO app_item (name, sku, category_id, price, stock, active)"
            " VALUES ('late', 'late', %s, 1, 0, true)",
            goods[0].pk,
        ),
        lambda goods: outcome(goods[0].delete, IntegrityError)[1]["app.Item"],
        1,
    ),
    "set() of related rows": Story(
        lambda goods: list(goods[0].second_items.all()),
        lambda goods: past_django("UPDATE app_item SET second_id = %s", goods[0].pk),
        empty_set,
        0,
    ),
    "set() of many to many": Story(
        lambda goods: goods[2][0].labels.set([]),
        lambda goods: (
            add_label(goods),
            past_django(
                "INSERT INTO app_item_labels (item_id, label_id) VALUES (%s, 5)", goods[2][0].pk
            ),
        ),
        lambda goods: (
            goods[2][0].labels.set([]),
            QuerySet(Item.labels.through).count(),
        )[1],
        0,
    ),
    "a fixture with natural keys": Story(
        lambda goods: Label.objects.get_by_natural_key("new"), add_label, load_fixture, 5
    ),
}


@pytest.fixture
def told(goods, monkeypatch, request):
    """A story up to the point where somebody acts: the entry is there, and is wrong."""
    story = STORIES[request.param]
    monkeypatch.setattr(Label._meta, "select_on_save", True)
    monkeypatch.setattr(
        type(Label.objects),
        "get_by_natural_key",
        lambda self, name: self.get(name=name),
        raising=False,
    )
    monkeypatch.setattr(Label, "natural_key", lambda self: (self.name,), raising=False)
    with contextlib.suppress(ObjectDoesNotExist):
        story.ask(goods)
    story.happens(goods)
    return lambda: story.act(goods) == story.expected


every_story = pytest.mark.parametrize("told", STORIES, indirect=True)


@every_story
def test_nobody_acts_on_a_negative_entry(told):
    with seen() as found:
        assert told()
    assert "negative" not in found.outcomes
    assert {"decides a write", "select_for_update"} & {*found.reasons}


MARKED = ("get_or_create", "update_or_create")
"""Stories in which Django marks the queryset itself, so that the stack need not be read."""


@pytest.mark.parametrize("told", [name for name in STORIES if name not in MARKED], indirect=True)
def test_the_story_ends_badly_if_nobody_looks_who_asks(told, monkeypatch):
    """Else the test above would prove nothing."""
    monkeypatch.setattr(deciding, "DECIDERS", {})
    try:
        went_well = told()
    except Exception:
        went_well = False
    assert not went_well


def test_a_user_who_asks_the_same_is_answered_by_the_negative_entry(goods):
    with seen() as found:
        assert not Label.objects.filter(name="new").exists()
        assert not Label.objects.filter(name="new").exists()
    assert found.outcomes == ["miss", "negative"]


@pytest.fixture
def eventual():
    """Labels under an eventual policy."""
    with policy_of(Label, consistency="eventual"):
        yield


def test_what_an_eventual_policy_holds_decides_no_write(goods, eventual):
    """There the entry that is wrong says that there is something."""
    label = Label.objects.create(name="new")
    assert [Label.objects.filter(name="new").exists() for _ in range(2)] == [True, True]
    past_django("DELETE FROM app_label WHERE id = %s", label.pk)
    assert Label.objects.filter(name="new").exists()
    with seen() as found:
        Label(name="new").validate_unique()
    assert found.reasons == ["decides a write"]


def test_nor_does_the_row_of_one(goods, eventual, monkeypatch):
    label = Label.objects.create(name="new")
    assert Label.objects.get(pk=label.pk).name == "new"
    past_django("UPDATE app_label SET name = 'other' WHERE id = %s", label.pk)
    assert Label.objects.get(pk=label.pk).name == "new"

    class Constraint(models.BaseConstraint):
        def validate(self, model, instance, exclude=None, using="default"):
            names.append(model.objects.get(pk=label.pk).name)

    names = []
    monkeypatch.setattr(Label._meta, "constraints", [Constraint(name="c")])
    Label(name="x").validate_constraints()
    assert names == ["other"]


def test_nor_what_a_strict_row_is_joined_with(goods, monkeypatch):
    """A key is taken if its row may be chosen, which another row has a say in, whose policy is
    eventual. That the read begins at a strict one makes its answer no more certain."""
    chosen = {"category__name": "a"}
    key = Note._meta.get_field("item")
    monkeypatch.setattr(key.remote_field, "limit_choices_to", chosen)
    item = goods[2][0]

    def may_be_chosen():
        rows = Item._base_manager.using("default").filter(id=item.pk)
        return rows.complex_filter(chosen).exists()

    with policy_of(Category, consistency="eventual"):
        with seen() as found:
            assert [may_be_chosen() for _ in range(3)] == [True] * 3
        assert found.outcomes == ["miss", "hit", "hit"]
        past_django("UPDATE app_category SET name = 'other'")
        assert may_be_chosen()
        with seen() as found, pytest.raises(ValidationError):
            key.clean(item.pk, Note(item=item))
        assert found.reasons == ["decides a write"]


@pytest.mark.parametrize("name", deciding.DECIDERS)
def test_django_still_calls_the_deciders_so(name):
    if name == "set_base" and django.VERSION < (6, 1):
        pytest.skip("Django has no such function before 6.1")
    source = "".join(inspect.getsource(import_module(m)) for m in deciding.DECIDERS[name])
    assert f"def {name}(" in source


def test_how_long_nothing_is_believed_is_the_tiers_to_say(goods, settings):
    settings.CACHEPATTERNS = {
        **settings.CACHEPATTERNS,
        "TIERS": {"static": {"negative_ttl": 20}},
        "JITTER": 0.0,
    }
    Category.objects.filter(slug="a").exists()
    Category.objects.filter(slug="nothing").exists()
    list(Note.objects.cached(ttl=30).filter(text="nothing"))
    with contextlib.suppress(ObjectDoesNotExist):
        Category.objects.get(pk=777)
    redis = caches["default"].client.get_client(write=True)
    keys = [k for k in redis.scan_iter() if b":q:" in k or b":row:" in k]
    left = sorted(redis.pttl(key) / 1000 for key in keys)
    told = [20, 20, 30, 86400]
    assert len(left) == len(told)
    # Some seconds may have passed since they were stored.
    assert all(ttl - 9 < found <= ttl for found, ttl in zip(left, told, strict=True)), left
