"""What a contender's process can be told to do."""

from __future__ import annotations

import itertools
import pickle
import statistics
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.cache import cache
from django.db import connection
from django.utils.module_loading import import_string

from tests.benchmarks import judging, seed
from tests.benchmarks.budget import budget
from tests.benchmarks.cases import CASES, Kind
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.timing import time_blocks

ARGUMENTS = 32
"""As many different arguments a case cycles through, so that no call repeats the last."""
NEAR_SECONDS = 10.0
MISSES, UNLIMITED = 400, 1_000_000
"""The most calls a round: what a miss asks for must never have been asked for before."""


class Bench:
    """One contender, its counter of statements, and its questions."""

    def __init__(self, name: str) -> None:
        self.contender = CONTENDERS[name]
        self.questions = import_string(self.contender.questions)()
        self.statements = 0
        self._unasked = itertools.count(1000)
        self._kept: list[judging.Asked] = []
        self._true: dict[int, Any] = {}
        connection.ensure_connection()
        connection.execute_wrappers.append(self._count)

    def _count(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        self.statements += 1
        return execute(sql, params, many, context)

    def seed(self) -> int:
        return seed.fill()

    def flush(self) -> None:
        """Empty the contender's Redis database."""
        cache.client.get_client(write=True).flushdb()
        if apps.is_installed("cachepatterns"):
            from cachepatterns.quarantine import declare_no_writers

            declare_no_writers()

    def warm(self, case: str) -> None:
        """Ask everything twice: what is asked from now on has been asked before.

        Before writes their rows are read too: then a write that leaves the row in the cache is
        found out.
        """
        ask = getattr(self.questions, CASES[case].name)
        for n in [*self._numbers(ARGUMENTS)] * 2:
            ask(n)
        if CASES[case].kind is Kind.WRITE:
            for n in [*self._numbers(ARGUMENTS)] * 2:
                self.questions.get_pk(n)
        if CASES[case].kind is Kind.NEAR and apps.is_installed("cachepatterns"):
            self._until_near(ask)

    def _until_near(self, ask: Any) -> None:
        """Memory keeps nothing before it hears of changes."""
        from cachepatterns.backends.store import current_store

        deadline = time.monotonic() + NEAR_SECONDS
        while len(current_store().near) < ARGUMENTS:
            if time.monotonic() > deadline:
                raise RuntimeError("the near-cache does not fill")
            for n in self._numbers(ARGUMENTS):
                ask(n)

    def time(self, case: str, seconds: float) -> dict[str, Any]:
        """Time blocks of calls, and count the statements, as Django's wrappers see them.

        What was answered is kept, of writes what the rows they have written are read as, twice
        each; `asked` are the numbers of its arguments, and `wrong` judges it.
        """
        wanted = CASES[case]
        ask = getattr(self.questions, wanted.name)
        numbers, most = itertools.cycle(list(self._numbers(ARGUMENTS))), UNLIMITED
        if wanted.kind is Kind.MISS:
            numbers, most = self._unasked, MISSES
        before, commands = self.statements, self._commands()
        found = time_blocks(ask, numbers, seconds, most)
        statements, commands = self.statements - before, self._commands() - commands
        self._kept = found.kept
        if wanted.kind is Kind.WRITE:
            written = list(self._numbers(min(found.calls, ARGUMENTS)))
            self._kept = [(n, self.questions.get_pk(n)) for n in written * 2]
        return {
            "seconds": found.seconds,
            "calls": found.calls,
            "statements": statements,
            "commands": commands,
            "asked": sorted({n for n, _ in self._kept}),
        }

    def arguments(self) -> list[int]:
        """The numbers that a case cycles through, where it asks what was asked before."""
        return list(self._numbers(ARGUMENTS))

    def ask_all(self, case: str) -> None:
        """Ask once what a case cycles through; `wrong` judges the answers."""
        ask = getattr(self.questions, CASES[case].name)
        self._kept = [(n, ask(n)) for n in self._numbers(ARGUMENTS)]

    def answers(self, case: str, asked: list[int]) -> str:
        """What is answered to these numbers; of a write, what its rows are read as."""
        is_write = CASES[case].kind is Kind.WRITE
        ask = self.questions.get_pk if is_write else getattr(self.questions, CASES[case].name)
        return b64encode(pickle.dumps({n: ask(n) for n in asked})).decode()

    def expect(self, true: str) -> None:
        """Compare with these, the `answers` of who has no cache, from now on."""
        self._true = pickle.loads(b64decode(true))

    def wrong(self) -> list[int]:
        """The numbers to which the wrong was answered in the last `time`."""
        kept, self._kept = self._kept, []
        return judging.wrong(kept, self._true)

    def _commands(self) -> int:
        """The commands that read anything from Redis, of whomever."""
        said = cache.client.get_client(write=True).info("commandstats")
        return sum(said.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("get", "mget"))

    def budget(self, case: str) -> dict[str, float]:
        """What the parts of a hit take (cachepatterns only); raises `RuntimeError` at a miss."""
        self.flush()
        self.warm(case)
        ask, before = getattr(self.questions, CASES[case].name), self.statements
        found = budget(ask, itertools.cycle(list(self._numbers(ARGUMENTS))))
        if self.statements != before:
            raise RuntimeError(f"{case} has reached the database")
        return found

    def memory(self, rows: int) -> float:
        """The bytes that Redis takes for each of `rows` cached rows.

        The median of five parts: where a table of Redis' own grows, one part has it all.
        """
        self.flush()
        redis = cache.client.get_client(write=True)
        for n in range(1, 101):  # what there is once, whatever the number of rows
            self.questions.get_pk(n)
        part, first, taken = rows // 5, 101, []
        for start in range(first, first + 5 * part, part):
            before = redis.info("memory")["used_memory"]
            for n in range(start, start + part):
                self.questions.get_pk(n)
            taken.append((redis.info("memory")["used_memory"] - before) / part)
        return statistics.median(taken)

    @staticmethod
    def _numbers(count: int) -> Iterator[int]:
        return iter(range(1, 1 + count * 7, 7))
