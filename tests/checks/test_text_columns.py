"""Columns that hold texts for equal that their fields do not are found out: W033."""

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError

from cachepatterns.live import State
from cachepatterns.live.texts import text_findings
from tests.app.models import Item
from tests.policies import policy_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "connection.vendor != 'postgresql'", reason="of texts on others nothing is told apart"
    ),
]

AS_IT_WAS = 'ALTER TABLE app_item ALTER COLUMN name TYPE varchar(50) COLLATE "default"'
LENIENT = {
    "citext": (
        ["CREATE EXTENSION citext", "ALTER TABLE app_item ALTER COLUMN name TYPE citext"],
        "DROP EXTENSION citext",
    ),
    "char(n)": (["ALTER TABLE app_item ALTER COLUMN name TYPE char(50)"], "SELECT 1"),
    "under the collation lenient": (
        [
            "CREATE COLLATION lenient"
            " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            "ALTER TABLE app_item ALTER COLUMN name TYPE varchar(50) COLLATE lenient",
        ],
        "DROP COLLATION lenient",
    ),
}


def told():
    return [(finding.id, finding.text) for finding in text_findings() if finding.state != State.OK]


@pytest.mark.parametrize("how", LENIENT)
def test_a_column_that_holds_more_for_equal_than_its_field_is_told(how):
    changes, undo = LENIENT[how]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            for change in changes:
                cursor.execute(change)
    except DatabaseError as error:
        if "ICU is not supported" in str(error):
            pytest.skip("this PostgreSQL is built without ICU; Debian's is built with it")
        raise
    try:
        assert told() == []  # nothing is told apart by it
        with policy_of(Item, narrow_by=["name"]):
            ((check_id, text),) = told()
        assert check_id == "W033"
        assert text.startswith(f"app.item.name is {how} in the database")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(AS_IT_WAS)
            cursor.execute(undo)


def test_a_database_that_will_not_say_is_no_failure(monkeypatch):
    monkeypatch.setattr("cachepatterns.live.texts._LENIENT", "SELECT nothing")
    (finding,) = text_findings()
    assert (finding.state, finding.id) == (State.UNKNOWN, "I033")


def test_what_is_in_order_is_said():
    (finding,) = text_findings()
    assert finding.state == State.OK
