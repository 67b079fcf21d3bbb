"""Sessions read through the cache: as Django's own, and ended where they end."""

import datetime
import threading
from urllib.parse import urlsplit

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cachepatterns.backends.store import current_store
from cachepatterns.contrib.sessions import SessionStore, register_sessions
from cachepatterns.read import loading
from cachepatterns.registry import site
from cachepatterns.stats.recorder import Recorder
from cachepatterns.stats.report import report
from tests.calm import nobody_writes
from tests.events import outcome_of, seen
from tests.faults.proxy import Proxy
from tests.integration.threads import Gate, running

pytestmark = pytest.mark.without_outbox
ENGINE = "cachepatterns.contrib.sessions"


@pytest.fixture(autouse=True)
def engine(settings, fresh):
    settings.SESSION_ENGINE = ENGINE
    before = site.policy_for(Session)
    register_sessions()
    nobody_writes()
    yield
    if before is None:
        site.unregister(Session)


@pytest.fixture
def key():
    """The key of somebody's session."""
    session = SessionStore()
    session["user"] = "ada"
    session.save()
    return session.session_key


def user(key):
    return SessionStore(key).get("user")


def entries():
    backend = current_store().backend
    pages = backend.scan("*:row:sessions.session.*", limit=10_000)
    return backend.inspect([name for page in pages for name in page])


# -- as Django's own --------------------------------------------------------------------------


def test_the_second_request_asks_no_database(key):
    assert user(key) == "ada"
    with CaptureQueriesContext(connection) as queries, seen() as found:
        assert user(key) == "ada"
    assert len(queries) == 0
    (read,) = found.reads
    assert (read.label, read.pattern, read.outcome) == ("sessions.session", "row:pk", "hit")


def test_what_one_request_saves_the_next_one_sees(key):
    assert user(key) == "ada"
    session = SessionStore(key)
    session["user"] = "grace"
    session.save()
    assert user(key) == "grace"
    assert outcome_of(lambda: user(key)) == "hit"


def test_a_key_that_nobody_has_is_given_up(key):
    session = SessionStore("0" * 32)
    assert session.load() == {}
    assert session.session_key is None
    assert outcome_of(lambda: SessionStore("0" * 32).load()) == "negative"


def test_one_with_a_new_key_keeps_its_data_and_the_old_key_is_dead(key):
    session = SessionStore(key)
    assert session["user"] == "ada"
    session.cycle_key()
    session.save()
    assert user(key) is None
    assert user(session.session_key) == "ada"


def test_coroutines_have_the_same(key):
    async def ends():
        session = SessionStore(key)
        assert await session.aget("user") == "ada"
        await session.aset("user", "grace")
        await session.asave()
        assert await SessionStore(key).aget("user") == "grace"
        await session.aflush()
        return await SessionStore(key).aget("user")

    assert async_to_sync(ends)() is None


# -- how long ---------------------------------------------------------------------------------


def test_an_entry_lives_exactly_as_long_as_its_session(settings):
    lives = {
        None: settings.SESSION_COOKIE_AGE,
        0: settings.SESSION_COOKIE_AGE,  # until the browser closes; on the server as any other
        300: 300,
        datetime.timedelta(hours=2): 7200,
        datetime.timedelta(days=60): 60 * 24 * 3600,
    }
    known = set()
    for expiry, seconds in lives.items():
        session = SessionStore()
        session["user"] = "ada"
        session.set_expiry(expiry)
        session.save()
        assert user(session.session_key) == "ada"
        (entry,) = [each for each in entries() if each.key not in known]
        known.add(entry.key)
        assert seconds - 60 < entry.ttl <= seconds


def test_one_that_has_run_out_is_none_whatever_the_cache_holds(key, monkeypatch):
    assert user(key) == "ada"
    later = timezone.now() + datetime.timedelta(days=15)
    monkeypatch.setattr("cachepatterns.contrib.sessions.timezone.now", lambda: later)
    session = SessionStore(key)
    assert session.load() == {}
    assert session.session_key is None


