"""The harness: asks the cache and the database the same question, and writes in between."""

from __future__ import annotations

import difflib
import pprint
import random
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from cachepatterns import uncached
from cachepatterns.observe import ReadEvent
from cachepatterns.write.fence import settle
from tests.app.models import Item, ItemQuerySet
from tests.differential import bypasses, relations, world  # noqa: F401 - they add questions
from tests.differential.freezing import freeze, spoil
from tests.differential.generators import KINDS, Kind
from tests.differential.tallies import Tally, table
from tests.differential.writers import VENDOR_ONLY, WRITERS, Writer
from tests.events import seen

T = TypeVar("T")

# Asked and done more often than the others: where the cache is precise, it may be wrong.
NARROWED = ["narrowed", "narrowed in", "narrowed count", "narrowed values", "reverse manager"]
MOVERS = ["save", "save update fields", "update narrowed", "update f", "bulk update"]


class Difference(AssertionError):
    """The cache and the database do not answer alike."""


class NoHit(AssertionError):
    """A question asked twice in a row was not answered from the cache the second time."""


class _RollBack(Exception):
    pass


def _in_turn(things: list[T], rng: random.Random) -> Iterator[T]:
    """Each of `things` once, in random order, then again in another: none is forgotten."""
    while True:
        yield from rng.sample(things, len(things))


@dataclass(frozen=True)
class Question:
    kind: Kind
    seed: int

    def ask(self, objects: Any) -> Any:
        """The answer, or the exception that was raised instead."""
        try:
            return self.kind.ask(random.Random(self.seed), objects)
        except (ObjectDoesNotExist, Item.MultipleObjectsReturned, IndexError) as error:
            return error
        except DatabaseError as error:
            return error


