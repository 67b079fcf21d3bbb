import datetime
import decimal
import uuid

import pytest
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int4

from cachepatterns.core import asked
from cachepatterns.core.asked import FRESH, STALE, UNKNOWN, verdict
from cachepatterns.exceptions import CorruptEntry, UnstorableValue


def packed(*params):
    return asked.pack(
        "default",
        "SELECT %s",
        params,
        stamps=["a"],
        guards=["b"],
        single=False,
        columns=None,
        ordered=True,
    )


def test_a_question_comes_back_with_the_types_of_its_parameters():
    params = (1, "x", None, True, decimal.Decimal("1.50"), uuid.UUID(int=5), [1, 2])
    params += (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), datetime.date(2026, 1, 2))
    question = asked.unpack(packed(*params))
    assert repr(question.parameters()) == repr(list(params))
    assert not any(question.kinds)


def test_the_drivers_own_types_are_remembered_by_name():
    question = asked.unpack(packed(Int4(7)))
    assert (question.parameters(), question.kinds) == ([7], ["Int4"])


def test_what_can_not_be_kept_exactly_is_not_kept():
    with pytest.raises(UnstorableValue):
        packed(Jsonb({"a": 1}))


def test_hostile_bytes_are_no_question():
    for payload in (b"", b"\x00", packed(1)[:-1]):
        with pytest.raises(CorruptEntry):
            asked.unpack(payload)


@pytest.mark.parametrize(
    ("cached", "found", "sql", "ordered", "expected"),
    [
        ([(1,)], [(1,)], "SELECT", False, FRESH),
        ([(1,), (2,)], [(2,), (1,)], "SELECT", False, FRESH),
        ([(1,), (2,)], [(2,), (1,)], "SELECT", True, STALE),
        ([(1,)], [(2,)], "SELECT", False, STALE),
        ([(1,)], [(True,)], "SELECT", False, STALE),
        ([(1,)], [(2,)], "SELECT LIMIT 1", False, UNKNOWN),
        ([(1,)], [(2,)], "SELECT LIMIT 1", True, STALE),
        ([(1,)], [(2,)], "SELECT LIMIT 21", False, STALE),
        ([(1,)], [(2,)], "SELECT LIMIT 21 OFFSET 2", False, UNKNOWN),
        ([(1,)], [(2,)], "SELECT (SELECT LIMIT 1) LIMIT 21", False, UNKNOWN),
        ([(1,)], [(2,)], "select * from t limit 1", False, UNKNOWN),
        ([(1,)], [(2,)], 'SELECT "t"."limit"', False, STALE),
        ([(1,)], [(2,)], "select now()", False, UNKNOWN),
        ([(1,)], [], "select * from t where day = current_date", False, UNKNOWN),
        ([(1,)], [], "select * from t where day < 'today'::date", False, UNKNOWN),
        ([(1,)], [(2,)], "select uuid, random from t", False, STALE),
        ([(1,)], [], "SELECT LIMIT 1", False, STALE),
        ([("a,b",)], [("b,a",)], "SELECT STRING_AGG(x)", True, UNKNOWN),
        ([(0.1 + 0.2,)], [(0.3,)], "SELECT SUM(x)", False, FRESH),
        ([(0.1,)], [(object(),)], "SELECT", False, UNKNOWN),
    ],
)
def test_only_what_can_not_be_right_is_stale(cached, found, sql, ordered, expected):
    assert verdict(cached, found, sql, ordered=ordered) == expected
