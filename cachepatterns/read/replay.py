"""Whether a PostgreSQL replica has replayed all that its primary had committed.

The reader holds all its stamps. Whatever was committed before they were taken has its record in
the primary's log before the position that the primary tells *now*; a replica that has replayed
up to there shows it. Positions of two timelines can not be compared (after a failover a replica
may still follow the old primary), so both must be on the same one, of the same cluster.
"""

from __future__ import annotations

import time
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.conf import config
from cachepatterns.observe import BurstLog
from cachepatterns.read.primary import Position, position_of

log = BurstLog()

_FIRST_PAUSE = 0.001
_REPLAYED = """
SELECT (SELECT system_identifier FROM pg_control_system()) = %s
   AND greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                (SELECT min_recovery_end_timeline FROM pg_control_recovery())) = %s,
       pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= %s::pg_lsn
"""


def why_not_replayed(connection: BaseDatabaseWrapper, primary: BaseDatabaseWrapper) -> str:
    """Why `connection`, a replica's, may not yet show all that `primary` has committed; empty
    if it does. Waits up to ``REPLICA_WAIT_SECONDS`` for a replica that is almost there."""
    position = position_of(primary)
    if position is None:
        return "primary not asked"
    deadline, pause = time.monotonic() + config().REPLICA_WAIT_SECONDS, _FIRST_PAUSE
    try:
        while True:
            same_log, replayed = _compare(connection.connection, position)
            if not same_log:
                return "replica of another primary"
            if replayed:
                return ""
            if time.monotonic() + pause > deadline:
                return "replica behind"
            time.sleep(pause)
            pause *= 2
    except Exception as error:
        # Not every server that speaks PostgreSQL's protocol has these functions.
        log.log("cachepatterns can not ask the replica %r: %s", connection.alias, error)
        return "replica not asked"


def _compare(driver: Any, position: Position) -> tuple[bool, bool]:
    # The driver's cursor: the question is nothing that users' query counts should show.
    with driver.cursor() as cursor:
        cursor.execute(_REPLAYED, [position.system, position.timeline, position.lsn])
        same_log, replayed = cursor.fetchone()
    return bool(same_log), bool(replayed)
