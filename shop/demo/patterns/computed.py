"""Computed values: a category's range of prices, and another service's answer.

The interleaving: one process computes the range from the old prices; before it stores it, staff
changes a price. What is stored late must not be found. Then the exchange service is asked once for
all visitors, asks for peace, and is left alone by all processes.
"""

import json
import re
from decimal import Decimal

from shop.demo.actor import Pause
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Article, Stage, statements

RANGE = "computed category:prices:{category.pk}"
RATE = "computed rate:{currency}"
HIGH = re.compile(r'data-high="([\d.]+)"')
DOLLARS = re.compile(r"about \$([\d.]+)")
VISITORS = 20


def computes_late(pause: Pause, slug: str) -> None:
    """Has the range computed, and pauses when the database has been asked."""
    from shop import computed, queries
    from shop.tree import Tree

    original = computed.lowest_and_highest

    def late(*args: object) -> object:
        found = original(*args)  # type: ignore[arg-type]
        pause("computed")
        return found

    computed.lowest_and_highest = late  # type: ignore[assignment]
    tree = Tree(queries.categories())
    category = tree.find(slug)
    assert category is not None
    computed.price_range(category, tree.leaves(category))


def forgets_the_rate(pause: Pause) -> None:
    """Drops the rate by hand."""
    from shop.rates import exchange_rate

    exchange_rate.invalidate("USD")


def perform(stage: Stage) -> Played:
    product = stage.product()
    path = _category(stage, product)
    cold = stage.get(path)
    warm = [stage.get(path) for _ in range(4)]
    hits = sum(visit.outcomes[RANGE]["hit"] for visit in warm if RANGE in visit.outcomes)
    require(hits == len(warm), "the range of prices is computed again for each visitor")
    stage.set_price(product, Decimal("9000.00"))
    with stage.actor(f"{__name__}.computes_late", path.strip("/").split("/")[-1]) as other:
        other.until("computed")
        stage.set_price(product, Decimal("9500.00"))
        other.go_on()
        other.result()
    shown = [_highest(stage, path) for _ in range(4)]
    require(shown == [Decimal("9500.00")] * 4, f"the highest price is 9500, pages show {shown}")
    asked = _asks_the_service_once(stage, product)
    stage.set_price(product, product.price)
    return Played(
        counters={"hits": hits, "visitors told dollars": VISITORS, "call of that service": asked},
        sql_saved=len(warm) * statements(cold) - statements(*warm),
        interleaving="A price was changed while a range was computed from the old one:"
        " nobody is shown it.",
    )


def _category(stage: Stage, product: Article) -> str:
    with stage.database() as connection:
        found = connection.execute(
            "SELECT c.slug FROM shop_category c JOIN shop_product p ON p.category_id = c.id"
            " WHERE p.id = %s",
            [product.pk],
        ).fetchone()
    assert found is not None
    return f"/category/{found[0]}/"


def _highest(stage: Stage, path: str) -> Decimal | None:
    found = HIGH.search(stage.get(path).body)
    return Decimal(found.group(1)) if found else None


def _asks_the_service_once(stage: Stage, product: Article) -> int:
    """How often the service was asked for all visitors; it is left alone when it says so."""
    behaviour, calls = (stage.site.directory / f"rates.{kind}" for kind in ("json", "calls"))
    try:
        _begin(stage, {"USD": "2.00"})
        pages = [stage.get(product.path) for _ in range(VISITORS)]
        require(
            all(DOLLARS.search(page.body) for page in pages), "pages do not tell prices in dollars"
        )
        asked = len(calls.read_text().split())
        require(asked == 1, f"{VISITORS} visitors made {asked} calls of the service")
        _begin(stage, {"retry_after": 3})
        pages = [stage.get(product.path) for _ in range(VISITORS)]
        refused = len(calls.read_text().split())
        require(refused == 1, f"the service has asked for peace, and was called {refused} times")
        require(not DOLLARS.search(pages[-1].body), "pages tell dollars that nobody has told")
    finally:
        behaviour.unlink(missing_ok=True)
        calls.unlink(missing_ok=True)
    return asked


def _begin(stage: Stage, behaviour: dict[str, object]) -> None:
    """Have the service behave so from now on, and nobody know what it has said before."""
    (stage.site.directory / "rates.json").write_text(json.dumps(behaviour))
    (stage.site.directory / "rates.calls").write_text("")
    stage.ask(f"{__name__}.forgets_the_rate")


PATTERN = Pattern(
    number=1,
    name="computed",
    title="Cache-aside, computed values",
    without="is computed again for each visitor",
    perform=perform,
)
