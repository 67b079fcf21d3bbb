"""Explicit invalidation: the supplier's prices come by COPY, which no layer can see.

The interleaving: a visitor reads between the statement and its COMMIT. What was read then is the
old price, and must not be found in the cache afterwards.
"""

from decimal import Decimal

from shop.demo.actor import Pause
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage, outcomes, statements


def takes_over_prices(pause: Pause, sku: str, price: str) -> None:
    """The import, which pauses before its COMMIT."""
    from django.db import transaction

    from shop.suppliers import take_over_prices

    with transaction.atomic():
        take_over_prices({sku: Decimal(price)})
        pause("written")


def perform(stage: Stage) -> Played:
    product = stage.product()
    cold = stage.get(product.path)
    warm = [stage.get(product.path) for _ in range(4)]
    require(outcomes(*warm)["hit"], "the page is not answered from the cache")
    price = product.price + 1
    with stage.actor(f"{__name__}.takes_over_prices", product.sku, price) as supplier:
        supplier.until("written")
        meanwhile = [stage.shown_price(product) for _ in range(3)]
        require(
            meanwhile == [product.price] * 3, f"before the COMMIT pages show {_prices(meanwhile)}"
        )
        supplier.go_on()
        supplier.result()
    shown = [stage.shown_price(product) for _ in range(4)]
    require(shown == [price] * 4, f"the supplier's price is {price}, pages show {_prices(shown)}")
    return Played(
        counters={"hits": outcomes(*warm)["hit"]},
        sql_saved=len(warm) * statements(cold) - statements(*warm),
        interleaving="Visitors came between an import's UPDATE and its COMMIT:"
        " what they saw is not kept.",
    )


def _prices(shown: list[Decimal]) -> str:
    return ", ".join(map(str, shown))


PATTERN = Pattern(
    number=5,
    name="explicit",
    title="Explicit invalidation",
    without="the supplier's price is .*, pages show",
    perform=perform,
)
