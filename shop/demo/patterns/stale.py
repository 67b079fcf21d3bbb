"""Stale-while-revalidate: visitors of the home page, whose newest products have expired, wait for
nothing.

The interleaving: a refresh has loaded the newest products; staff changes one and commits; the
refresh stores what it has. Nobody may be shown it.
"""

from shop.demo.actor import Pause
from shop.demo.aging import __name__ as aging
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage
from shop.demo.visitor import Visit

HOME = "/"
LABEL = "shop.product"
EXPIRED = 50
"""Seconds: past the tier's 45, and within the 60 in which what is expired is served."""
VISITORS = 20
NAME = "Changed while somebody looked"


def refreshes_late(pause: Pause) -> int:
    """Reads the newest products, and pauses when they have been loaded anew."""
    from cachepatterns.read import revalidating
    from cachepatterns.read.pool import pool
    from shop import queries

    make = revalidating.make_entry

    def late(*args: object) -> bytes:
        pause("loaded")
        return make(*args)  # type: ignore[arg-type]

    revalidating.make_entry = late  # type: ignore[assignment]
    found = list(queries.newest())
    assert pool.settle(30)
    return len(found)


def perform(stage: Stage) -> Played:
    for _ in range(2):
        stage.get(HOME)
    _expire(stage)
    visits = [stage.get(HOME) for _ in range(VISITORS)]
    stale, loaded = _products(visits, "stale"), _products(visits, "miss")
    require(stale, "the visitor who finds an expired list waits until it is loaded anew")
    require(not loaded, f"{loaded} expired lists were waited for")
    stage.until("the list is fresh again", lambda: not _products([stage.get(HOME)], "stale"))
    _expire(stage)
    page, name = _newest(stage)
    with stage.actor(f"{__name__}.refreshes_late") as late:
        late.until("loaded")
        stage.change(page, "product_form", name=NAME)
        late.go_on()
        late.result()
    shown = NAME in stage.get(HOME).body
    stage.change(page, "product_form", name=name)
    require(shown, "a refresh stored a product as it was before a change, and it shows")
    return Played(
        counters={"visitors": VISITORS, "served past their time": stale},
        sql_saved=stale,
        interleaving="A product changed between a refresh's load and its store:"
        " nobody is shown the old one.",
    )


def _expire(stage: Stage) -> None:
    require(stage.ask(f"{aging}.grow_older", LABEL, EXPIRED), "no lists of products are cached")


def _products(visits: list[Visit], outcome: str) -> int:
    return sum(
        counts[outcome]
        for visit in visits
        for name, counts in visit.outcomes.items()
        if name.startswith(f"{LABEL} ")
    )


def _newest(stage: Stage) -> tuple[str, str]:
    """The page in the admin of the newest product, and its name."""
    with stage.database() as connection:
        found = connection.execute(
            "SELECT id, name FROM shop_product WHERE is_active"
            " ORDER BY created_at DESC, id DESC LIMIT 1"
        ).fetchone()
    assert found is not None
    return f"/admin/shop/product/{found[0]}/change/", found[1]


PATTERN = Pattern(
    number=8,
    name="stale-while-revalidate",
    title="Stale-while-revalidate",
    without="waits until it is loaded anew",
    perform=perform,
)
