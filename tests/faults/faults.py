"""The faults: each a method that does it, waits as long as it lasts, and mends it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg

from tests.faults.board import CLOSING, EXCUSING, IDLE, Board, Page, trace
from tests.faults.nursery import Nursery
from tests.faults.proxy import Proxy
from tests.faults.servers import Servers
from tests.faults.worker import KILL, POINTS, STOP, WRITE

PATIENCE = 20.0
NEVER_FOR_LONG = "between closing the guard and the statement"
"""No transaction is open here that the database could end: a documented limit of strictness
(docs/protocol-model.md). A writer is stopped here for less than its registration's life only."""


class Faults:
    """Does faults to a run's processes and servers, and counts them by kind."""

    def __init__(
        self,
        *,
        board: Board,
        nursery: Nursery,
        servers: Servers,
        database: str,
        life: float,
        dice: random.Random,
    ) -> None:
        self.board, self.nursery, self.servers = board, nursery, servers
        self.database, self.life, self.dice = database, life, dice
        self.done: Counter[str] = Counter()
        self.pids: dict[int, tuple[str, int]] = {}
        """Page number → role and process id."""
        self.journal = board.pages[0]

    def start(self, role: str, page: int) -> None:
        seed = f"{role}{page}-{self.dice.random()}"
        self.pids[page] = role, self.nursery.spawn(role, page, seed)

    def do(self, name: str) -> None:
        """One fault by the name of its method, which may tell how many it was."""
        self.journal.note(f"FAULT {name}")
        fault: Callable[[], int | None] = getattr(self, name)
        self.done[name] += fault() or 1
        self.journal.note(f"FAULT {name} is over")

    # -- processes --------------------------------------------------------------------------

    def kill_at_random(self) -> int:
        """SIGKILL of every writer, each at whatever instant of a write."""
        writers = self._all("writer")
        for page in writers:
            self._in_a_write(page)
            self._kill(page)
        return len(writers)

    def kill_at_a_point(self) -> int:
        """SIGKILL of every writer, each at a chosen instant."""
        writers = self._all("writer")
        for page in writers:
            page.order = KILL + self.dice.randrange(len(POINTS))
        for page in writers:
            self._wait(lambda page=page: page.order == 0)
            self._bury(page)
        return len(writers)

    def kill_reader(self) -> None:
        self._kill(self._some("reader"))

    def stop_briefly(self) -> None:
        """SIGSTOP for less than a registration lives, anywhere in a write."""
        page = self._some("writer")
        self._in_a_write(page)
        self._stopped(page, self.life * self.dice.uniform(0.1, 0.3))

    def stop_for_long(self) -> None:
        """SIGSTOP for longer than a registration lives, but for `NEVER_FOR_LONG`."""
        page = self._some("writer")
        if self.dice.random() < 0.5:
            points = [point for point in POINTS if point != NEVER_FOR_LONG]
            page.order = STOP + POINTS.index(self.dice.choice(points))
            self._wait(lambda: page.order == 0)
        else:
            self._in_a_write(page)
        self._stopped(page, self.life * self.dice.uniform(1.2, 2.0), spare=CLOSING)

    def flush_under_a_writer(self) -> None:
        self._under_a_writer(self.flush)

    def evict_under_a_writer(self) -> None:
        self._under_a_writer(self.evict)

    def fail_over_under_a_writer(self) -> None:
        self._under_a_writer(self.fail_over)

    def _under_a_writer(self, loss: Callable[[], None]) -> None:
        """What a writer had registered is lost while it stands still; then it goes on, and maybe
        dies before it can bump."""
        page, dice = self._some("writer"), self.dice
        page.order = STOP + dice.randrange(1, len(POINTS) - 1)
        self._wait(lambda: page.order == 0)
        pid = self.pids[page.number][1]
        self._wait(lambda: _is_stopped(pid))
        loss()
        time.sleep(self.life * dice.uniform(0.05, 0.3))  # readers may fall into the trap
        dies = dice.random() < 0.6
        if dies:
            page.order = KILL + POINTS.index("between COMMIT and release")
        os.kill(pid, signal.SIGCONT)
        if dies:
            self._wait(lambda: page.order == 0)
            self._bury(page)

    def stop_reader(self) -> None:
        """SIGSTOP, so that it stores late what it has loaded."""
        self._stopped(self._some("reader"), self.life * self.dice.uniform(0.2, 1.5))

    def end_session(self) -> None:
        """pg_terminate_backend of a writer, or of a reader."""
        page = self._some("writer" if self.dice.random() < 0.8 else "reader")
        if self.pids[page.number][0] == "writer":
            self._in_a_write(page)
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        with psycopg.connect(self.database, autocommit=True) as session:
            session.execute(sql, [f"faults-{page.number}"])

    def _some(self, role: str) -> Page:
        return self.dice.choice(self._all(role))

    def _all(self, role: str) -> list[Page]:
        return [self.board.pages[n] for n, (known, _) in self.pids.items() if known == role]

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.raise_if_failed()
            if time.monotonic() > deadline:
                stacks = self.nursery.where_everybody_is(pid for _, pid in self.pids.values())
                raise AssertionError(f"it takes too long\n{trace(self.board.pages)}\n{stacks}")
            time.sleep(0.0005)

    def raise_if_failed(self) -> None:
        """No process may end by itself."""
        for page in self.board.pages:
            if page.count("failures"):
                last = [text for _, text in sorted(page.notes())][-1:]
                raise AssertionError(f"process {page.number} failed: {last}")

    def _in_a_write(self, page: Page) -> None:
        """A random instant within, or just after, a write."""
        page.order = WRITE
        self._wait(lambda: page.order == 0)
        time.sleep(self.dice.random() * 0.006)

    def _kill(self, page: Page) -> None:
        os.kill(self.pids[page.number][1], signal.SIGKILL)
        self._bury(page)

    def _bury(self, page: Page) -> None:
        role, pid = self.pids[page.number]
        status = self.nursery.wait(pid)
        assert status == -signal.SIGKILL, f"process {page.number} ended with {status}"
        page.order = 0
        self.start(role, page.number)

    def _stopped(self, page: Page, seconds: float, spare: int | None = None) -> None:
        """Stop it now for so long; not where it is in the phase to be spared."""
        pid = self.pids[page.number][1]
        deadline = time.monotonic() + PATIENCE
        while True:
            os.kill(pid, signal.SIGSTOP)
            self._wait(lambda: _is_stopped(pid))
            if page.phase != spare:
                break
            os.kill(pid, signal.SIGCONT)
            assert time.monotonic() < deadline
            time.sleep(0.002)
        self.journal.note(f"process {page.number} stands still for {seconds:.2f} s")
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    # -- connections to Valkey --------------------------------------------------------------

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
        """No writer reaches Valkey: where writes go on all the same, what they outdate is served
        until each writer has delivered what it owes."""
        self.journal.phase = EXCUSING
        self.servers.writers.refuse()
        self._everybody_writes()
        self.servers.writers.heal()
        self._everybody_writes()
        while any(page.owed for page in self._all("writer")):
            self._everybody_writes()
        self.journal.phase = IDLE

    def _everybody_writes(self) -> None:
        """What each writer is at comes to its end, and then another write of each."""
        for page in [*self._all("writer"), *self._all("writer")]:
            page.order = WRITE
            self._wait(lambda page=page: page.order == 0)
        for page in self._all("writer"):
            self._wait(lambda page=page: page.phase == IDLE)

    def _sides(self) -> list[Proxy]:
        readers, writers = self.servers.readers, self.servers.writers
        sides = self.dice.choice([[readers], [writers], [writers], [readers, writers]])
        self.journal.note(
            f"at {len(sides)} sides, {'with' if writers in sides else 'not'} writers"
        )
        return sides

    def _for_a_moment(self) -> None:
        time.sleep(self.life * self.dice.choice((0.1, 0.4, 1.2)))
        self.servers.readers.heal()
        self.servers.writers.heal()

    # -- Valkey itself ----------------------------------------------------------------------

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

    def fill_memory(self) -> None:
        """`maxmemory 3mb`, and strangers who need it."""
        with self.servers.client() as client:
            policy = self.dice.choice(("allkeys-lru", "allkeys-random"))
            client.config_set("maxmemory-policy", policy)
            client.config_set("maxmemory", "3mb")
            for number in range(200):
                client.set(f"stranger:{number}", os.urandom(20_000))
            self.journal.note(f"{policy}: {client.info('stats')['evicted_keys']} keys evicted")
            client.config_set("maxmemory", "64mb")
            client.delete(*[f"stranger:{number}" for number in range(200)])

    def evict(self) -> None:
        """One key goes: a guard, or any."""
        with self.servers.client() as client:
            kind = self.dice.choice(("guard", "guard", "tag", "*"))
            keys = sorted(client.scan_iter(match=f"*:{kind}:*", count=10_000))
            if keys:
                key = self.dice.choice(keys)
                self.journal.note(f"evicted {key.decode()}")
                client.delete(key)


def _is_stopped(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"
