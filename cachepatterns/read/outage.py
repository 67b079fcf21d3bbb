"""Whether an error of the database's says that it is in trouble, rather than that it was asked
something wrong: only the former may be answered by what is past its time."""

from __future__ import annotations

import sqlite3

from django.db import InterfaceError, OperationalError

_SQLITE_ERROR = 1
"""The code for everything that is wrong with the statement: a table that is not there, too."""
_MYSQL_SERVER = frozenset({1040, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1205, 1213, 1226,
                           1290, 1317, 1836, 1927, 1969, 3024, 4031})  # fmt: skip
"""Too many connections, shutdown, aborted, network, lock wait and deadlock, read-only, killed and
timed out. The rest of the server's codes tell of the statement."""
_MYSQL_CLIENT = range(2000, 2100)


def is_outage(error: BaseException) -> bool:
    """Whether the database could not be reached, or could not answer: the connection is refused
    or lost, a timeout, a lock, no room. Not: errors in the statement or the schema."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        code: int | None = getattr(cause, "sqlite_errorcode", None)
        return code is not None and code & 0xFF != _SQLITE_ERROR
    number = error.args[0] if error.args else None
    if isinstance(number, int):  # MySQL and MariaDB
        return number in _MYSQL_SERVER or number in _MYSQL_CLIENT
    return True  # PostgreSQL's classes tell the two apart
