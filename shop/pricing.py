"""What a cart costs: plain arithmetic on values that the caller has read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from shop.models import CartItem, Category, PricingRule

CENT = Decimal("0.01")
FREE_SHIPPING_FROM = Decimal(75)
SHIPPING = Decimal("5.90")


@dataclass(frozen=True, kw_only=True)
class Discount:
    """What one pricing rule takes off."""

    name: str
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The amounts under a cart; prices in the shop are without tax."""

    subtotal: Decimal
    discounts: Sequence[Discount]
    shipping: Decimal
    tax_percent: Decimal
    tax: Decimal

    @property
    def discount(self) -> Decimal:
        return sum((each.amount for each in self.discounts), Decimal(0))

    @property
    def total(self) -> Decimal:
        return self.subtotal - self.discount + self.shipping + self.tax


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def line_total(item: CartItem) -> Decimal:
    return item.product.price * item.quantity


def totals(
    items: Sequence[CartItem],
    rules: Iterable[PricingRule],
    roots: dict[int, int],
    tax_percent: Decimal = Decimal(0),
) -> Totals:
    """Add up a cart. `roots` maps each category to the top one above it: rules name either."""
    subtotal = sum((line_total(item) for item in items), Decimal(0))
    discounts = []
    for rule in rules:
        matching = [item for item in items if _concerns(rule, item, roots)]
        if sum(item.quantity for item in matching) >= rule.minimum_quantity and matching:
            amount = sum(line_total(item) for item in matching) * rule.percent_off / 100
            discounts.append(Discount(name=rule.name, amount=cents(amount)))
    reduced = subtotal - sum((each.amount for each in discounts), Decimal(0))
    shipping = Decimal(0) if reduced >= FREE_SHIPPING_FROM or not items else SHIPPING
    return Totals(
        subtotal=subtotal,
        discounts=discounts,
        shipping=shipping,
        tax_percent=tax_percent,
        tax=cents((reduced + shipping) * tax_percent / 100),
    )


def root_of_each(categories: Iterable[Category]) -> dict[int, int]:
    parents = {category.pk: category.parent_id for category in categories}

    def root(pk: int) -> int:
        parent = parents.get(pk)
        return pk if parent is None else root(parent)

    return {pk: root(pk) for pk in parents}


def _concerns(rule: PricingRule, item: CartItem, roots: dict[int, int]) -> bool:
    category = item.product.category_id
    return rule.category_id in (None, category, roots.get(category))
