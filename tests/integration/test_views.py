"""Models on database views and unmanaged tables: what feeds them invalidates them."""

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.db import connections, models

from cachepatterns import CachedManager, ModelPolicy
from cachepatterns.registry import site
from tests.app.models import Category, Item, Label, Place, Secret, Shop
from tests.calm import nobody_writes
from tests.events import outcome_of, seen

pytestmark = pytest.mark.django_db(transaction=True)


def on_both(test):
    """On PostgreSQL and on SQLite."""
    allow = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
    return allow(pytest.mark.parametrize("using", ["default", "sqlite"])(test))


@pytest.fixture
def unmanaged(fresh):
    """Makes unmanaged models with a policy, and whatever stands under them in a database."""
    installed, made = apps.all_models["app"], []
    before = dict(installed)

    def make(name, sql, using="default", *, kind="VIEW", fields=None, **policy):
        table = f"app_{name.lower()}"
        _execute(using, f"CREATE {kind} {table} {sql}")
        made.append((using, f"DROP {kind} {table}", name))
        meta = type("Meta", (), {"app_label": "app", "managed": False, "db_table": table})
        attributes = fields or {"name": models.CharField(max_length=50)}
        attributes = {"__module__": __name__, "Meta": meta, **attributes}
        model = type(name, (models.Model,), {**attributes, "objects": CachedManager()})
        site.register(model, type("Policy", (ModelPolicy,), {"databases": (using,), **policy}))
        nobody_writes()
        return model

    yield make
    for using, drop, name in reversed(made):
        _execute(using, drop)
        site.unregister(installed[name.lower()])
    installed.clear()
    installed.update(before)
    apps.clear_cache()
    site.forget()


def _execute(using, sql):
    with connections[using].cursor() as cursor:
        cursor.execute(sql)


NAMES = "AS SELECT id, name FROM app_category WHERE name <> 'hidden'"


@on_both
def test_a_view_is_cached_and_follows_the_tables_it_reads(unmanaged, using):
    view = unmanaged("Names", NAMES, using, depends_on=[Category])

    def names():
        return sorted(view.objects.using(using).values_list("name", flat=True))

    assert names() == []
    written = Category.objects.using(using).create(name="a", slug="a")
    assert names() == ["a"]
    assert outcome_of(names) == "hit"
    for write, expected in (
        (lambda: Category.objects.using(using).filter(pk=written.pk).update(name="b"), ["b"]),
        (lambda: _execute(using, "UPDATE app_category SET name = 'c'"), ["c"]),
        (lambda: written.delete(), []),
    ):
        write()
        assert names() == expected


@on_both
def test_one_row_of_a_view_is_cached_too(unmanaged, using):
    view = unmanaged("Names", NAMES, using, depends_on=["app.Category"])
    written = Category.objects.using(using).create(name="a", slug="a")

    def get():
        return view.objects.using(using).get(pk=written.pk).name

    assert (get(), outcome_of(get)) == ("a", "hit")
    Category.objects.using(using).update(name="b")
    assert get() == "b"


def test_a_write_elsewhere_leaves_it_alone(unmanaged):
    view = unmanaged("Names", NAMES, depends_on=[Category])

    def names():
        return list(view.objects.filter(name="a"))

    names()
    Label.objects.create(name="x")
    assert outcome_of(names) == "negative"


def test_a_view_of_a_view_of_an_unregistered_table_follows_it(unmanaged, goods):
    inner = unmanaged("Words", "AS SELECT id, word AS name FROM app_secret", depends_on=[Secret])
    outer = unmanaged("Inner", "AS SELECT * FROM app_words", depends_on=[inner])

    def names():
        return list(outer.objects.values_list("name", flat=True))

    assert names() == []
    Secret._base_manager.create(item=goods[2][0], word="w")
    assert names() == ["w"]


def test_a_view_that_reads_a_child_follows_its_parent(unmanaged):
    joined = "AS SELECT p.id, p.name FROM app_place p JOIN app_shop s ON s.place_ptr_id = p.id"
    view = unmanaged("Shops", joined, depends_on=[Shop])
    shop = Shop.objects.create(name="a")
    assert [row.name for row in view.objects.all()] == ["a"]
    Place.objects.filter(pk=shop.pk).update(name="b")
    assert [row.name for row in view.objects.all()] == ["b"]


def test_what_is_written_through_a_view_is_seen_in_its_table(unmanaged):
    view = unmanaged("Names", NAMES, depends_on=[Category])
    written = Category.objects.create(name="a", slug="a")
    assert Category.objects.get(pk=written.pk).name == "a"
    view.objects.filter(pk=written.pk).update(name="b")
    assert Category.objects.get(pk=written.pk).name == "b"


def test_a_join_with_a_view_follows_it_too(unmanaged):
    view = unmanaged("Names", NAMES, depends_on=[Category])
    Category.objects.create(name="a", slug="a")

    def items():
        return Item.objects.filter(category__in=view.objects.filter(name="b").values("id")).count()

    assert items() == 0
    with seen() as found:
        Category.objects.update(name="b")
        items()
    assert found.outcomes == ["miss"]


def test_a_materialized_view_follows_its_refresh(unmanaged):
    view = unmanaged("Frozen", NAMES, kind="MATERIALIZED VIEW", depends_on=[])
    Category.objects.create(name="a", slug="a")

    def names():
        return list(view.objects.values_list("name", flat=True))

    assert names() == []
    with seen() as found:
        _execute("default", "REFRESH MATERIALIZED VIEW app_frozen")
    assert [e.labels for e in found.invalidations] == [("app.frozen",)]
    assert names() == ["a"]


@on_both
def test_an_unmanaged_table_of_its_own_is_like_any_other(unmanaged, using):
    legacy = unmanaged(
        "Legacy", "(id integer PRIMARY KEY, name varchar(50))", using, kind="TABLE", depends_on=()
    )

    def names():
        return list(legacy.objects.using(using).values_list("name", flat=True))

    assert names() == []
    legacy.objects.using(using).create(id=1, name="a")
    assert names() == ["a"]
    legacy.objects.using(using).update(name="b")
    assert names() == ["b"]


def test_without_depends_on_a_check_refuses_it_and_nothing_is_cached(unmanaged):
    view = unmanaged("Names", NAMES)
    with seen() as found:
        list(view.objects.all())
        view.objects.filter(pk=1).exists()
    assert found.reasons == ["tier never", "tier never"]
    assert [m.obj for m in run_checks(tags=["cachepatterns"]) if m.id.endswith("E016")] == [view]


def test_a_check_knows_what_was_meant(unmanaged):
    unmanaged("Names", NAMES, depends_on=["app.Categroy"])
    (message,) = (m for m in run_checks(tags=["cachepatterns"]) if m.id.endswith("E017"))
    assert message.hint == "Did you mean 'app.Category'?"


def test_a_policy_that_names_another_source_reads_no_older_entries(unmanaged):
    view = unmanaged("Names", NAMES, depends_on=[])
    before = site.policy_for(view).fingerprint
    site.unregister(view)
    site.register(view, type("Policy", (ModelPolicy,), {"depends_on": "app.Category"}))
    assert site.policy_for(view).fingerprint != before
    assert site.depends_on(view) == {Category}
