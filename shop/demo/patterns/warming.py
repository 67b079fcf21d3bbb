"""Warming: after a deploy that has emptied the cache, the first visitor asks the database nothing.

The interleaving: a warm-up has read a list and is about to store it, and staff changes a price in
it. What is stored late must not be found.
"""

import json
from decimal import Decimal

from shop.demo.actor import Pause
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Article, Stage, statements

PAGE = "/"
FIRST = """
SELECT id, slug, sku, name, price FROM shop_product
WHERE is_active AND is_featured ORDER BY rating DESC, id LIMIT 1
"""


def warms_late(pause: Pause) -> bool:
    """Warms what the first page shows first, and pauses when that is read."""
    from cachepatterns.backends.store import current_store
    from cachepatterns.registry import site
    from cachepatterns.warming import declared_jobs, run
    from shop.models import Product

    policy = site.policy_for(Product)
    assert policy is not None
    store = current_store()
    original = store.store

    def late(*args: object, **kwargs: object) -> None:
        pause("read")
        store.store = original  # type: ignore[method-assign]
        original(*args, **kwargs)  # type: ignore[arg-type]

    store.store = late  # type: ignore[method-assign]
    return bool(run(list(declared_jobs(policy, limit=1))).of(policy.label).stored)


def perform(stage: Stage) -> Played:
    _forget_everything(stage)
    cold = stage.get(PAGE)
    require(statements(cold), "a page of an empty cache asks the database nothing")
    _forget_everything(stage)
    done = stage.manage("cache_warm", "shop", "--workers", "3", "--json")
    require(done.returncode == 0, f"cache_warm left with {done.returncode}: {done.stderr}")
    stored = sum(model["stored"] for model in json.loads(done.stdout)["models"])
    first = stage.get(PAGE)
    require(
        not statements(first),
        f"the first visitor after a warm-up sends {statements(first)} statements, for "
        + ", ".join(name for name, found in first.outcomes.items() if found["miss"]),
    )
    again = stage.manage("cache_warm", "shop", "--only-missing", "--json")
    warm = sum(model["already_warm"] for model in json.loads(again.stdout)["models"])
    _stores_late(stage)
    return Played(
        counters={"entries stored": stored, "found warm": warm},
        sql_saved=statements(cold),
        interleaving="A price changed between a warm-up's read and its store:"
        " nobody is shown the old one.",
    )


def _stores_late(stage: Stage) -> None:
    with stage.database() as connection:
        found = connection.execute(FIRST).fetchone()
    assert found is not None
    product = Article(**dict(zip(("pk", "slug", "sku", "name", "price"), found, strict=True)))
    _forget_everything(stage)
    price = Decimal("43.21") if product.price != Decimal("43.21") else Decimal("54.32")
    with stage.actor(f"{__name__}.warms_late") as warmer:
        warmer.until("read")
        stage.set_price(product, price)
        warmer.go_on()
        require(warmer.result(), "the warm-up has stored nothing")
    shown = stage.get(PAGE).body
    require(f"{price}" in shown, f"{product.name} costs {price}, the first page says otherwise")


def _forget_everything(stage: Stage) -> None:
    done = stage.manage("cache_purge", "--all", "--noinput")
    require(done.returncode == 0, f"cache_purge left with {done.returncode}: {done.stderr}")


PATTERN = Pattern(
    number=13,
    name="warming",
    title="Warming",
    without="the first visitor after a warm-up sends [1-9]",
    perform=perform,
)
