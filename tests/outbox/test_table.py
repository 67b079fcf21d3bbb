"""The outbox's table: what the database itself does for it."""

import pytest
from django.core.management import call_command
from django.db import connections

from cachepatterns.models import InvalidationEvent


@pytest.mark.django_db(databases=["default", "sqlite"])
def test_models_and_migrations_agree():
    call_command("makemigrations", "cachepatterns", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
@pytest.mark.parametrize("alias", ["default", "sqlite"])
def test_a_bare_insert_is_enough(alias):
    """As a trigger in the database does it, which knows nothing of Django's defaults."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "INSERT INTO cachepatterns_invalidationevent (payload) VALUES ('{\"tags\": []}')"
        )
    event = InvalidationEvent.objects.using(alias).get()
    assert event.created_at is not None
    assert (event.token, event.source, event.delivered_at) == ("", "", None)
    assert event.payload == {"tags": []}


@pytest.mark.django_db(transaction=True)
def test_inserting_what_nobody_else_delivers_wakes_the_relays():
    heard = []
    with connections["default"].cursor() as cursor:
        cursor.execute("LISTEN cachepatterns")
        driver = connections["default"].connection
        driver.add_notify_handler(lambda note: heard.append(note.channel))
        InvalidationEvent.objects.create(token="t", payload={})
        cursor.execute("SELECT 1")
        assert heard == []
        InvalidationEvent.objects.create(payload={})
        cursor.execute("SELECT 1")
        assert heard == ["cachepatterns"]