@dataclass
class Harness:
    """One run on one database, the same again for the same `seed`."""

    using: str
    seed: int
    recent: int = 8
    """How many questions are asked again: few, so that only few writes come between."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.connection = connections[self.using]
        self.writer = Writer(self.rng, self.using)
        vendor = self.connection.vendor
        self.kinds = [kind for kind in KINDS.values() if vendor in kind.vendors]
        self.writers = [n for n in WRITERS if VENDOR_ONLY.get(n, vendor) == vendor]
        self.next_kind = _in_turn(self.kinds, self.rng)
        self.next_writer = _in_turn(self.writers, self.rng)
        self.questions: deque[Question] = deque(maxlen=self.recent)
        self.history: deque[str] = deque(maxlen=12)
        self.steps = 0

    # -- steps ------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        world.populate(self.rng, self.using)
        for _ in range(steps):
            self.step()
        self.catch_up()

    def catch_up(self) -> None:
        """Give a few more chances to what chance has left out."""
        for _ in range(20):
            kinds = [kind for kind in self.kinds if self.is_unproven(kind)]
            names = [name for name in self.writers if not self.writes[name]]
            if not kinds and not names:
                return
            for kind in kinds:
                self.compare(Question(kind, self.rng.getrandbits(32)))
            for name in names:
                self.write(name)
            for _ in range(20):  # what stands in their way, such as a name that is taken, may go
                self.step()

    def is_unproven(self, kind: Kind) -> bool:
        """Whether no question of `kind` was a hit (or passed by, where it must)."""
        tally = self.tallies.get(kind.name, Tally())
        return not (tally.bypasses if kind.bypass else tally.hits)

    def step(self) -> None:
        """A question, or a write and some of the questions that were asked before it."""
        self.steps += 1
        chance = self.rng.random()
        if chance > 0.35:
            self.compare(self.choose())
            return
        if chance < 0.22:
            self.write()
        elif chance < 0.31:
            self.transact()
        elif chance < 0.33:
            self.write_by_hand()
        else:
            self.history.append("populate")
            world.populate(self.rng, self.using)
        for question in self.rng.sample(self.questions, min(2, len(self.questions))):
            self.compare(question)

    def choose(self) -> Question:
        """A new question, or one that was asked before the last writes."""
        if self.questions and self.rng.random() < 0.6:
            return self.rng.choice(self.questions)
        kind = next(self.next_kind)
        if self.rng.random() < 0.3:
            kind = KINDS[self.rng.choice(NARROWED)]
        question = Question(kind, self.rng.getrandbits(32))
        self.questions.append(question)
        return question

    def write(self, name: str = "") -> None:
        if not name:
            often = self.rng.random() < 0.3
            name = self.rng.choice(MOVERS) if often else next(self.next_writer)
        self.history.append(name)
        try:
            # A write that fails half-way leaves a transaction that nothing can be done in.
            if self.connection.in_atomic_block:
                with transaction.atomic(self.using):
                    WRITERS[name](self.writer)
            else:
                WRITERS[name](self.writer)
        except (DatabaseError, ObjectDoesNotExist) as error:
            self.history[-1] += f" ({type(error).__name__})"
        else:
            self.writes[name] += 1

    def transact(self) -> None:
        """Reads and writes in a transaction, part of it or all of it rolled back."""
        self.history.append("atomic {")
        try:
            with transaction.atomic(self.using):
                for _ in range(self.rng.randint(1, 4)):
                    chance = self.rng.random()
                    if chance < 0.4:
                        self.write()
                    elif chance < 0.6:
                        self.savepoint()
                    else:
                        self.compare(self.choose(), must_hit=False)
                if self.rng.random() < 0.3:
                    raise _RollBack
            self.history.append("} commit")
        except _RollBack:
            self.history.append("} rollback")
        except IntegrityError:  # PostgreSQL looks at foreign keys when it commits
            self.history.append("} refused")

    def savepoint(self) -> None:
        self.history.append("savepoint {")
        try:
            with transaction.atomic(self.using):
                self.write()
                self.compare(self.choose(), must_hit=False)
                if self.rng.random() < 0.5:
                    raise _RollBack
            self.history.append("} release")
        except _RollBack:
            self.history.append("} rollback to savepoint")

    def write_by_hand(self) -> None:
        """A transaction without `atomic`, committed or rolled back by hand."""
        transaction.set_autocommit(False, self.using)
        try:
            self.history.append("by hand {")
            name = self.rng.choice(["update", "plain update", "raw update", "update one"])
            WRITERS[name](self.writer)
            self.compare(self.choose(), must_hit=False)
            end = self.rng.choice([transaction.commit, transaction.rollback])
            end(self.using)
            self.history.append(f"}} {end.__name__} by hand")
        finally:
            transaction.set_autocommit(True, self.using)

    # -- comparing ----------------------------------------------------------------------------

    def cached(self, model: Any) -> Any:
        manager = getattr(model, "objects", None) or model._default_manager
        return manager.using(self.using)

    def plain(self, model: Any) -> Any:
        kind = ItemQuerySet if issubclass(model, Item) else QuerySet
        return kind(model, using=self.using)

    def compare(self, question: Question, *, must_hit: bool = True) -> None:
        """Ask the database once and the cache twice; all three answers must be alike."""
        if must_hit:
            # What a rollback leaves behind is cleared away by another thread, at once but not
            # in the same moment.
            settle()
        with uncached():
            truth = freeze(question.ask(self.plain))
        tally = self.tallies.setdefault(question.kind.name, Tally())
        tally.asked += 1
        for time in ("first", "second"):
            with seen() as found, self.statements() as statements:
                answer = question.ask(self.cached)
                got = freeze(answer)
            if got != truth:
                raise Difference(self.report(question, f"{time} cached answer", truth, got))
            if isinstance(answer, DatabaseError):
                tally.failed += 1
                return
            spoil(answer)
            hit = self.is_hit(question, found.reads, statements)
            if time == "first":
                tally.lasting += hit == "hit"
            elif hit == "hit":
                tally.hits += 1
            elif hit == "bypass":
                tally.bypasses += 1
            elif must_hit and hit != "unasked":
                told = [(e.outcome, e.reason, e.pattern) for e in found.reads]
                raise NoHit(self.report(question, f"{told}, {statements}", truth, got))

    @staticmethod
    def is_hit(question: Question, reads: list[ReadEvent], statements: list[str]) -> str:
        """``hit`` if no statement was run, ``bypass`` if the kind may, else nothing.

        ``unasked`` where Django knew the answer without any database (``IN ()``).
        """
        others = [e for e in reads if e.outcome not in ("hit", "negative")]
        if not others and not statements:
            return "hit" if reads else "unasked"
        allowed = question.kind.bypass
        if allowed == "plain manager":
            # Nobody is asked, so nobody tells.
            return "" if others or not all("app_note" in sql for sql in statements) else "bypass"
        if allowed and all(e.outcome == "bypass" and e.reason.startswith(allowed) for e in others):
            return "bypass"
        return ""

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        run: list[str] = []

        def note(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
            run.append(str(sql))
            return execute(sql, params, many, context)

        with self.connection.execute_wrapper(note):
            yield run

    # -- telling -----------------------------------------------------------------------------

    def report(self, question: Question, what: str, truth: Any, got: Any) -> str:
        with CaptureQueriesContext(self.connection) as queries, uncached():
            question.ask(self.plain)
        lines = difflib.unified_diff(
            *(pprint.pformat(side, width=150).splitlines() for side in (truth, got)),
            "database",
            "cache",
            lineterm="",
            n=1,
        )
        return "\n".join(
            [
                f"{question.kind.name!r} (question {question.seed}): {what}",
                f"on {self.using!r}, step {self.steps} of the run with seed {self.seed}",
                f"last writes: {list(self.history)}",
                *[f"SQL: {query['sql']}" for query in queries.captured_queries[:6]],
                *list(lines)[:40],
            ]
        )

    def table(self) -> str:
        return table(self.tallies)
