"""The protocol holds in every interleaving, and the explorer would see it if it did not.

`CACHEPATTERNS_PROTOCOL=deep` searches more of it: all kinds of writers, all faults together,
deadlines that differ, two lost commands. That takes minutes and some gigabytes.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.protocol.harmless import HARMLESS
from tests.protocol.mutations import (
    AUTOCOMMIT,
    BROKEN,
    EVENTUAL,
    FORESEEING,
    FORESEES,
    STAYING,
    STAYS,
    TRANSACTION,
    Mutation,
)
from tests.protocol.search import found_for, search
from tests.protocol.setting import FAULTS, Protocol, Setting

PAGE = Path(__file__).parents[2] / "docs" / "protocol-model.md"
DEEP = os.environ.get("CACHEPATTERNS_PROTOCOL") == "deep"

MUTATIONS = (*BROKEN, *FORESEEING, *STAYING)
T, A, E, F, S = TRANSACTION, AUTOCOMMIT, EVENTUAL, FORESEES, STAYS
OUTBOX = Protocol(outbox=True, away_at_fence="write")
NO_FAILOVER = FAULTS - {"failover"}
LOSING = frozenset({"failover", "evict", "crash"})

SETTINGS = {
    "no fault": Setting(kinds=(T, T)),
    "one transaction, failover and more": Setting(kinds=(T,), faults=LOSING, lookups=False),
    "one autocommit statement, failover and crash": Setting(
        kinds=(A,), faults=LOSING - {"evict"}, lookups=False
    ),
    "transactions, all but failover": Setting(kinds=(T, T), faults=NO_FAILOVER),
    "one of each, all but eviction and failover": Setting(
        kinds=(T, A), faults=NO_FAILOVER - {"evict"}
    ),
    "one that foresees, and a transaction, crash and unknown COMMIT": Setting(
        kinds=(F, T), faults=frozenset({"crash", "unknown"})
    ),
    "one that leaves the row, and a transaction, crash and unknown COMMIT": Setting(
        kinds=(T, S), faults=frozenset({"crash", "unknown"}), lookups=False, rows=True
    ),
    "one that leaves the row, and a statement": Setting(kinds=(A, S), lookups=False, rows=True),
    "autocommit, all but eviction and failover": Setting(
        kinds=(A, A), faults=NO_FAILOVER - {"evict"}, lookups=False
    ),
}
SETTINGS |= {
    "outbox, a transaction, crash and Redis away": Setting(
        OUTBOX, (T,), frozenset({"crash", "away"}), lookups=False, readers=1
    ),
    "outbox, an eventual writer, crash and unknown COMMIT": Setting(
        OUTBOX, (E,), frozenset({"crash", "unknown"}), lookups=False, readers=1
    ),
}
DEEP_SETTINGS = {
    f"{first}, {second}, {name}": setting
    for first in (T, A)
    for second in (T, A)
    for name, setting in {
        "all but failover": Setting(kinds=(first, second), faults=NO_FAILOVER),
        "failover": Setting(kinds=(first, second), faults=frozenset({"failover"}), lookups=False),
        "long lives": Setting(
            Protocol(life=2), (first, second), frozenset({"crash", "unknown", "flush"})
        ),
        "every fault, one writer": Setting(kinds=(first,), faults=FAULTS),
        "two commands lost": Setting(
            kinds=(first,), faults=frozenset({"failover", "crash"}), lost_commands=2
        ),
    }.items()
}
DEEP_SETTINGS |= {
    f"foresees, {name}": setting
    for name, setting in {
        "all but failover": Setting(kinds=(F, F), faults=NO_FAILOVER),
        "beside autocommit, all but failover": Setting(kinds=(F, A), faults=NO_FAILOVER),
        "failover and more": Setting(kinds=(F,), faults=LOSING, lookups=False),
        "long lives": Setting(Protocol(life=2), (F, T), frozenset({"crash", "unknown", "flush"})),
    }.items()
}
DEEP_SETTINGS |= {
    f"leaves the row, {name}": replace(setting, rows=True, lookups=False)
    for name, setting in {
        "beside a transaction, all but failover": Setting(kinds=(T, S), faults=NO_FAILOVER),
        "beside a statement, all but failover": Setting(kinds=(A, S), faults=NO_FAILOVER),
        "beside one that foresees, all but failover": Setting(kinds=(F, S), faults=NO_FAILOVER),
        "beside a transaction, failover": Setting(kinds=(T, S), faults=LOSING, readers=1),
        "long lives": Setting(Protocol(life=2), (T, S), frozenset({"crash", "unknown"})),
    }.items()
}
DEEP_SETTINGS |= {
    f"outbox, {first}, {name}": setting
    for first in (T, E)
    for name, setting in {
        "all but failover, two readers": Setting(OUTBOX, (first,), NO_FAILOVER),
        "all but failover, two relays": Setting(
            OUTBOX, (first,), NO_FAILOVER - {"flush"}, lookups=False, readers=1, relays=2
        ),
        "failover": Setting(OUTBOX, (first,), LOSING | {"away"}, lookups=False, readers=1),
        "long leases": Setting(
            replace(OUTBOX, lease=2), (first,), frozenset({"crash", "away"}), lookups=False
        ),
        "and another writer": Setting(
            OUTBOX, (first, E), frozenset({"crash", "away"}), lookups=False, readers=1
        ),
    }.items()
}
DEEP_SETTINGS |= {
    f"outbox, {kind}, {name}": Setting(
        protocol, (kind,), LOSING - {"evict"}, lookups=False, readers=1
    )
    for kind in (T, E)
    for name, protocol in {
        "the replay alone after a failover": replace(OUTBOX, quarantine_bumps_model=False),
        "the quarantine's bump alone after a failover": replace(OUTBOX, replays=False),
    }.items()
}
"""The last of them lack one of two lines of defence."""


@pytest.mark.parametrize("name", SETTINGS)
def test_the_protocol_holds(name: str) -> None:
    found = search(SETTINGS[name])
    print(f"{name}: {found}")
    assert not found.violation, f"\n{found}"
    assert found.states > 1000, "the model hardly does anything"


@pytest.mark.skipif(not DEEP, reason="nightly, hours: CACHEPATTERNS_PROTOCOL=deep")
@pytest.mark.parametrize("name", DEEP_SETTINGS)
def test_the_protocol_holds_in_more_settings(name: str) -> None:
    found = search(DEEP_SETTINGS[name])
    print(f"{name}: {found}")
    assert not found.violation, f"\n{found}"


@pytest.mark.parametrize(
    "mutation", [*BROKEN, *FORESEEING, *STAYING], ids=lambda mutation: mutation.name
)
def test_a_mutation_is_caught(mutation: Mutation) -> None:
    found = found_for(mutation)
    print(f"{mutation.name}: {mutation.why}\n{found}")
    assert found.violation, f"{mutation.name} went unnoticed: {found}"
    assert documented()[mutation.name] == str(len(found.steps) - 1)


@pytest.mark.parametrize("mutation", HARMLESS, ids=lambda mutation: mutation.name)
def test_what_looks_dangerous_and_is_not(mutation: Mutation) -> None:
    found = search(mutation.setting)
    print(f"{mutation.name}: {mutation.why}\n{found}")
    assert not found.violation, f"\n{found}"
    assert documented()[mutation.name] == "none"


def documented() -> dict[str, str]:
    """What the page's tables say: the length of each mutation's counter-example."""
    rows = re.findall(r"^\| ([^|]+) \| (\d+|none) \|", PAGE.read_text(), re.MULTILINE)
    return {name.strip(): length for name, length in rows}


def test_the_page_lists_every_mutation_and_no_other() -> None:
    assert set(documented()) == {
        mutation.name for mutation in (*BROKEN, *FORESEEING, *STAYING, *HARMLESS)
    }
