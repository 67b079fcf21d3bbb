"""What the shop computes once and shows often."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Max, Min, Sum

from cachepatterns import cached
from shop import queries
from shop.models import Category, OrderItem
from shop.switches import is_on


class PriceRange(NamedTuple):
    """The lowest and the highest price of a category's products."""

    low: Decimal
    high: Decimal


@cached(
    key="category:prices:{category.pk}",
    tags=lambda category, leaves: queries.in_categories(leaves),
)
def _price_range(category: Category, leaves: Sequence[Category]) -> PriceRange | None:
    return lowest_and_highest(leaves)


def lowest_and_highest(leaves: Sequence[Category]) -> PriceRange | None:
    """As the database says."""
    products = queries.in_categories(list(leaves)).uncached()  # type: ignore[attr-defined]
    found = products.aggregate(low=Min("price"), high=Max("price"))
    return None if found["low"] is None else PriceRange(**found)


price_range = _price_range if is_on("computed") else _price_range.uncached
"""From what to what the products below a category cost; `None` where there are none."""


@cached(key="order:total:{pk}", tags=lambda pk: OrderItem.objects.filter(order=pk))
def _order_total(pk: int) -> int:
    items: Any = OrderItem.objects.filter(order=pk)
    total: int = items.uncached().aggregate(total=Sum("quantity"))["total"] or 0
    return total


order_total = _order_total if is_on("computed") else _order_total.uncached
"""How many pieces the order with this primary key is of, in all. It is asked for by the key: what
is made of an order itself is cached as orders are, never."""
