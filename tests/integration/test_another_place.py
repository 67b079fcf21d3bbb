"""A connection leads elsewhere: test runners, and sites that switch tenants, change its settings.

What must not happen: what is known of the former database is asked of the new one, whose rows the
other's readers are given, and whose writes nobody hears of.
"""

import pytest
from django.db import connection

from tests.app.models import Category

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="it makes a database"),
]


@pytest.fixture
def elsewhere(goods):
    """Another database; called, it has the connection lead there."""
    here, name = connection.settings_dict["NAME"], "cachepatterns_elsewhere"
    with connection.cursor() as cursor:
        cursor.cursor.execute(f"DROP DATABASE IF EXISTS {name}_{here}")
        cursor.cursor.execute(f"CREATE DATABASE {name}_{here}")

    def go():
        connection.close()
        connection.settings_dict["NAME"] = f"{name}_{here}"

    yield go
    connection.close()
    connection.settings_dict["NAME"] = here
    with connection.cursor() as cursor:
        cursor.cursor.execute(f"DROP DATABASE {name}_{here} WITH (FORCE)")


def test_nothing_is_carried_over(goods, elsewhere):
    pk = goods[0].pk

    def names():
        return [
            Category.objects.get(pk=pk).name,
            Category.objects.get(slug="a").name,
            *(c.name for c in Category.objects.filter(slug="a")),
            *(c.name for c in Category.objects.filter(slug__regex="a")),
            Category.objects.in_bulk([pk])[pk].name,
        ]

    def rename(name):
        Category.objects.filter(pk=pk).update(name=name)
        category = Category.objects.get(pk=pk)
        category.save()

    for n in range(3):
        rename(f"here {n}")
        assert names() == [f"here {n}"] * 5
    elsewhere()
    with connection.schema_editor() as editor:
        editor.create_model(Category)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO app_category (id, name, slug) VALUES (%s, 'two', 'a')", [pk])
    assert names() == ["two"] * 5
    for n in range(3):
        rename(f"there {n}")
        assert names() == [f"there {n}"] * 5
