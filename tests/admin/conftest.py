"""People with different rights, and cached rows of the test models, for the admin's tests."""

import itertools
import os

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from cachepatterns.quarantine import declare_no_writers
from tests.app.models import Category, Item

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def own_prefix(settings, django_db_setup, silent_recorder):
    settings.CACHEPATTERNS = {
        **getattr(settings, "CACHEPATTERNS", {}),
        "PREFIX": f"admin-test-{os.getpid()}-{next(_numbers)}",
    }
    # What is tested are our pages, not whatever else the shop puts around them.
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    settings.TEMPLATES = [{**engine, "DIRS": []} for engine in settings.TEMPLATES]
    declare_no_writers()
    return settings.CACHEPATTERNS["PREFIX"]


@pytest.fixture
def login(transactional_db):
    """A client logged in as staff with these permissions; ``"*"`` for a superuser."""

    def logged_in(*permissions: str) -> Client:
        user = User.objects.create_user(f"u{next(_numbers)}", is_staff=True)
        user.is_superuser = "*" in permissions
        user.save()
        for name in permissions:
            if name != "*":
                app, codename = name.split(".")
                found = Permission.objects.get(content_type__app_label=app, codename=codename)
                user.user_permissions.add(found)
        client = Client()
        client.force_login(user)
        return client

    return logged_in


@pytest.fixture
def item(transactional_db):
    """An item with a row entry and a list entry in the cache; a second item beside it."""
    category = Category.objects.create(name="Chairs", slug="chairs")
    item = Item.objects.create(name="Oak", sku="a", category=category, price=1)
    Item.objects.create(name="Elm", sku="b", category=category, price=1)
    for row in Item.objects.order_by("pk").values_list("pk", flat=True):
        Item.objects.get(pk=row)
    list(Item.objects.filter(category=category))
    return item
