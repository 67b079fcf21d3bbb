"""The overview and `cache_stats` say what waits, who relays it, and whether anything is served."""

import json
import re

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from cachepatterns.models import InvalidationEvent
from cachepatterns.stats.outboxes import outboxes
from cachepatterns.stats.report import report
from tests.outbox.conftest import told_by_trigger

OVERVIEW = "/admin/cachepatterns/cachedashboard/"


def overview() -> str:
    user = User.objects.create_superuser("someone")
    InvalidationEvent.objects.all().delete()
    client = Client()
    client.force_login(user)
    InvalidationEvent.objects.all().delete()
    told_by_trigger()
    page = client.get(OVERVIEW).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


@pytest.mark.urls("tests.admin.urls")
def test_the_overview_shows_the_outbox(outbox, relay):
    page = overview()
    assert "No relay delivers the outbox, so every read goes to the database." in page
    assert "1 waiting for" in page
    assert "0 relays · no lease" in page
    relay.round()
    found = report()
    assert found.state in {"idle", "ok"}  # the page has read its visitor's session
    assert found.outboxes == outboxes()
    (box,) = found.outboxes
    assert (box.alias, box.backlog, box.oldest_seconds) == ("default", 0, None)
    assert (box.relays, box.leased) == (1, True)


def test_the_command_tells_it_too(goods, relay, capsys):
    relay.round()
    told_by_trigger()
    call_command("cache_stats")
    assert "outbox of default: 1 waiting, relays: 1, the lease stands" in capsys.readouterr().out
    call_command("cache_stats", json=True)
    (box,) = json.loads(capsys.readouterr().out)["outboxes"]
    assert (box["backlog"], box["relays"], box["leased"]) == (1, 1, True)
    assert box["oldest_seconds"] >= 0


def test_without_its_table_the_report_stands(outbox):
    table = InvalidationEvent._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    try:
        (box,) = outboxes()
        assert (box.backlog, box.oldest_seconds) == (None, None)
        assert report().state == "unleased"
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {table}")


def test_without_the_outbox_nothing_is_shown(transactional_db):
    assert outboxes() == ()
