"""A careful cache as most projects have it: cache-aside, deleted after every write.

Nothing is forgotten here: whatever was written, in whatever way, all that shows it is deleted as
soon as the write has returned. It is stale all the same, between a COMMIT and the deletion, and
whenever a reader loaded before the COMMIT stores after the deletion. The oracle must see that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.cache import caches

from tests.faults import oracle
from tests.faults.oracle import Rows
from tests.faults.world import CATEGORIES

SECONDS = 60
KINDS = ("list", "related", "count")


class Cached(oracle.Cached):
    """The reads of `oracle.Cached`, from such a cache; says of each whether it hit."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def _cached(self, name: str, load: Callable[[], Any]) -> Any:
        key = f"naive:{name}"
        found = caches["default"].get(key)
        if found is None:
            found = load()
            caches["default"].set(key, found, SECONDS)
            self._tell("miss")
        else:
            self._tell("hit")
        return found

    def get(self, pk: int) -> Rows:
        return self._cached(f"get:{pk}", lambda: super(Cached, self).get(pk))

    def in_category(self, category: int) -> Rows:
        return self._cached(f"list:{category}", lambda: super(Cached, self).in_category(category))

    def with_category(self, category: int) -> tuple[Rows, set[int]]:
        load = super().with_category
        return self._cached(f"related:{category}", lambda: load(category))

    def by_slug(self, slug: str) -> Rows:
        return self._cached(f"joined:{slug}", lambda: super(Cached, self).by_slug(slug))

    def count(self, category: int) -> int:
        return self._cached(f"count:{category}", lambda: super(Cached, self).count(category))


def forget(pks: Iterable[int], categories: Iterable[int]) -> None:
    """What such a project does after a write of these rows, whose old categories it can not
    know: all lists are deleted."""
    lists = [f"{kind}:{category}" for kind in KINDS for category in categories]
    slugs = [f"joined:c{n}" for n in range(CATEGORIES)]
    names = [*(f"get:{pk}" for pk in pks), *lists, *slugs]
    caches["default"].delete_many([f"naive:{name}" for name in names])
