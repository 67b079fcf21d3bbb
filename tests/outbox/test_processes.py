"""Real processes: writers that are killed, relays that are started, stopped and embedded."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from cachepatterns.write import embedded
from tests.app.models import Item
from tests.events import eventually, outcome_of
from tests.outbox.conftest import events, relaying, told_by_trigger, waiting
from tests.outbox.test_lease import is_leased, take_lease_away

ROOT = Path(__file__).parents[2]


def price(pk):
    return Item.objects.get(pk=pk).price


def listed(category):
    return [item.price for item in Item.objects.filter(category=category)]


def command(settings, code: str, *arguments: str) -> subprocess.Popen:
    """A process of its own with this test's settings and database."""
    head = (
        "from django.conf import settings\n"
        f"settings.DATABASES['default']['NAME'] = {connection.settings_dict['NAME']!r}\n"
        f"settings.CACHEPATTERNS = {dict(settings.CACHEPATTERNS)!r}\n"
        "import django\ndjango.setup()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


DIES = """
import os, signal, sys
from cachepatterns.backends.store import current_store
from cachepatterns.registry import site
from tests.app.models import Item

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

type(site.policy_for(Item).policy).consistency = "eventual"
current_store().backend.release = die
Item.objects.filter(pk=sys.argv[1]).update(price=9)
"""


def test_an_eventual_writer_killed_between_commit_and_bump_leaves_nothing_stale(goods, settings):
    category, (one, two) = goods
    with relaying():
        eventually(lambda: outcome_of(lambda: price(one.pk)) == "hit")
        eventually(lambda: outcome_of(lambda: listed(category)) == "hit")
        price(two.pk)
        with command(settings, DIES, str(one.pk)) as writer:
            assert writer.wait(60) == -signal.SIGKILL, writer.stderr.read()
        eventually(lambda: waiting() == 0)
        assert (price(one.pk), listed(category)[0]) == (9, 9)
        assert outcome_of(lambda: price(one.pk)) == "hit"
        assert outcome_of(lambda: price(two.pk)) == "hit"


CUT_OFF = """
import sys
from tests.app.models import Item
settings.CACHES["default"]["LOCATION"] = "unix:///nowhere"
Item.objects.filter(pk=sys.argv[1]).update(price=9)
"""


def test_a_writer_cut_off_from_redis_is_made_up_for_by_a_relay(goods, relay, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "LEASE_SECONDS": 3600}
    category, (one, _) = goods
    relay.round()
    for _ in range(2):
        price(one.pk), listed(category)
    with command(settings, CUT_OFF, str(one.pk)) as writer:
        assert writer.wait(60) == 0, writer.stderr.read()
    assert (price(one.pk), listed(category)[0]) == (0, 0)  # for a lease at most
    assert [event.token for event in events()] == [""]
    relay.round()
    assert (price(one.pk), listed(category)[0]) == (9, 9)
    assert outcome_of(lambda: price(one.pk)) == "hit"


RELAYS = """
from django.core.management import call_command
call_command("relay_invalidations", poll_seconds=60)
"""


def test_the_command_is_woken_by_a_commit_and_stops_when_it_is_asked_to(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "LEASE_SECONDS": 3600}
    with command(settings, RELAYS) as relay:
        try:
            eventually(is_leased, within=60)
            took = []
            for _ in range(20):
                started = time.perf_counter()
                told_by_trigger()
                eventually(lambda: waiting() == 0)
                took.append(time.perf_counter() - started)
            # Not asserted: how fast depends on who else computes here.
            print(f"\ncommit to delivery: {sorted(took)[len(took) // 2] * 1000:.1f} ms (median)")
            relay.send_signal(signal.SIGTERM)
            assert relay.wait(30) == 0
            assert "Stopped." in relay.stderr.read()
        finally:
            relay.kill()


def test_a_relay_whose_connection_is_cut_connects_again(goods):
    with relaying():
        eventually(is_leased)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert cursor.fetchall()
        told_by_trigger()
        eventually(lambda: waiting() == 0)


def test_once_delivers_what_is_there(goods, capsys):
    told_by_trigger()
    call_command("relay_invalidations", once=True)
    assert capsys.readouterr().out == "1 delivered, 1 found.\n"
    assert is_leased()


WRONG = {
    "off": ({"OUTBOX": False}, "default", "OUTBOX.* is off"),
    "no database": ({}, "defualt", "There is no database 'defualt'. Did you mean 'default'"),
    "not cached": ({}, "sqlite", "Nothing of the database 'sqlite' is cached"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_can_not_work_is_said_at_once(outbox, settings, what):
    changed, alias, message = WRONG[what]
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, **changed}
    with pytest.raises(CommandError, match=message):
        call_command("relay_invalidations", database=alias, once=True)


# -- embedded -------------------------------------------------------------------------------


@pytest.fixture
def in_thread(goods, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "RELAY": "thread"}
    yield
    embedded.stop()
    assert embedded._workers == {}


def serve_a_request(client):
    client.get("/no-such-page")


def test_a_web_process_relays_from_its_first_request_on(goods, in_thread, client):
    assert not is_leased()
    assert embedded._workers == {}
    serve_a_request(client)
    eventually(is_leased)
    told_by_trigger()
    eventually(lambda: waiting() == 0)
    threads = [thread for _, thread in embedded._workers.values()]
    serve_a_request(client)
    assert [thread for _, thread in embedded._workers.values()] == threads


def test_a_forked_worker_starts_its_own(goods, in_thread, client):
    serve_a_request(client)
    eventually(is_leased)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads are the point here
        child = os.fork()
    if child == 0:
        os._exit(0 if not embedded._workers else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    take_lease_away()
    eventually(is_leased)  # the parent's goes on


def test_without_being_asked_for_no_process_relays(goods, client):
    serve_a_request(client)
    assert embedded._workers == {}
