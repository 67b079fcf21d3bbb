"""So many a second, evenly spread; turns that were not needed are given back."""

from cachepatterns.warming.pace import Pace


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.waited: list[float] = []

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waited.append(round(seconds, 6))
        self.now += seconds


def pace(rate):
    time = Time()
    return time, Pace(rate, clock=time.clock, wait=time.wait)


def test_the_first_goes_at_once_and_the_others_one_by_one():
    time, found = pace(10)
    for _ in range(4):
        found.take()
    assert time.waited == [0.1, 0.1, 0.1]


def test_who_comes_late_is_not_made_up_for():
    time, found = pace(10)
    found.take()
    time.now += 5
    found.take()
    found.take()
    assert time.waited == [0.1]


def test_what_is_warm_already_costs_no_turn():
    time, found = pace(10)
    for _ in range(100):
        found.take()
        found.give_back()
    assert time.waited == []


def test_without_a_rate_nobody_waits():
    time, found = pace(None)
    for _ in range(100):
        found.take()
    assert time.waited == []
