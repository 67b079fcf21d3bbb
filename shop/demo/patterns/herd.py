"""The thundering herd: a thousand visitors want a best-seller whose entry has just died.

The interleaving: all of them miss before the first has its answer. The table is locked until they
have asked, so that the first one's query takes as long as it takes the others to come.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage, outcomes, statements
from shop.demo.visitor import Visit

VISITORS = 1000
AT_ONCE = 60
ENTRY = "shop.product list:slug"


def perform(stage: Stage) -> Played:
    product = stage.product()
    cold = stage.get(product.path)
    # Twice: by the first time it is learnt that this load takes long, in all processes.
    for cents in (1, 2):
        stage.set_price(product, product.price + cents)
        stage.settle()
        visits = _while_locked(stage, product.path, VISITORS if cents == 2 else 2)
    loads = sum(visit.outcomes[ENTRY]["miss"] for visit in visits)
    shared = sum(visit.outcomes[ENTRY]["shared"] for visit in visits)
    require(loads == 1, f"{VISITORS:,} visitors made {loads} queries for one product")
    return Played(
        counters={"visitors": VISITORS, "query": loads, "shared": shared}
        | {"hits": outcomes(*visits)["hit"]},
        sql_saved=len(visits) * statements(cold) - statements(*visits),
        interleaving="All who came missed before the first had its answer:"
        " they waited for that one.",
    )


def _while_locked(stage: Stage, path: str, count: int) -> list[Visit]:
    """So many visits, the first of which wait for the table."""
    with stage.database() as connection, ThreadPoolExecutor(AT_ONCE) as pool:
        with connection.transaction():
            connection.execute("LOCK TABLE shop_product IN ACCESS EXCLUSIVE MODE")
            began = threading.Semaphore(0)

            def visit(_: int) -> Visit:
                began.release()
                return stage.get(path)

            visits = [pool.submit(visit, number) for number in range(count)]
            for _ in range(min(count, AT_ONCE)):
                began.acquire()
            stage.until("somebody waits for the table", lambda: _waits(stage))
            # So that it is a load that takes long: of quick ones each process makes its own.
            connection.execute("SELECT pg_sleep(0.2)")
        return [visit.result() for visit in visits]


def _waits(stage: Stage) -> bool:
    with stage.database() as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_locks"
            " WHERE NOT granted AND relation = 'shop_product'::regclass"
            " AND mode = 'AccessShareLock'"  # a reader: who writes counters waits too
        ).fetchone()
    return bool(found and found[0])


PATTERN = Pattern(
    number=7,
    name="herd",
    title="Thundering herd",
    without="visitors made .* queries for one product",
    perform=perform,
)
