"""Answers of other services: waited for only so long, and not asked for where they want peace."""

import asyncio
import datetime
import threading
from email.message import Message
from types import SimpleNamespace
from urllib.error import HTTPError

import pytest
from asgiref.sync import async_to_sync
from django.db import connections

from cachepatterns import cached, invalidate
from cachepatterns.backends.store import current_store
from cachepatterns.computed import backoff as backing_off
from cachepatterns.computed import bounded
from cachepatterns.computed.backoff import retry_after
from cachepatterns.exceptions import BackedOff, BackendError, UncacheableResult
from cachepatterns.read import softly
from cachepatterns.read.pool import pool
from tests.app.models import Item
from tests.events import eventually, seen

pytestmark = pytest.mark.django_db(transaction=True)


class RateLimited(Exception):
    pass


class Service:
    """Says what it is told to, and counts who asks."""

    def __init__(self):
        self.calls, self.says = 0, 1
        self.go_on = threading.Event()

    def __call__(self):
        self.calls += 1
        if self.says == "nothing":
            self.go_on.wait(20)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def service(fresh):
    found = Service()
    yield found
    found.go_on.set()


def asking(service, name="rate", **options):
    return cached(key=name, **options)(service.__call__)


def limited(seconds=None):
    error = RateLimited("slow down")
    error.retry_after = seconds
    return error


# -- in time ------------------------------------------------------------------------------------


def test_one_that_does_not_answer_in_time_is_a_timeout_and_nothing_is_kept(service):
    service.says = "nothing"
    with pytest.raises(TimeoutError, match=r"took longer than 0.05 s"):
        asking(service, timeout=0.05)()
    eventually(lambda: service.calls == 1)  # its thread may not have come that far by then
    service.says = 7
    service.go_on.set()
    rate = asking(service, timeout=20)  # the same value: it is kept under the key
    assert [rate(), rate(), service.calls] == [7, 7, 2]


def test_what_it_raises_arrives_from_its_thread(service):
    service.says = LookupError("gone")
    rate = asking(service, timeout=20)
    with pytest.raises(LookupError, match="gone"):
        rate()


def test_its_thread_leaves_no_connection_and_may_read(goods):
    threads, used = [], []

    def count():
        threads.append(threading.get_ident())
        used.append(connections["default"])  # this thread's
        return Item.objects.uncached().count()

    counted = cached(key="count", timeout=20, tags=[Item])(count)
    assert [counted(), counted()] == [4, 4]
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
    assert used[0].connection is None  # the driver's: made by the count, and closed


def test_calls_that_never_come_back_are_bounded(service, monkeypatch):
    monkeypatch.setattr(bounded, "_free", threading.Semaphore(1))
    service.says = "nothing"
    for said in ("took longer", "calls are under way"):
        with pytest.raises(TimeoutError, match=said):
            asking(service, timeout=0.05)()
    service.go_on.set()


def test_a_coroutine_is_cancelled_when_its_time_is_over(fresh):
    ended = []

    @cached(key="slow", timeout=0.05)
    async def slow():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(TimeoutError):
        async_to_sync(slow)()
    assert ended == ["cancelled"]


# -- in peace ---------------------------------------------------------------------------------


def test_who_asked_for_peace_is_called_by_no_process_until_then(service):
    service.says = limited(60)
    rate = asking(service, backoff=RateLimited)
    with pytest.raises(RateLimited):
        rate()
    other = asking(service, backoff=RateLimited)  # as another process has it
    for function in (rate, other):
        with pytest.raises(BackedOff, match="RateLimited: slow down") as found:
            function()
        assert 50 < found.value.retry_after <= 60
    assert service.calls == 1
    (key,) = current_store().backend._client().keys("*:backoff:*")
    assert 50 < current_store().backend._client().ttl(key) <= 60


def test_it_is_called_again_when_the_time_is_over(service, monkeypatch):
    service.says = limited(60)
    rate = asking(service, backoff=RateLimited)
    with pytest.raises(RateLimited):
        rate()
    current_store().backend._client().flushdb()
    now = backing_off.time.time() + 61
    monkeypatch.setattr(backing_off, "time", SimpleNamespace(time=lambda: now))
    service.says = 3
    assert [rate(), service.calls] == [3, 2]


def test_a_value_that_is_there_is_given_all_the_while(service):
    rate = asking(service, backoff=RateLimited, ttl=60)
    assert rate() == 1
    service.says = limited(60)
    other = cached(key="{n}", backoff=RateLimited)(lambda n: service())
    with pytest.raises(RateLimited):
        other(1)
    assert rate() == 1


