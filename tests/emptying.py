"""Emptying PostgreSQL after a test in a millisecond, where Django's flush takes a hundred.

TRUNCATE makes new files for each of sixty tables and their indexes, most of which hold nothing,
and then content types and permissions are made anew. Here rows are deleted, with foreign keys and
triggers asleep, and those two tables stay. So does the cache hear of it: every stamp goes, which
is no more than an eviction may do at any time.
"""

import os
from typing import Any

import redis
from django.db import connections
from django.test import TransactionTestCase

KEPT = {"django_content_type", "auth_permission", "django_migrations"}
"""Tables that hold what migrating has put there."""

_of_django = TransactionTestCase._fixture_teardown


def empty(case: TransactionTestCase) -> None:
    """In place of `TransactionTestCase._fixture_teardown`."""
    names = list(case._databases_names(include_mirrors=False))
    is_plain = case.available_apps is None and not case.serialized_rollback
    if names != ["default"] or connections["default"].vendor != "postgresql" or not is_plain:
        _of_django(case)
        for name in names:
            _forget_events(connections[name])
        return
    _delete_rows(connections["default"])
    _drop_stamps()


def _delete_rows(connection: Any) -> None:
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    deletes = [f"DELETE FROM {connection.ops.quote_name(name)}" for name in {*tables} - KEPT]
    asleep = "SET LOCAL session_replication_role = replica"
    with connection.cursor() as cursor:
        # On the driver's cursor: nobody need invalidate table by table what all goes at once.
        cursor.cursor.execute("; ".join(["BEGIN", asleep, *deletes, "COMMIT"]))


def _forget_events(connection: Any) -> None:
    """What emptying by statements has left in the outbox, if that is still on."""
    table = "cachepatterns_invalidationevent"
    with connection.cursor() as cursor:
        if table in connection.introspection.table_names(cursor):
            cursor.cursor.execute(f"DELETE FROM {table}")


def _drop_stamps() -> None:
    with redis.Redis.from_url(os.environ["CACHE_URL"]) as client:
        stamps = list(client.scan_iter("*:tag:*", count=10_000))
        if stamps:
            client.delete(*stamps)
