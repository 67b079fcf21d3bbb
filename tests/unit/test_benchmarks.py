"""The benchmarks mark what is wrong: judged without servers, by workers that only pretend."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType

from tests.benchmarks import judging, placing, report
from tests.benchmarks.cases import CASES, Case, Kind
from tests.benchmarks.rounds import Outcome, measure
from tests.benchmarks.timing import time_blocks

BY_KIND = {case.kind: case for case in CASES.values()}


class Pretended:
    """A worker that answers `n` to `n`; but -1 from the `wrong_from`th call on."""

    def __init__(
        self, case: Case, *, caches: bool = True, wrong_from: float = float("inf")
    ) -> None:
        self._case, self._caches, self._wrong_from = case, caches, wrong_from
        self._calls, self._true, self._kept = 0, {}, []
        self._numbers = itertools.count() if case.kind is Kind.MISS else itertools.cycle(range(32))

    def _ask(self, n: int) -> int:
        self._calls += 1
        return n if self._calls < self._wrong_from else -1

    def tell(self, do: str, **order: Any) -> Any:
        if do == "arguments":
            return list(range(32))
        if do == "answers":
            return {n: n for n in order["asked"]}
        if do == "expect":
            self._true = order["true"]
        if do == "ask_all":
            self._kept = [(n, self._ask(n)) for n in range(32)]
        if do == "wrong":
            return judging.wrong(self._kept, self._true)
        return self._timed() if do == "time" else None

    def _timed(self) -> dict[str, Any]:
        found = time_blocks(self._ask, self._numbers, 1.0, 200)
        self._kept = found.kept
        if self._case.kind is Kind.WRITE:
            self._kept = [(n, self._ask(n)) for n in range(32)]
        is_hit = self._caches and self._case.kind in (Kind.HIT, Kind.NEAR)
        return {
            "seconds": found.seconds or [0.001],
            "calls": found.calls,
            "statements": 0 if is_hit else found.calls,
            "commands": 0,
            "asked": sorted({n for n, _ in self._kept}),
        }


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr("tests.benchmarks.timing.BLOCK_SECONDS", 0.0)
    monkeypatch.setattr(placing, "begin", lambda *_, **__: None)


def measured(case: Case, name: str, **how: Any) -> Any:
    workers = {"uncached": Pretended(case, caches=False), name: Pretended(case, **how)}
    return measure(case, workers, 2, 1.0, apart=False)[name]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", Kind)
def test_right_answers_are_right(kind):
    found = measured(BY_KIND[kind], "floor")
    assert found.right
    assert found.hits


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("wrong_from", [1, 101])
def test_wrong_answers_among_those_timed_are_marked(kind, wrong_from):
    found = measured(BY_KIND[kind], "floor", wrong_from=wrong_from)
    assert not found.right
    outcome = Outcome({BY_KIND[kind].title: {"floor": found}})
    assert " †" in report.as_markdown(outcome, ["floor"]).splitlines()[2]


@pytest.mark.parametrize("kind", Kind)
def test_a_wrong_answer_of_ours_ends_the_run(kind):
    with pytest.raises(RuntimeError, match="answered wrongly"):
        measured(BY_KIND[kind], "cachepatterns", wrong_from=101)


def test_all_of_the_first_block_is_kept_and_the_last_of_later_ones(monkeypatch):
    monkeypatch.setattr("tests.benchmarks.timing.BLOCK_SECONDS", 2e-6)  # of at most 3 calls
    found = time_blocks(lambda n: -n, itertools.count(), 1.0, 60)
    size = (found.calls - 1) // len(found.seconds)
    assert found.kept[: size + 1] == [(n, -n) for n in range(size + 1)]
    assert found.kept[size + 1 :] == [(n, -n) for n in range(2 * size, found.calls, size)]


def test_a_herd_is_one_load_and_right_answers():
    true = [5, 6]
    right = [[5] * 64, [6] * 64]
    assert judging.is_one_load([1, 1], right, true)
    assert not judging.is_one_load([0, 1], right, true)
    assert not judging.is_one_load([1, 2], right, true)
    assert not judging.is_one_load([1, 1], [[5] * 64, [6] * 63 + [5]], true)
    assert not judging.is_one_load([1, 1], [[5] * 64, [6] * 63 + [None]], true)
    assert not judging.is_one_load([1], right[:1], true)
    assert not judging.is_one_load([], [], true)


def test_answers_are_the_same_in_columns_links_and_types():
    def row(name: str, app: str | None) -> Permission:
        found = Permission(pk=1, name=name, codename="x", content_type_id=2)
        if app is not None:
            Permission._meta.get_field("content_type").set_cached_value(
                found, ContentType(pk=2, app_label=app, model="m")
            )
        return found

    assert judging.same([row("a", "b")], [row("a", "b")])
    assert not judging.same([row("a", "b")], [row("A", "b")])
    assert not judging.same([row("a", "b")], [row("a", "c")])
    assert not judging.same([row("a", None)], [row("a", "b")])
    assert not judging.same([row("a", None)], [row("a", None)] * 2)
    assert not judging.same({"n": 1}, {"n": 1.0})
    assert not judging.same(True, 1)
    assert not judging.same({1: 2}, {1: 2, 3: 4})
    assert judging.wrong([(1, "a"), (2, "b"), (3, "c")], {1: "a", 2: "x"}) == [2, 3]


def test_what_was_not_measured_has_no_figure():
    said = report.as_markdown(Outcome(bytes_per_row={"floor": 400.0}), ["floor", "cachepatterns"])
    assert "| bytes per cached row | 400 |  |  |  |  |" in said
