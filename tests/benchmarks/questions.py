"""What is asked, in plain Django: the ORM caches answer these very calls."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Avg, Max, Min, Q

from tests.benchmarks.catalog.models import Brand, Product

COLUMNS = (
    "name",
    "slug",
    "sku",
    "description",
    "price",
    "currency",
    "stock",
    "weight",
    "rating",
    "view_count",
    "released",
    "updated_at",
)
"""Of which questions that are unlike each other ask for some."""
MOST_SUBSETS = 2 ** len(COLUMNS) - 1


class Questions:
    """One method a case; `n` numbers the argument, so that calls need not repeat themselves."""

    def get_pk(self, n: int) -> Any:
        return Product.objects.get(pk=n)

    def get_slug(self, n: int) -> Any:
        return Product.objects.get(slug=f"product-{n}")

    def get_brand(self, n: int) -> Any:
        return Brand.objects.get(pk=n % 50 + 1)

    def page(self, n: int) -> Any:
        return list(Product.objects.filter(category_id=n % 200 + 1).order_by("price", "id")[:20])

    def joined(self, n: int) -> Any:
        products = Product.objects.select_related("category", "brand")
        return list(products.order_by("id")[n : n + 100])

    def count(self, n: int) -> Any:
        return Product.objects.filter(category_id=n % 200 + 1).count()

    def aggregate(self, n: int) -> Any:
        products = Product.objects.filter(category_id=n % 200 + 1)
        return products.aggregate(Min("price"), Max("price"), Avg("rating"))

    def exists(self, n: int) -> Any:
        return Product.objects.filter(sku=f"SKU{n:06}").exists()

    def values(self, n: int) -> Any:
        products = Product.objects.filter(category_id=n % 200 + 1).order_by("id")
        return list(products.values_list("id", "name", "price")[:100])

    def bulk(self, n: int) -> Any:
        return Product.objects.in_bulk(range(n, n + 50))

    def priced(self, n: int, more: int) -> Any:
        return Product.objects.filter(pk=n, price__gte=more).exists()

    def slow(self, n: int) -> Any:
        """Some tenths of a second of the database's: every description, by a costly pattern."""
        pattern = f"(q.*){{4}}|sentence.*product{n}"
        return Product.objects.filter(description__regex=pattern).count()

    def unlike_any_other(self, n: int) -> Any:
        """A question nobody asked before: nine of ten by its values, every tenth by its text."""
        if n % 10:
            return list(Product.objects.filter(brand_id=n % 50, stock__gt=n)[:2])
        return self._of_a_text_of_its_own(n // 10)

    def _of_a_text_of_its_own(self, n: int) -> Any:
        """Other columns for each `n`, and when all sets of them were had (4095), another order:
        139,230 texts of rows. Every third only counts: 4095 texts, by the columns asked for."""
        subset, order = n % MOST_SUBSETS + 1, n // MOST_SUBSETS
        columns = [name for bit, name in enumerate(COLUMNS) if subset >> bit & 1]
        if n % 3 == 2:
            asked = Q(**{f"{name}__isnull": False for name in columns})
            return Product.objects.filter(asked, pk=n + 1).count()
        fields = [field.attname for field in Product._meta.concrete_fields]
        field = fields[order // 2 % len(fields)]
        ordered = Product.objects.order_by(f"-{field}" if order % 2 else field).filter(pk=n + 1)
        return list(ordered.values_list(*columns) if n % 3 else ordered.only(*columns))

    # -- writes, the same for all: what a cache adds to them is what is measured -------------

    def __init__(self) -> None:
        self._saved: dict[int, Product] = {}
        self._updates = 0

    def save(self, n: int) -> Any:
        product = self._saved.get(n)
        if product is None:
            product = self._saved[n] = Product.objects.get(pk=n)
        product.stock += 1
        self.put(product)

    def put(self, product: Product) -> None:
        product.save()

    def save_in_atomic(self, n: int) -> Any:
        with transaction.atomic():
            self.save(n)

    def update(self, n: int) -> Any:
        self._updates += 1  # another value each time: what is left in a cache is wrong
        Product.objects.filter(pk=n).update(stock=self._updates)
