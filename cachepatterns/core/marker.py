"""The comment by which a statement says that Django accounts for it.

The triggers of `cachepatterns.triggers` look for it at the end of the query, so that what is
bumped by its writer is not bumped once more by a relay. It names the connection's own server
process: copied from a log into another client, it says nothing. And it names the one table that
is accounted for; what the statement sets off in others is recorded all the same.
"""

from __future__ import annotations

import re

_HEAD, _MIDDLE, _TAIL = "/*cachepatterns:", ":", "*/"
_PLAIN = re.compile(r"\w{1,63}\Z", re.ASCII)


def marker(pid: int, table: str) -> str:
    """The comment for a statement that writes `table`, on the connection to process `pid`;
    nothing for a table whose name is not plain."""
    return f"{_HEAD}{pid}{_MIDDLE}{table}{_TAIL}" if _PLAIN.match(table) else ""


def marker_parts(table: str) -> tuple[str, str] | None:
    """What stands before and after the process id, for the triggers."""
    return (_HEAD, f"{_MIDDLE}{table}{_TAIL}") if _PLAIN.match(table) else None
