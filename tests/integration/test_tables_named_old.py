"""A table that is called as RETURNING calls the values before and after.

On PostgreSQL 18 `old.category_id` is the table's column then, which is the new value. What must
not happen: a row leaves a list, and the list is not told.
"""

import pytest
from django.apps import apps
from django.db import connection, models, transaction

from cachepatterns import CachedManager, ModelPolicy
from cachepatterns.registry import site
from tests.app.models import Category
from tests.calm import nobody_writes

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="of PostgreSQL"),
]


@pytest.fixture(params=["old", "new", 'public"."old'])
def model(request, fresh):
    options = {"app_label": "app", "db_table": request.param, "base_manager_name": "objects"}
    found = type(
        "Aged",
        (models.Model,),
        {
            "__module__": __name__,
            "Meta": type("Meta", (), options),
            "objects": CachedManager(),
            "size": models.IntegerField(default=0),
            "group": models.ForeignKey(Category, models.DO_NOTHING, related_name="+"),
        },
    )
    site.register(found, type("AgedPolicy", (ModelPolicy,), {"tier": "static"}))
    with connection.schema_editor() as editor:
        editor.create_model(found)
    nobody_writes()
    yield found
    site.unregister(found)
    with connection.schema_editor() as editor:
        editor.delete_model(found)
    apps.all_models["app"].pop("aged")
    apps.clear_cache()


WRITES = {
    "save": lambda row, group: setattr(row, "group", group) or row.save(),
    "update": lambda row, group: type(row).objects.filter(pk=row.pk).update(group=group),
    "update of many": lambda row, group: type(row).objects.filter(size=0).update(group=group),
    "upsert": lambda row, group: type(row).objects.bulk_create(
        [type(row)(pk=row.pk, group=group)],
        update_conflicts=True,
        unique_fields=["pk"],
        update_fields=["group"],
    ),
}


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("write", WRITES)
def test_the_list_that_a_row_leaves_is_told(model, write, atomic):
    groups = [Category.objects.create(name=name, slug=name) for name in "ab"]
    row = model.objects.create(group=groups[0])

    def lists():
        return [[each.pk for each in model.objects.filter(group=group)] for group in groups]

    for turn in range(4):
        lists()
        assert lists()[turn % 2] == [row.pk]
        if atomic:
            with transaction.atomic():
                WRITES[write](row, groups[1 - turn % 2])
        else:
            WRITES[write](row, groups[1 - turn % 2])
        assert lists() == [[], [row.pk]][:: 1 if turn % 2 == 0 else -1]
