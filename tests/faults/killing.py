"""Faults of processes: killed, stopped, their database sessions ended."""

from __future__ import annotations

import psycopg

from tests.faults.board import CLOSING
from tests.faults.scene import Scene
from tests.faults.writing import CLOSES, KILL, POINTS

KILLS = ("kill_at_random", "kill_at_a_point", "kill_reader", "kill_relay")


class Killing:
    def __init__(self, scene: Scene) -> None:
        self.scene, self.processes, self.dice = scene, scene.processes, scene.dice

    def kill_at_random(self) -> int:
        """SIGKILL of every writer, each at whatever instant of a write."""
        writers = self.processes.all("writer")
        for page in writers:
            self.processes.be_in_a_write(page)
            self.processes.kill(page)
        return len(writers)

    def kill_at_a_point(self) -> int:
        """SIGKILL of every writer, each at a chosen instant."""
        writers = self.processes.all("writer")
        for page in writers:
            page.order = KILL + POINTS.index(self.dice.choice(self.scene.points))
        for page in writers:
            self.processes.wait(lambda page=page: page.order == 0)
            self.processes.bury(page)
        return len(writers)

    def kill_reader(self) -> None:
        self.processes.kill(self.processes.some("reader"))

    def kill_relay(self) -> None:
        """SIGKILL of the relay, maybe between its bumps and saying so."""
        self.processes.kill(self.processes.some("relay"))

    def stop_briefly(self) -> None:
        """SIGSTOP for less than a registration lives, anywhere in a write."""
        page = self.processes.some("writer")
        self.processes.be_in_a_write(page)
        self.processes.stand_still(page, self.scene.plan.life * self.dice.uniform(0.1, 0.3))

    def stop_for_long(self) -> None:
        """SIGSTOP for longer than a registration lives, but not between closing the guard and
        the statement: no transaction is open there that the database could end, a documented
        limit of strictness (docs/protocol-model.md)."""
        page = self.processes.some("writer")
        if self.dice.random() < 0.5:
            points = [point for point in self.scene.points if point != CLOSES]
            self.processes.stop_at(page, self.dice.choice(points))
        else:
            self.processes.be_in_a_write(page)
        seconds = self.scene.plan.life * self.dice.uniform(1.2, 2.0)
        self.processes.stand_still(page, seconds, spare=CLOSING)

    def stop_reader(self) -> None:
        """SIGSTOP, so that it stores late what it has loaded."""
        page = self.processes.some("reader")
        self.processes.stand_still(page, self.scene.plan.life * self.dice.uniform(0.2, 1.5))

    def end_session(self) -> None:
        """pg_terminate_backend of a writer, or of a reader."""
        if self.dice.random() < 0.8:
            page = self.processes.some("writer")
            self.processes.be_in_a_write(page)
        else:
            page = self.processes.some("reader")
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        with psycopg.connect(self.scene.database, autocommit=True) as session:
            session.execute(sql, [f"faults-{page.number}"])
