"""Faults of Valkey itself: flushed, restarted, failed over, filled, robbed of a key."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.scene import Scene
from tests.faults.writing import KILL, POINTS

STATE_LOSSES = (
    "flush",
    "restart_empty",
    "restart_with_data",
    "fail_over",
    "fail_back",
    "flush_under_a_writer",
    "fail_over_under_a_writer",
)


class Losing:
    def __init__(self, scene: Scene) -> None:
        self.scene, self.processes, self.dice = scene, scene.processes, scene.dice
        self.servers = scene.servers

    def flush(self) -> None:
        with self.servers.client() as client:
            client.flushall()

    def restart_empty(self) -> None:
        with self.servers.client() as client:
            client.shutdown(nosave=True, now=True)
        self.servers.primary.stop()  # which waits for its end
        self._come_back()

    def restart_with_data(self) -> None:
        """kill -9; it comes back with what it had saved a moment before."""
        with self.servers.client() as client:
            client.save()
        time.sleep(self.dice.random() * 0.3)
        self.servers.kill()
        self._come_back()
        dump: Path = self.servers.primary.home / "dump.rdb"
        dump.unlink()

    def _come_back(self) -> None:
        time.sleep(self.dice.random() * 0.2)
        self.servers.start_again()

    def fail_over(self) -> None:
        """The primary is killed, and a replica promoted that has not got the newest writes."""
        self.servers.wait_for_replica()
        self.servers.replication.swallow()
        time.sleep(self.dice.uniform(0.05, 0.4))
        self.servers.kill()
        self.servers.replication.heal()
        self.servers.promote()

    def fail_back(self) -> None:
        """A failover to such a replica, and back to a primary that knows nothing of what was
        written in between, and is the same process."""
        self.servers.wait_for_replica()
        self.servers.replication.swallow()
        time.sleep(self.dice.uniform(0.05, 0.4))
        self.servers.promote_for(self.scene.plan.life * self.dice.uniform(0.5, 2.5))
        self.servers.replication.heal()

    def fill_memory(self) -> None:
        """`maxmemory 3mb`, and strangers who need it."""
        with self.servers.client() as client:
            policy = self.dice.choice(("allkeys-lru", "allkeys-random"))
            client.config_set("maxmemory-policy", policy)
            client.config_set("maxmemory", "3mb")
            for number in range(200):
                client.set(f"stranger:{number}", os.urandom(20_000))
            self.scene.journal.note(f"{policy}: {client.info('stats')['evicted_keys']} evicted")
            client.config_set("maxmemory", "64mb")
            client.delete(*[f"stranger:{number}" for number in range(200)])

    def evict(self) -> None:
        """One key goes: a guard, or any."""
        with self.servers.client() as client:
            kind = self.dice.choice(("guard", "guard", "tag", "*"))
            keys = sorted(client.scan_iter(match=f"*:{kind}:*", count=10_000))
            if keys:
                key = self.dice.choice(keys)
                self.scene.journal.note(f"evicted {key.decode()}")
                client.delete(key)

    # -- what a writer had registered is lost -----------------------------------------------

    def flush_under_a_writer(self) -> None:
        self._under_a_writer(self.flush)

    def evict_under_a_writer(self) -> None:
        self._under_a_writer(self.evict)

    def fail_over_under_a_writer(self) -> None:
        self._under_a_writer(self.fail_over)

    def _under_a_writer(self, loss: Callable[[], None]) -> None:
        """What a writer had registered is lost while it stands still; then it goes on, and maybe
        dies before it can bump."""
        page, dice = self.processes.some("writer"), self.dice
        self.processes.stop_at(page, dice.choice(self.scene.points[1:-1]))
        loss()
        time.sleep(
            self.scene.plan.life * dice.uniform(0.05, 0.3)
        )  # readers may fall into the trap
        dies = dice.random() < 0.6
        if dies:
            page.order = KILL + POINTS.index("between COMMIT and release")
        self.processes.go_on(page)
        if dies:
            self.processes.wait(lambda: page.order == 0)
            self.processes.bury(page)
