"""Every stock field comes back from the cache as the database gives it, to type and `repr`."""

import datetime
import os
import zoneinfo
from decimal import Decimal

import pytest
from django.db import connections
from django.db.models import Avg, Count, Max, Min, Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachepatterns import uncached
from cachepatterns.registry import site
from tests.app.models import Everything
from tests.calm import nobody_writes
from tests.differential.freezing import freeze
from tests.events import seen

DATABASES = ["default", "sqlite"]
pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
KATHMANDU = zoneinfo.ZoneInfo("Asia/Kathmandu")

VALUES = {
    "big": [0, 2**63 - 1, -(2**63)],
    "small": [-32768, 32767],
    "text": ["", "a\tb\nc", "ünder \U0001f33b", "x" * 10_000, "NULL", "%s"],
    "char": ["", " padded ", "'; DROP TABLE app_item; --"],
    "flag": [True, False],
    "decimal": [Decimal(t) for t in ("0", "-0", "1", "1.0", "0.0000000001", "-99999999999.5")],
    "real": [0.0, -0.0, 0.1, 1e308, 5e-324, float("inf"), float("-inf")],
    "date": [datetime.date(1, 1, 1), datetime.date(9999, 12, 31)],
    "time": [datetime.time(0, 0), datetime.time(23, 59, 59, 999999)],
    "moment": [
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        datetime.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
        datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        datetime.datetime(1900, 1, 1, 12, 0, 0, 1, tzinfo=KATHMANDU),
    ],
    "span": [datetime.timedelta(0), datetime.timedelta(days=-400, seconds=3, microseconds=7)],
    "raw": [b"", b"\x00\xff", bytes(range(256))],
    "json": [{}, [], "text", 0, False, 1.5, 10**30, {"a": [1, {"b": None}], "ü": "x"}, [[[]]]],
    "ip": ["10.0.0.1", "::1", "2001:db8::ff"],
    "url": ["https://example.org/?a=b#c"],
    "file": ["folder/file.txt", ""],
}


@pytest.fixture(params=DATABASES)
def using(request, monkeypatch, transactional_db, empty_cache):
    """Each database in turn, with `Everything` cached on it."""
    policy = site.policy_for(Everything)
    monkeypatch.setattr(type(policy.policy), "databases", DATABASES)
    site.forget()
    nobody_writes()
    yield request.param
    monkeypatch.undo()
    site.forget()


def readings(rows, key):
    """The ways in which one row's values can be asked for."""
    return {
        "get": lambda: rows.get(pk=key),
        "in_bulk": lambda: rows.in_bulk([key]),
        "list": lambda: list(rows.filter(pk=key).order_by("pk")),
        "values": lambda: list(rows.filter(pk=key).values()),
        "named": lambda: list(rows.filter(pk=key).values_list(named=True)),
        "aggregate": lambda: rows.filter(pk=key).aggregate(
            Max("decimal"), Max("moment"), Min("text"), Max("date"), Avg("real"), Count("raw")
        ),
    }


def unlike(using: str, key) -> dict[str, object]:
    """The readings whose second, cached answer is not the database's, or was no hit."""
    found = {}
    for name, read in readings(Everything.objects.using(using), key).items():
        with uncached():
            truth = freeze(read())
        read()
        with seen() as events:
            again = freeze(read())
        if again != truth or events.outcomes != ["hit"]:
            found[name] = (truth, again, events.reads)
    return found


@pytest.mark.parametrize("field", VALUES)
def test_values_of_a_field_come_back_as_they_are(using, field):
    for value in VALUES[field]:
        row = Everything.objects.using(using).create(**{field: value})
        assert unlike(using, row.pk) == {}, value


def test_nulls_come_back_as_nulls(using):
    row = Everything.objects.using(using).create()
    assert unlike(using, row.pk) == {}


