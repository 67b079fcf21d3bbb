"""Faults of connections to Valkey: cut, swallowed, held back, answers lost."""

from __future__ import annotations

import time

from tests.faults.proxy import Proxy
from tests.faults.scene import Scene

CUTS = ("cut", "black_hole", "delay", "lose_answers")
PARTINGS = ("part_writers", "part_writers_for_good")


class Cutting:
    def __init__(self, scene: Scene) -> None:
        self.scene, self.processes, self.dice = scene, scene.processes, scene.dice
        self.readers, self.writers = scene.servers.readers, scene.servers.writers

    def cut(self) -> None:
        """Connections are closed, and refused for a moment."""
        for proxy in self._sides():
            proxy.refuse()
        self._for_a_moment()

    def black_hole(self) -> None:
        """What is sent gets lost, without a word."""
        for proxy in self._sides():
            proxy.swallow()
        self._for_a_moment()

    def delay(self) -> None:
        """What is sent arrives late, maybe long after its sender has given up."""
        for proxy in self._sides():
            proxy.hold()
        self._for_a_moment()

    def lose_answers(self) -> None:
        """Commands are carried out, but the connection ends before the answer comes."""
        for proxy in self._sides():
            proxy.lose_answers(self.dice.randrange(1, 12))
        self._for_a_moment()

    def part_writers(self) -> None:
        """No writer reaches Valkey; readers do, and the relay, which delivers what it is not
        told."""
        self.writers.refuse()
        self.processes.everybody_writes()
        time.sleep(self.scene.plan.lease * self.dice.uniform(0.0, 1.2))
        self.processes.everybody_writes()
        self.writers.heal()

    def part_writers_for_good(self) -> None:
        """The same, the relay stands still, and the writers are killed: for longer than a lease
        nobody knows what they owed."""
        relay = self.processes.some("relay")
        self.processes.stop(relay)
        self.writers.refuse()
        self.processes.everybody_writes()
        for page in self.processes.all("writer"):
            self.processes.be_in_a_write(page)
            self.processes.kill(page)
        time.sleep(self.scene.plan.lease * self.dice.uniform(0.8, 1.5))
        self.processes.go_on(relay)
        self.writers.heal()

    def _sides(self) -> list[Proxy]:
        readers, writers = self.readers, self.writers
        sides = self.dice.choice([[readers], [writers], [writers], [readers, writers]])
        self.scene.journal.note(
            f"at {len(sides)} sides, {'with' if writers in sides else 'not'} writers"
        )
        return sides

    def _for_a_moment(self) -> None:
        time.sleep(self.scene.plan.life * self.dice.choice((0.1, 0.4, 1.2)))
        self.readers.heal()
        self.writers.heal()
