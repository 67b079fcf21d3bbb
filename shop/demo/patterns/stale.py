"""Stale-while-revalidate: visitors of a product whose reviews have expired wait for nothing.

The interleaving: a refresh has loaded the old reviews; staff changes one and commits; the refresh
stores what it has. Nobody may be shown it.
"""

from shop.demo.actor import Pause
from shop.demo.aging import __name__ as aging
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage
from shop.demo.visitor import Visit

LABEL = "shop.review"
EXPIRED = 50
"""Seconds: past the tier's 45, and within the 60 in which what is expired is served."""
VISITORS = 20


def refreshes_late(pause: Pause, pk: str) -> str:
    """Reads the reviews of a product, and pauses when they have been loaded anew."""
    from cachepatterns.read import revalidating
    from cachepatterns.read.pool import pool
    from shop import queries
    from shop.models import Product

    make = revalidating.make_entry

    def late(*args: object) -> bytes:
        pause("loaded")
        return make(*args)  # type: ignore[arg-type]

    revalidating.make_entry = late  # type: ignore[assignment]
    found = list(queries.reviews(Product(pk=int(pk))))
    assert pool.settle(30)
    return found[0].title


def perform(stage: Stage) -> Played:
    product = stage.product()
    for _ in range(2):
        stage.get(product.path)
    _expire(stage)
    visits = [stage.get(product.path) for _ in range(VISITORS)]
    stale, loaded = _reviews(visits, "stale"), _reviews(visits, "miss")
    require(stale, "the visitor who finds expired reviews waits until they are loaded anew")
    require(not loaded, f"{loaded} of {VISITORS} visitors waited for expired reviews")
    stage.until(
        "the reviews are fresh again", lambda: not _reviews([stage.get(product.path)], "stale")
    )
    _expire(stage)
    with stage.actor(f"{__name__}.refreshes_late", product.pk) as late:
        late.until("loaded")
        title = _change_a_title(stage, product.pk)
        late.go_on()
        late.result()
    require(title in stage.get(product.path).body, "a refresh stored old reviews, and they show")
    return Played(
        counters={"lists served past their time": stale, "visitors": VISITORS},
        sql_saved=stale,
        interleaving="a refresh loaded, a review was changed, the refresh stored; nobody finds it",
    )


def _expire(stage: Stage) -> None:
    with stage.actor(f"{aging}.grow_older", LABEL, EXPIRED) as actor:
        require(actor.result(), "no reviews are cached")


def _reviews(visits: list[Visit], outcome: str) -> int:
    return sum(
        counts[outcome]
        for visit in visits
        for name, counts in visit.outcomes.items()
        if name.startswith(f"{LABEL} ")
    )


def _change_a_title(stage: Stage, product: int) -> str:
    with stage.database() as connection:
        found = connection.execute(
            "SELECT id FROM shop_review WHERE product_id = %s ORDER BY created_at DESC, id DESC"
            " LIMIT 1",
            [product],
        ).fetchone()
    assert found is not None
    title = "Changed while somebody looked"
    stage.change(f"/admin/shop/review/{found[0]}/change/", "review_form", title=title)
    return title


PATTERN = Pattern(
    number=8, name="stale-while-revalidate", title="Stale-while-revalidate", perform=perform
)