def test_other_errors_ask_for_nothing(service):
    service.says = LookupError()
    rate = asking(service, backoff={RateLimited: 5, OSError: 60})
    for _ in range(2):
        with pytest.raises(LookupError):
            rate()
    service.says = TimeoutError("an OSError, too")
    with pytest.raises(TimeoutError):
        rate()
    with pytest.raises(BackedOff):
        rate()
    assert service.calls == 3


def test_without_redis_this_process_knows_it(service, monkeypatch):
    def away(*args, **kwargs):
        raise BackendError("away")

    store = current_store()
    for name in ("read", "store"):
        monkeypatch.setattr(store, name, away)
    monkeypatch.setattr(store.backend, "get_many", away)
    service.says = limited()
    rate = asking(service, backoff=RateLimited)
    with pytest.raises(RateLimited):
        rate()
    with pytest.raises(BackedOff):
        rate()


def test_a_coroutine_function_keeps_the_peace_too(fresh):
    calls = []

    @cached(key="a", backoff=RateLimited)
    async def rate():
        calls.append(1)
        raise limited(60)

    with pytest.raises(RateLimited):
        async_to_sync(rate)()
    with pytest.raises(BackedOff):
        async_to_sync(rate)()
    assert calls == [1]


def with_header(value):
    headers = Message()
    headers["Retry-After"] = value
    return HTTPError("http://localhost", 429, "Too many", headers, None)


def response(value):
    error = RateLimited()
    error.response = SimpleNamespace(headers={"Retry-After": value})
    return error


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (limited(5), 5), (limited("7"), 7), (limited(datetime.timedelta(minutes=1)), 60),
        (limited(), None), (limited("soon"), None), (limited(True), None),
        (with_header("9"), 9), (response("11"), 11), (response(None), None), (LookupError(), None),
    ],
)  # fmt: skip
def test_it_is_told_in_many_ways_for_how_long(error, seconds):
    assert retry_after(error) == seconds


def test_it_may_be_told_by_a_date(monkeypatch):
    at = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    now = at.timestamp() - 30
    monkeypatch.setattr(backing_off, "time", SimpleNamespace(time=lambda: now))
    for told in (at, at.replace(tzinfo=None), "Thu, 01 Jan 2026 12:00:00 GMT"):
        assert retry_after(limited(told)) == 30


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"timeout": -1}, {"backoff": 5}, {"backoff": {OSError: 0}},
              {"backoff": (OSError, "a")}]
)  # fmt: skip
def test_mistakes_are_told_at_the_decoration(wrong):
    with pytest.raises((TypeError, ValueError), match=r"timeout|backoff="):
        cached(key="a", **wrong)(print)


# -- past its time ------------------------------------------------------------------------------


@pytest.fixture
def later(monkeypatch):
    """Moves the clock by which entries are judged."""
    now = [0.0]
    real = softly.clock
    monkeypatch.setattr(softly, "clock", lambda: real() + now[0])

    def move(seconds):
        now[0] += seconds

    return move


@pytest.mark.parametrize("error", [LookupError("down"), TimeoutError(), limited(60)], ids=str)
def test_the_last_good_value_is_given_while_the_function_fails(service, later, error):
    rate = asking(service, ttl=60, stale_if_error=3600, backoff=RateLimited)
    assert rate() == 1
    service.says = error
    assert rate() == 1
    later(61)
    with seen() as found:
        assert [rate(), rate()] == [1, 1]
    assert [(r.outcome, r.reason) for r in found.reads] == [("stale", "database failed")] * 2
    assert service.calls == (2 if isinstance(error, RateLimited) else 3)
    later(3600)
    with pytest.raises((type(error), BackedOff)):
        rate()


def test_what_was_invalidated_is_not_given_even_then(service, later):
    rate = asking(service, ttl=60, stale_if_error=3600, tags=[Item])
    rate()
    later(61)
    service.says = LookupError()
    assert rate() == 1
    invalidate(Item)
    with pytest.raises(LookupError):
        rate()


def test_mistakes_in_the_code_are_not_hidden_by_it(service, later):
    rate = asking(service, ttl=60, stale_if_error=3600)
    rate()
    later(61)
    service.says = object()
    with pytest.raises(UncacheableResult):
        rate()


def test_it_is_computed_in_the_background_while_the_old_one_is_given(service, later):
    rate = asking(service, ttl=60, stale_for=600)
    rate()
    service.says = 2
    later(61)
    assert rate() == 1
    assert pool.settle(20)
    later(-61)
    assert [rate(), service.calls] == [2, 2]


def test_a_coroutine_function_too(fresh, later):
    calls = []

    @cached(key="{n}", ttl=60, stale_for=600)
    async def rate(n):
        calls.append(n)
        await asyncio.sleep(0)
        return len(calls)

    ask = async_to_sync(rate)
    assert ask([1]) == 1
    later(61)
    assert ask([1]) == 1
    assert pool.settle(20)
    later(-61)
    assert ask([1]) == 2
