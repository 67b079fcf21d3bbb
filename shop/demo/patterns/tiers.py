"""TTL tiers: what visitors ask for near the end of its life is given another one.

The interleaving: a reader finds an entry near its end; before it says that the entry is to live
on, staff changes the price and commits. The entry may live; nobody may be shown it.
"""

from decimal import Decimal
from typing import Any

from shop.demo.actor import Pause
from shop.demo.aging import __name__ as aging
from shop.demo.aging import life_of
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage, outcomes

LABEL = "shop.product"
NEAR_THE_END = 720
"""Seconds of the tier's 900, of which up to a tenth are taken by jitter."""


def prolongs_late(pause: Pause, slug: str) -> str:
    """Reads a product near the end of its entry's life, and pauses before that is prolonged."""
    from cachepatterns.backends.store import Store
    from shop import queries

    prolong = Store.prolong

    def late(self: Store, key: str, payload: bytes, ttl: float) -> None:
        pause("prolongs")
        prolong(self, key, payload, ttl)

    Store.prolong = late  # type: ignore[method-assign]
    return str(queries.product(slug).price)


def seconds_to_live(pause: Pause, slug: str) -> float:
    """How long the entry that the product's page is answered from has left."""
    from shop import queries

    products: Any = queries.products()
    return life_of(products.explain_cache("get", slug=slug).key)


def perform(stage: Stage) -> Played:
    product = stage.product()
    for _ in range(2):
        stage.get(product.path)
    _age(stage)
    visit = stage.get(product.path)
    left = float(stage.ask(f"{__name__}.seconds_to_live", product.slug))
    require(left > 600, f"what visitors ask for dies in {left:.0f} s all the same")
    # Only what was asked for lives on, and the page asks for it again.
    _age(stage)
    price = product.price + 3
    with stage.actor(f"{__name__}.prolongs_late", product.slug) as late:
        late.until("prolongs")
        stage.set_price(product, price)
        late.go_on()
        late.result()
    require(
        stage.shown_price(product) == Decimal(price),
        "an entry that a write has outdated lives on, and is shown",
    )
    return Played(
        counters={"hits near the end": outcomes(visit)["hit"], "seconds to live": int(left)},
        sql_saved=outcomes(visit)["hit"],
        interleaving="A price changed just before an entry's life was prolonged:"
        " nobody is shown the old one.",
    )


def _age(stage: Stage) -> None:
    require(stage.ask(f"{aging}.grow_older", LABEL, NEAR_THE_END), "no products are cached")


PATTERN = Pattern(
    number=4,
    name="ttl-tiers",
    title="TTL tiers, adaptive TTL",
    without="what visitors ask for dies",
    perform=perform,
)
