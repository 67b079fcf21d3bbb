"""Negative caching: addresses of products that do not exist cost the database nothing, and made-up
ones do not fill Redis.

The interleaving: a reader finds that there is no such product; staff gives a product that address
and commits; the reader stores that there is none.
"""

import secrets
from concurrent.futures import ThreadPoolExecutor

from shop.demo.actor import Pause
from shop.demo.aging import __name__ as aging
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage, outcomes, statements
from shop.demo.visitor import Visit, Visitor

MADE_UP = 150
"""For each process that serves: more than twice of what it may remember at once."""
AT_ONCE = 8
KEYS_EACH = 2
"""An entry and a stamp."""


def finds_nothing_late(pause: Pause, slug: str) -> str:
    """Looks for a product, and pauses before it stores that there is none."""
    from cachepatterns.read import loading
    from shop import queries
    from shop.models import Product

    make = loading.make_entry

    def late(*args: object) -> bytes:
        pause("found nothing")
        return make(*args)  # type: ignore[arg-type]

    loading.make_entry = late  # type: ignore[assignment]
    try:
        queries.product(slug)
    except Product.DoesNotExist:
        return "nothing"
    return "something"


def perform(stage: Stage) -> Played:
    product = stage.product()
    slug = f"made-up-{secrets.token_hex(4)}"
    with stage.actor(f"{__name__}.finds_nothing_late", slug) as late:
        late.until("found nothing")
        page = f"/admin/shop/product/{product.pk}/change/"
        stage.change(page, "product_form", slug=slug)
        late.go_on()
        require(late.result() == "nothing", "the reader should have found nothing")
    stage.get(f"/product/{slug}/")  # raises unless it is there
    stage.change(page, "product_form", slug=product.slug)
    first, second = (_missing(stage, slug) for _ in range(2))
    require(outcomes(second)["negative"], "that there is no such product is asked every time")
    before = _keys(stage)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        flood = [secrets.token_hex(6) for _ in range(MADE_UP * stage.processes)]
        visits = list(pool.map(lambda slug: _missing(stage, slug), flood))
    left = _keys(stage) - before
    require(
        left < len(flood) * KEYS_EACH * 3 // 4,
        f"{len(flood)} made-up addresses left {left} keys in Redis",
    )
    return Played(
        counters={"made-up addresses": len(visits), "keys they left": max(0, left)},
        sql_saved=statements(first) - statements(second),
        interleaving="A product was made after a reader found none, before it stored that:"
        " it is shown.",
    )


def _missing(stage: Stage, slug: str) -> Visit:
    visit = Visitor(stage.base).get(f"/product/{slug}/")
    require(visit.status == 404, f"/product/{slug}/ answered {visit.status}")
    return visit


def _keys(stage: Stage) -> int:
    return int(stage.ask(f"{aging}.count_keys"))


PATTERN = Pattern(
    number=9,
    name="negative-caching",
    title="Negative caching",
    without="made-up addresses left .* keys",
    perform=perform,
)
