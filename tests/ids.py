"""Ids that databases give out begin at ten million, beyond all that tests write down.

Sequences run on from test to test, in an order that differs from run to run. So a test that says
777 for a row that is not there, or makes a row with id 1 itself, would fail on the day on which
the sequence has come to just that; and one that sorts ids as texts on the day of 9 and 10.
"""

from django.db import connections

FIRST = 10_000_000


def begin_high(*, using: str, **_signal: object) -> None:
    """After migrations: each sequence of which nothing was taken yet (receiver)."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return  # the others' flush begins anew, and they count on from ids that were given to them
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT setval(format('%%I.%%I', schemaname, sequencename)::regclass, %s, false)"
            " FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NULL",
            [FIRST],
        )
