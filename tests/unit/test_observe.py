"""Events reach every listener, and neither a listener nor a dead server fills the log."""

import logging

import pytest

from cachepatterns import observe
from cachepatterns.observe import BurstLog, ErrorEvent

EVENT = ErrorEvent("read", "timeout")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(clock):
    return BurstLog(interval=30.0, clock=clock)


@pytest.fixture
def listener():
    """A list that gets the events of the test."""
    found: list[observe.Event] = []
    hear = found.append
    observe.subscribe(hear)
    yield found
    observe.unsubscribe(hear)


def test_the_first_of_a_burst_is_logged_and_the_rest_only_counted(log, clock, caplog):
    assert log.log("no answer: %s", "refused")
    assert [log.log("no answer: %s", "refused") for _ in range(4)] == [False] * 4
    clock.now += 30.0
    assert log.log("no answer: %s", "timeout")
    assert [record.getMessage() for record in caplog.records] == [
        "no answer: refused",
        "no answer: timeout (and 4 more like it since the last line)",
    ]


def test_after_a_quiet_time_a_message_stands_alone_again(log, clock, caplog):
    for _ in range(3):
        log.log("no answer")
        clock.now += 31.0
    assert [record.getMessage() for record in caplog.records] == ["no answer"] * 3


def test_messages_are_errors_of_the_packages_logger_with_their_traceback(log, caplog):
    try:
        raise ValueError("broken")
    except ValueError:
        log.log("survived", exc_info=True)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cachepatterns", logging.ERROR)
    assert "ValueError: broken" in caplog.text


def test_a_listener_hears_an_event_once_however_often_it_subscribed_until_it_leaves():
    heard = []

    def hear(event: observe.Event) -> None:
        heard.append(event)

    observe.subscribe(hear)
    observe.subscribe(hear)
    observe.emit(EVENT)
    observe.unsubscribe(hear)
    observe.emit(EVENT)
    assert heard == [EVENT]


def test_unsubscribing_a_stranger_changes_nothing(listener):
    observe.unsubscribe(print)
    observe.emit(EVENT)
    assert listener == [EVENT]


def test_a_listener_that_raises_is_logged_and_disturbs_nobody(listener, caplog, monkeypatch):
    monkeypatch.setattr(observe, "listener_errors", BurstLog())
    heard = []

    def fail(event: observe.Event) -> None:
        heard.append(event)
        raise RuntimeError("a bad listener")

    observe.subscribe(fail)
    try:
        observe.emit(EVENT)
        observe.emit(EVENT)
    finally:
        observe.unsubscribe(fail)
    assert len(heard) == 2
    assert len(listener) == 2
    assert [r.getMessage() for r in caplog.records] == ["A cachepatterns event listener failed"]
