"""The oracle: what a cached read may return, judged by the database.

It asks the database *before* the cached read begins, on a connection of its own that knows
nothing of Django: what was committed then, the read must not miss. Where the answer differs, it
asks once more afterwards, and the answer must lie between the two: versions only grow.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connection

from tests.app.models import Category, Item
from tests.faults.past import Row, Rows, Snapshot
from tests.faults.verdict import wrong_count, wrong_rows
from tests.faults.world import LIFE, pick


@dataclass(frozen=True)
class Finding:
    """A read that should not have been answered so."""

    what: str
    wrong: list[str]
    began: float
    ended: float
    against: Callable[[Snapshot], list[str]]
    """What would be wrong with it even if it may show what was committed back then."""


class Truth:
    """The database, asked directly."""

    def __init__(self) -> None:
        self._connection: Any = None

    def _ask(self, sql: str, params: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            parameters = connection.get_connection_params()
            names = ("host", "port", "dbname", "user", "password")
            named = {name: parameters[name] for name in names}
            self._connection = psycopg.connect(**named, autocommit=True)
        found: list[tuple[Any, ...]] = self._connection.execute(sql, list(params)).fetchall()
        return found

    def row(self, pk: int) -> Rows:
        sql = "SELECT id, stock, category_id FROM app_item WHERE id = %s"
        return {pk: (stock, category) for pk, stock, category in self._ask(sql, [pk])}

    def rows(self) -> Rows:
        sql = "SELECT id, stock, category_id FROM app_item"
        return {pk: (stock, category) for pk, stock, category in self._ask(sql)}

    def category(self, pk: int) -> int:
        return int(self._ask("SELECT name FROM app_category WHERE id = %s", [pk])[0][0])

    def categories(self) -> dict[int, int]:
        return {pk: int(name) for pk, name in self._ask("SELECT id, name FROM app_category")}


class Cached:
    """The reads of Django that are put to the test; each is one read of the cache."""

    def get(self, pk: int) -> Rows:
        try:
            return _rows([Item.objects.get(pk=pk)])
        except Item.DoesNotExist:
            return {}

    def in_category(self, category: int) -> Rows:
        return _rows(Item.objects.filter(category=category))

    def with_category(self, category: int) -> tuple[Rows, set[int]]:
        items = list(Item.objects.filter(category=category).select_related("category"))
        return _rows(items), {int(item.category.name) for item in items}

    def by_slug(self, slug: str) -> Rows:
        return _rows(Item.objects.filter(category__slug=slug))

    def count(self, category: int) -> int:
        return Item.objects.filter(category=category).count()


def _rows(items: Iterable[Item]) -> Rows:
    return {item.pk: (item.stock, item.category_id) for item in items}


class Oracle:
    """Makes reads of all kinds and judges them."""

    def __init__(self, dice: random.Random, cached: Cached) -> None:
        self.dice, self.cached, self.truth = dice, cached, Truth()
        rows = self.truth.rows()
        self.pks = sorted(rows)
        self.slugs = dict(Category.objects.uncached().values_list("pk", "slug"))
        self.categories = sorted(self.slugs)

    def read(self) -> Finding | None:
        """One checked read. Raises `TooSlow` where it can not be judged."""
        kind = self.dice.choices(KINDS, WEIGHTS)[0]
        return kind(self)

    def get(self) -> Finding | None:
        pk = pick(self.dice, self.pks)
        before, began = self.truth.row(pk), time.monotonic()
        got = self.cached.get(pk)
        ended = time.monotonic()
        if got == before:
            return None
        after = self.truth.row(pk)

        def against(then: Snapshot) -> list[str]:
            row = {pk: then.rows[pk]} if pk in then.rows else {}
            return wrong_rows(row, got, after, lambda row: True)

        wrong = wrong_rows(before, got, after, lambda row: True)
        return _finding(f"get {pk}", wrong, began, ended, against)

    def in_category(self) -> Finding | None:
        category = pick(self.dice, self.categories)
        return self._listed(
            f"list {category}", category, lambda: self.cached.in_category(category)
        )

    def by_slug(self) -> Finding | None:
        category = pick(self.dice, self.categories)
        slug = self.slugs[category]
        return self._listed(f"joined {category}", category, lambda: self.cached.by_slug(slug))

    def _listed(self, what: str, category: int, read: Callable[[], Rows]) -> Finding | None:
        before, began = self.truth.rows(), time.monotonic()
        got = read()
        ended = time.monotonic()
        if got == {pk: row for pk, row in before.items() if row[1] == category}:
            return None
        after = self.truth.rows()

        def scope(row: Row) -> bool:
            return row[1] == category

        return _finding(
            what,
            wrong_rows(before, got, after, scope),
            began,
            ended,
            lambda then: wrong_rows(then.rows, got, after, scope),
        )

    def with_category(self) -> Finding | None:
        category = pick(self.dice, self.categories)
        version = self.truth.category(category)
        names: set[int] = set()

        def read() -> Rows:
            rows, found = self.cached.with_category(category)
            names.update(found)
            return rows

        began = time.monotonic()
        found = self._listed(f"related {category}", category, read)
        if found is not None or names <= {version}:
            return found
        late = self.truth.category(category)

        def wrong(early: int) -> list[str]:
            if all(early <= name <= late for name in names):
                return []
            return [f"category: got {names}, where it was {early} before, {late} after"]

        return _finding(
            f"related {category}",
            wrong(version),
            began,
            time.monotonic(),
            lambda then: wrong(then.categories[category]),
        )

    def count(self) -> Finding | None:
        category = pick(self.dice, self.categories)
        before, began = self.truth.rows(), time.monotonic()
        got = self.cached.count(category)
        ended = time.monotonic()
        if got == sum(row[1] == category for row in before.values()):
            return None
        after = self.truth.rows()

        def scope(row: Row) -> bool:
            return row[1] == category

        return _finding(
            f"count {category}",
            wrong_count(before, got, after, scope),
            began,
            ended,
            lambda then: wrong_count(then.rows, got, after, scope),
        )


class TooSlow(Exception):
    """The read took so long that rows may have been born and deleted meanwhile."""


def _finding(
    what: str,
    wrong: list[str],
    began: float,
    ended: float,
    against: Callable[[Snapshot], list[str]],
) -> Finding | None:
    if not wrong:
        return None
    if time.monotonic() - began > LIFE / 2:
        raise TooSlow
    return Finding(what, wrong, began, ended, against)


KINDS = (Oracle.get, Oracle.in_category, Oracle.with_category, Oracle.count, Oracle.by_slug)
WEIGHTS = (16, 4, 3, 3, 1)
