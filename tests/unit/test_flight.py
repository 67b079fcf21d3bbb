"""Single flight: who leads, who waits, and that nobody waits for what will never come."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cachepatterns.read.flight import Flights

LONG = 20.0
"""Seconds no test waits for: where one would, it fails."""


@pytest.fixture
def flights():
    return Flights()


@pytest.fixture
def others():
    """Threads other than the test's own."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool


def elsewhere(others, call, *args):
    return others.submit(call, *args).result(LONG)


def test_one_caller_leads_and_all_others_are_told_so(flights, others):
    land = flights.lead("a")
    assert land is not None
    assert flights.lead("a") is None
    assert elsewhere(others, flights.lead, "a") is None
    land(b"value")


def test_whoever_waits_gets_what_the_leader_found(flights, others):
    land = flights.lead("a")
    waiting = threading.Barrier(5)

    def wait():
        waiting.wait(LONG)
        return flights.wait("a", LONG)

    answers = [others.submit(wait) for _ in range(4)]
    waiting.wait(LONG)
    # A waiter that comes after the landing finds no flight, and loads for itself.
    land(b"value")
    assert {answer.result(LONG) for answer in answers} <= {b"value", None}


def test_a_waiter_that_is_waiting_when_the_flight_lands_gets_the_value(flights, others):
    land = flights.lead("a")
    flight = flights._flights["a"]
    began, really_wait = threading.Event(), flight.done.wait

    def wait(timeout):
        began.set()
        return really_wait(timeout)

    flight.done.wait = wait
    answer = others.submit(flights.wait, "a", LONG)
    assert began.wait(LONG)
    land(b"value")
    assert answer.result(LONG) == b"value"


def test_a_flight_that_failed_sends_its_waiters_off_with_nothing(flights, others):
    land = flights.lead("a")
    answer = others.submit(flights.wait, "a", LONG)
    land(None)
    assert answer.result(LONG) is None
    assert flights.lead("a") is not None


def test_after_the_landing_the_next_caller_leads_a_flight_of_its_own(flights):
    flights.lead("a")(b"value")
    assert len(flights) == 0
    assert flights.wait("a", LONG) is None
    assert flights.lead("a") is not None


def test_flights_of_other_names_know_nothing_of_each_other(flights, others):
    land = flights.lead(("key", (b"stamp",)))
    assert elsewhere(others, flights.wait, ("key", (b"other",)), LONG) is None
    assert flights.lead(("key", (b"other",))) is not None
    land(None)


def test_waiting_ends_with_its_timeout(flights, others):
    land = flights.lead("a")
    assert elsewhere(others, flights.wait, "a", 0.001) is None
    land(b"late")


def test_the_leaders_own_thread_never_waits_for_itself(flights):
    """A load that asks the same question again (in a signal, a property) must not hang."""
    land = flights.lead("a")
    assert flights.wait("a", LONG) is None
    land(b"value")


def test_landing_late_does_not_end_the_flight_of_a_successor(flights):
    """After a fork the child forgets all flights, then leads its own of the same name."""
    land = flights.lead("a")
    flights.forget()
    assert len(flights) == 0
    successor = flights.lead("a")
    land(b"old")
    assert flights.lead("a") is None
    successor(b"new")
    assert flights.lead("a") is not None


def test_of_many_callers_at_once_exactly_one_leads(flights, others):
    start = threading.Barrier(8)

    def lead(_):
        start.wait(LONG)
        return flights.lead("a")

    leaders = [land for land in others.map(lead, range(8)) if land is not None]
    assert len(leaders) == 1
