"""What a contender's process can be told to do."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import blake2b
from typing import Any

from django.apps import apps
from django.core.cache import cache
from django.db import connection, models
from django.utils.module_loading import import_string

from tests.benchmarks import seed
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
        """Ask everything twice: what is asked from now on has been asked before."""
        ask = getattr(self.questions, CASES[case].name)
        for n in [*self._numbers(ARGUMENTS)] * 2:
            ask(n)
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

    def answer(self, case: str) -> str:
        """A digest of all answers of a case; the same for all who answer rightly."""
        ask = getattr(self.questions, CASES[case].name)
        answers = [plain(ask(n)) for n in self._numbers(ARGUMENTS)]
        return blake2b(repr(answers).encode(), digest_size=8).hexdigest()

    def time(self, case: str, seconds: float) -> dict[str, Any]:
        """Time blocks of calls, and count the statements that reached the database."""
        wanted = CASES[case]
        ask = getattr(self.questions, wanted.name)
        numbers, most = itertools.cycle(list(self._numbers(ARGUMENTS))), UNLIMITED
        if wanted.kind is Kind.MISS:
            numbers, most = self._unasked, MISSES
        before, commands = self.statements, self._commands()
        found = time_blocks(ask, numbers, seconds, most)
        return {
            **asdict(found),
            "statements": self.statements - before,
            "commands": self._commands() - commands,
        }

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


def plain(answer: Any) -> Any:
    """An answer as values that compare across processes."""
    if isinstance(answer, models.Model):
        related = {name: plain(obj) for name, obj in answer._state.fields_cache.items()}
        values = {f.attname: getattr(answer, f.attname) for f in answer._meta.concrete_fields}
        return type(answer).__name__, sorted(values.items()), sorted(related.items())
    if isinstance(answer, dict):
        return [(key, plain(value)) for key, value in sorted(answer.items())]
    if isinstance(answer, (list, tuple)):
        return [plain(item) for item in answer]
    return answer
