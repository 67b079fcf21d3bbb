"""The differential test finds what it is there to find: each fault here must be caught."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cachepatterns import sqlwatch
from cachepatterns.read import compiler, eligibility, plans
from cachepatterns.transactions import PendingWrites
from cachepatterns.write import dispatch, telling
from cachepatterns.write.fence import Fence
from tests.differential.harness import Difference, Harness, NoHit

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.usefixtures("both_databases"),
]
STEPS = 2000
BOTH, POSTGRESQL = ("default", "sqlite"), ("default",)


def _only_new_values(told_tags: Any) -> Any:
    return lambda policy, database, rows: told_tags(policy, database, [(None, a) for _, a in rows])


def _only_old_values(told_tags: Any) -> Any:
    def without_inserts(policy: Any, database: str, rows: Any) -> Any:
        known = [(before, after) for before, after in rows if before is not None]
        return told_tags(policy, database, known) if known else set()

    return without_inserts


def _only_own_table(dependencies: Any) -> Any:
    def narrowed(query: Any, *args: Any) -> Any:
        found = dependencies(query, *args)
        own = f"{query.model._meta.concrete_model._meta.label_lower}@"
        return replace(found, always=tuple(t for t in found.always if t.startswith(own)))

    return narrowed


def _without_parameters(digest: Any) -> Any:
    return lambda sql, params, *more: digest(sql, (), *more)


def _of_nothing(blake2b: Any) -> Any:
    return lambda values, **options: blake2b(**options)


Fault = tuple[Any, str, Callable[[Any], Any]]

UNFENCED: tuple[Fault, ...] = (
    (Fence, "add", lambda _: lambda *args, **more: None),
    (Fence, "add_everything", lambda _: lambda *args, **more: None),
)
"""A registration alone, which expires with a bump, would keep the cache right."""

FAULTS: dict[str, tuple[tuple[Fault, ...], tuple[str, ...]]] = {
    "nothing is bumped": (
        (*UNFENCED, (dispatch, "deliver", lambda _: lambda *args: None)),
        BOTH,
    ),
    "a commit bumps nothing": (
        (*UNFENCED, (PendingWrites, "__call__", lambda _: lambda self: None)),
        BOTH,
    ),
    "statements are not watched": (
        ((sqlwatch, "coarse_event", lambda _: lambda *args: None),),
        BOTH,
    ),
    "inserts are not told": (((telling, "told_tags", _only_old_values),), BOTH),
    "old values are forgotten": (((telling, "told_tags", _only_new_values),), POSTGRESQL),
    "transactions read what others see": (
        ((eligibility, "pending_writes", lambda _: lambda connection: None), *UNFENCED),
        POSTGRESQL,
    ),
    "joined tables are forgotten": (
        tuple((home, "dependencies", _only_own_table) for home in (compiler, plans)),
        BOTH,
    ),
    "parameters are forgotten": (
        ((compiler, "query_digest", _without_parameters), (plans, "blake2b", _of_nothing)),
        BOTH,
    ),
}


@pytest.mark.parametrize(
    ("fault", "using"),
    [
        pytest.param(name, using, id=f"{name}, {using}")
        for name in FAULTS
        for using in FAULTS[name][1]
    ],
)
def test_the_harness_reports_it_when(fault, using, monkeypatch):
    for home, name, spoil in FAULTS[fault][0]:
        monkeypatch.setattr(home, name, spoil(getattr(home, name)))
    # With one key for many questions, no answer stays where it was stored.
    expected = (Difference, NoHit) if fault == "parameters are forgotten" else Difference
    with pytest.raises(expected):
        Harness(using, seed=1).run(STEPS)