def test_clearsessions_takes_what_has_run_out(key):
    assert user(key) == "ada"
    past = timezone.now() - datetime.timedelta(days=1)
    Session.objects.filter(pk=key).update(expire_date=past)
    call_command("clearsessions")
    assert user(key) is None


# -- what must not happen ---------------------------------------------------------------------


@pytest.mark.parametrize("end", ["flush", "cycle_key"])
def test_a_late_fill_does_not_bring_back_who_has_logged_out(key, held_before_store, end):
    """A reader has the session from the database; its owner ends it; the reader stores it."""
    with running(lambda: user(key)) as reader:
        assert held_before_store.reached.wait(20)
        getattr(SessionStore(key), end)()
        held_before_store.open.set()
        assert reader() == "ada"  # it began before the end
    assert user(key) is None
    assert SessionStore(key).exists(key) is False


def test_while_a_logout_is_being_committed_nobody_fills_the_cache(key):
    assert user(key) == "ada"
    with transaction.atomic():
        SessionStore(key).flush()
        with running(lambda: user(key)) as other:
            assert other() == "ada"  # not committed yet
    assert user(key) is None


def test_a_logout_that_is_rolled_back_ends_nothing(key):
    assert user(key) == "ada"
    with transaction.atomic():
        SessionStore(key).flush()
        transaction.set_rollback(True)
    assert user(key) == "ada"


def test_a_change_that_is_rolled_back_was_never_there(key):
    with transaction.atomic():
        session = SessionStore(key)
        session["user"] = "grace"
        session.save()
        assert user(key) == "grace"  # its own transaction's
        transaction.set_rollback(True)
    assert user(key) == "ada"


@pytest.fixture
def redis_line(settings, redis_url):
    """What lies between this process and its Valkey, to be cut."""
    with Proxy(urlsplit(redis_url).port) as proxy:
        cut_off = {"LOCATION": f"redis://127.0.0.1:{proxy.port}/0"}
        settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], **cut_off}}
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "BREAKER_SECONDS": 0}
        yield proxy
        caches["default"].close()


def test_a_logout_while_redis_is_away_holds_when_it_is_back(redis_line, key):
    assert user(key) == "ada"
    assert outcome_of(lambda: user(key)) == "hit"
    redis_line.refuse()
    SessionStore(key).flush()
    assert user(key) is None
    redis_line.heal()
    assert user(key) is None


def test_two_requests_at_once_ask_the_database_once(key, monkeypatch):
    """Both have missed before the first has its answer."""
    gate, sent = Gate(), []

    def count(execute, sql, *args):
        if "django_session" in sql:
            sent.append(sql)
            gate.wait()
        return execute(sql, *args)

    waits, original = threading.Event(), loading.flights.wait

    def waiting(*args):
        waits.set()
        return original(*args)

    monkeypatch.setattr(loading.flights, "wait", waiting)

    def request():
        with connection.execute_wrapper(count):
            return user(key)

    with running(request) as one:
        assert gate.reached.wait(20)
        with running(request) as other:
            assert waits.wait(20)
            gate.open.set()
            assert (one(), other()) == ("ada", "ada")
    assert len(sent) == 1


def test_a_save_after_a_logout_fails_and_brings_nothing_back(key):
    """A slow request of the same visitor ends after the logout."""
    slow = SessionStore(key)
    assert slow["user"] == "ada"
    SessionStore(key).flush()
    slow["cart"] = 1
    with pytest.raises(UpdateError):
        slow.save()
    assert user(key) is None


def test_a_key_stands_nowhere_but_in_the_database(key):
    """It lets people in: whoever may look at the cache, its statistics or its logs may not."""
    recorder = Recorder(background=False)
    with seen() as found:
        for _ in range(3):
            assert user(key) == "ada"
        session = SessionStore(key)
        session["user"] = "grace"
        session.save()
        session.flush()
    for event in found.events:
        recorder(event)
    recorder.flush()
    backend = current_store().backend
    assert not [name for page in backend.scan("*", limit=10_000) for name in page if key in name]
    assert key not in str(report().invalidations)
    assert not any(key in tag for event in found.invalidations for tag in event.tags)
