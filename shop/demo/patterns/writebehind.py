"""Write-behind: views of a product and searches, counted at once and written later.

The interleaving: a flusher is killed between its COMMIT and the moment when Redis forgets the
batch. Whoever flushes next finds the batch once more, and must not write it again.
"""

import re

from shop.demo.actor import Pause
from shop.demo.patterns.pattern import Failed, Pattern, Played, require
from shop.demo.patterns.stage import Article, Stage

VISITS, SEARCHES = 12, 3
VIEWS = re.compile(r'data-views="(\d+)"')
WORDS = "something nobody sells"


def dies_after_its_commit(pause: Pause, pk: str) -> None:
    """Counts and flushes until a batch of its own is committed; pauses there, to be killed."""
    from cachepatterns import increment
    from cachepatterns.write import flushing
    from shop.models import Product

    def reached(step: str) -> None:
        if step == flushing.COMMITTED:
            pause(step)

    flushing.reached = reached
    while True:  # the web processes flush too, and may have been quicker
        increment(Product, pk, view_count=1)
        flushing.Flusher().everything()


def perform(stage: Stage) -> Played:
    product = stage.product()
    stage.manage("flush_counters")
    before = _written(stage, product)
    shown = [_shown(stage, product) for _ in range(VISITS)]
    expected = [before + number for number in range(1, VISITS + 1)]
    require(shown == expected, f"{VISITS} visits of a product counted {before} show {shown}")
    searched = _searches(stage)
    for _ in range(SEARCHES):
        stage.get(f"/search/?q={WORDS.replace(' ', '+')}")
    _flush(stage)
    require(_written(stage, product) == shown[-1], "what pages show is not what is written")
    require(_searches(stage) == searched + SEARCHES, "searches are missing")
    with stage.actor(f"{__name__}.dies_after_its_commit", product.pk) as flusher:
        flusher.until("committed")
        flusher.kill()
    counted = _written(stage, product)
    _flush(stage)
    again = _written(stage, product)
    require(again == counted, f"a killed flusher's batch was written twice: {counted}, {again}")
    require(_shown(stage, product) == again + 1, "a page does not show what is written")
    return Played(
        counters={"views": VISITS, "searches": SEARCHES},
        sql_saved=VISITS + SEARCHES,
        interleaving="A flusher was killed right after the COMMIT of its batch:"
        " no view is lost or doubled.",
    )


def _shown(stage: Stage, product: Article) -> int:
    """What the product's page says of how often it was looked at, this time included."""
    found = VIEWS.search(stage.get(product.path).body)
    if found is None:
        raise Failed(f"{product.path} shows no views")
    return int(found.group(1))


def _flush(stage: Stage) -> None:
    done = stage.manage("flush_counters")
    require(not done.returncode, f"flush_counters failed: {done.stderr}")


def _written(stage: Stage, product: Article) -> int:
    return _number(stage, "SELECT view_count FROM shop_product WHERE id = %s", product.pk)


def _searches(stage: Stage) -> int:
    return _number(stage, "SELECT count(*) FROM shop_searchevent WHERE words = %s", WORDS)


def _number(stage: Stage, sql: str, value: object) -> int:
    with stage.database() as connection:
        row = connection.execute(sql, [value]).fetchone()
    assert row is not None
    return int(row[0])


PATTERN = Pattern(
    number=3,
    name="write-behind",
    title="Write-behind",
    without="shows no views",
    perform=perform,
)
