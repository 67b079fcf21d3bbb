"""The comment by which a statement says that Django accounts for it.

The triggers of `cachepatterns.triggers` look for it at the end of the query, so that what is
bumped by its writer is not bumped once more by a relay. It names the connection's own server
process: copied from a log into another client, it says nothing. And it names the one table that
is accounted for; what the statement sets off in others is recorded all the same.
"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"\w{1,63}\Z", re.ASCII)
_PREFIX = re.compile(r"[\w.-]{1,63}\Z", re.ASCII)


def marker_parts(prefix: str, table: str) -> tuple[str, str] | None:
    """What stands before and after the process id; `None` where a name is not plain.

    The prefix is that of the keys: who bumps under another one accounts for nothing here.
    """
    if not (_PREFIX.match(prefix) and _PLAIN.match(table)):
        return None
    return f"/*cachepatterns:{prefix}:", f":{table}*/"


def marker(prefix: str, table: str, pid: int) -> str:
    """The comment for a statement that writes `table`, on the connection to process `pid`;
    empty where there can be none."""
    parts = marker_parts(prefix, table)
    return f"{parts[0]}{pid}{parts[1]}" if parts is not None else ""
