"""The category tree, built from its rows in memory."""

from collections import defaultdict
from collections.abc import Iterable

from shop.models import Category


class Tree:
    """All categories, with the ways up and down."""

    def __init__(self, categories: Iterable[Category]) -> None:
        self.categories = list(categories)
        self._by_pk = {category.pk: category for category in self.categories}
        self._children: dict[int | None, list[Category]] = defaultdict(list)
        for category in self.categories:
            self._children[category.parent_id].append(category)

    @property
    def roots(self) -> list[Category]:
        return self._children[None]

    def find(self, slug: str) -> Category | None:
        return next((each for each in self.categories if each.slug == slug), None)

    def children(self, category: Category) -> list[Category]:
        return self._children[category.pk]

    def leaves(self, category: Category) -> list[Category]:
        """The categories at or below this one that products hang on."""
        below = self.children(category)
        return [leaf for child in below for leaf in self.leaves(child)] if below else [category]

    def path(self, pk: int | None) -> list[Category]:
        """From the root down to the category."""
        category = self._by_pk.get(pk) if pk is not None else None
        return [*self.path(category.parent_id), category] if category else []