rows = st.fixed_dictionaries(
    {},
    optional={
        "big": st.integers(-(2**63), 2**63 - 1),
        "text": st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
        "flag": st.booleans(),
        "decimal": st.decimals(-(10**9), 10**9, places=5),
        "real": st.floats(allow_nan=False),
        "date": st.dates(),
        "time": st.times(),
        "moment": st.datetimes(
            datetime.datetime(1, 1, 3),
            datetime.datetime(9999, 12, 29),
            timezones=st.sampled_from([datetime.UTC, BERLIN, KATHMANDU]),
        ),
        "span": st.timedeltas(datetime.timedelta(days=-9999), datetime.timedelta(days=9999)),
        "raw": st.binary(),
        "json": st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("abcü"),
            lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
            max_leaves=5,
        ),
    },
)


@given(values=rows)
@settings(
    database=None,
    deadline=None,
    max_examples=int(os.environ.get("FIELD_EXAMPLES", "40")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_random_rows_come_back_as_they_are(using, values):
    row = Everything.objects.using(using).create(**values)
    assert unlike(using, row.pk) == {}


def test_the_current_time_zone_changes_neither_rows_nor_their_keys(using):
    row = Everything.objects.using(using).create(moment=VALUES["moment"][3])
    assert unlike(using, row.pk) == {}
    with timezone.override(KATHMANDU), seen() as events:
        found = Everything.objects.using(using).get(pk=row.pk)
        assert found.moment == row.moment
        assert found.moment.tzinfo is datetime.UTC
    assert events.outcomes == ["hit"]


def test_prices_that_sqlite_keeps_as_integers_and_as_floats_are_stored_together(using):
    for price in ("5.00", "5.25", "-0.5"):
        Everything.objects.using(using).create(decimal=Decimal(price))
    read = Everything.objects.using(using).order_by("decimal").values_list("decimal", flat=True)
    with uncached():
        truth = freeze(list(read.all()))
    list(read.all())
    with seen() as events:
        assert freeze(list(read.all())) == truth
    assert events.outcomes == ["hit"]


# -- what can not be stored ---------------------------------------------------------------------


def told_twice(read) -> list[str]:
    """The reasons of two reads, each of which gave what the database gives."""
    with uncached():
        truth = freeze(read())
    with seen() as events:
        assert [freeze(read()), freeze(read())] == [truth, truth]
    assert events.outcomes == ["miss", "miss"]
    return events.reasons


def test_a_sum_beyond_64_bits_is_exact(fresh):
    for _ in range(3):
        Everything.objects.create(big=2**63 - 1)
    for _ in range(2):
        assert Everything.objects.aggregate(n=Sum("big"))["n"] == 3 * (2**63 - 1)
    with seen() as events:
        assert type(Everything.objects.aggregate(n=Sum("big"))["n"]) is int
    assert events.outcomes == ["hit"]


@pytest.mark.parametrize("using", ["sqlite"], indirect=True)
def test_a_column_of_text_and_bytes_is_served_but_not_stored(using):
    Everything.objects.using(using).create(text="a", raw=b"a")
    rows = Everything.objects.using(using)
    both = rows.values_list("text").union(rows.values_list("raw"))
    assert told_twice(lambda: sorted(both.all(), key=repr)) == ["unstorable", "unstorable"]


@pytest.fixture
def berlin(fresh):
    """A connection whose own time zone is not UTC: its driver returns local times."""
    connection = connections["default"]
    Everything.objects.create(moment=VALUES["moment"][0])

    def reconnect(zone):
        connection.close()
        connection.settings_dict["TIME_ZONE"] = zone
        for name in ("timezone", "timezone_name"):
            connection.__dict__.pop(name, None)

    reconnect("Europe/Berlin")
    yield
    reconnect(None)


def test_times_that_are_not_utc_are_served_but_not_stored(berlin):
    key = Everything.objects.uncached().get().pk
    for name, read in readings(Everything.objects, key).items():
        assert told_twice(read) == ["unstorable", "unstorable"], name
    assert Everything.objects.get(pk=key).moment.tzinfo == BERLIN


def test_a_result_beyond_the_size_limit_is_served_but_not_stored(fresh, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "MAX_VALUE_BYTES": 2000}
    # Random digits, which no compression makes small.
    row = Everything.objects.create(text="".join(str(n * n % 9973) for n in range(5000)))
    for name in ("get", "in_bulk", "list"):
        read = readings(Everything.objects, row.pk)[name]
        assert told_twice(read) == ["too large", "too large"], name
