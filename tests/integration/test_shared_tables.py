"""Two models on one table, one of them unmanaged: each sees what the other writes."""

import pytest
from django.apps import apps
from django.db import connection, models

from cachepatterns import CachedManager, ModelPolicy, invalidate, uncached
from cachepatterns.registry import site
from tests.app.models import Category
from tests.calm import nobody_writes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["installed first", "installed last"])
def shelf(request, fresh):
    """A model of another app's, say, on the table of `Category`."""

    class Meta:
        app_label = "app"
        managed = False
        db_table = Category._meta.db_table
        base_manager_name = "objects"

    attributes = {
        "__module__": __name__,
        "Meta": Meta,
        "name": models.CharField(max_length=50),
        "slug": models.SlugField(unique=True),
        "objects": CachedManager(),
    }
    model = type("Shelf", (models.Model,), attributes)
    installed = apps.all_models["app"]
    before = {label: known for label, known in installed.items() if known is not model}
    if request.param == "installed first":
        installed.clear()
        installed.update({"shelf": model} | before)
        apps.clear_cache()
    site.register(model, type("ShelfPolicy", (ModelPolicy,), {}))
    nobody_writes()
    yield model
    site.unregister(model)
    installed.clear()
    installed.update(before)
    apps.clear_cache()
    site.forget()


def writes(model, key):
    """Each way to write a row through `model`."""
    row = model.objects.uncached().get(pk=key)
    row.name = "saved"
    yield row.save
    row.slug = "moved"
    yield lambda: row.save(update_fields=["slug"])
    yield lambda: model.objects.filter(pk=key).update(name="updated", slug="again")
    yield lambda: model.objects.create(name="new", slug="new")
    yield lambda: model.objects.bulk_create([model(name="bulk", slug="bulk")])
    yield row.delete


def readings(model, key):
    """Each way to see it."""
    rows = model.objects
    return [
        sorted(rows.values_list("name", "slug")),
        [rows.filter(slug=slug).count() for slug in ("a", "moved", "again", "new", "bulk")],
        [row.name for row in rows.filter(pk=key)],
        [row.name for row in rows.in_bulk([key]).values()],
        rows.count(),
    ]


@pytest.mark.parametrize("reader", ["Category", "Shelf"])
@pytest.mark.parametrize("writer", ["Category", "Shelf"])
def test_what_is_written_through_one_is_read_through_the_other(shelf, reader, writer):
    by_name = {"Category": Category, "Shelf": shelf}
    key = Category.objects.create(name="a", slug="a").pk
    for write in writes(by_name[writer], key):
        readings(by_name[reader], key)
        readings(by_name[reader], key)
        write()
        with uncached():
            truth = readings(by_name[reader], key)
        assert readings(by_name[reader], key) == truth


@pytest.mark.parametrize("reader", ["Category", "Shelf"])
@pytest.mark.parametrize("target", ["model", "row", "rows"])
def test_what_is_invalidated_through_one_is_read_anew_through_the_other(shelf, reader, target):
    model = {"Category": Category, "Shelf": shelf}[reader]
    key = Category.objects.create(name="a", slug="a").pk
    readings(model, key), readings(model, key)
    connection.connection.execute("UPDATE app_category SET name = 'unseen'")
    rows = shelf.objects.filter(pk=key)
    invalidate({"model": shelf, "row": rows.uncached().get(), "rows": rows}[target])
    assert model.objects.get(pk=key).name == "unseen"
    assert model.objects.values_list("name", flat=True)[0] == "unseen"
