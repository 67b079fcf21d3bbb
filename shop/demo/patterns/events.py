"""Event-driven invalidation: a warehouse that knows no Django writes, and says so by one INSERT.

And rules: the sitemap rests on a tag that those of products and categories name. A new address
concerns it, a new price does not.

The interleaving: the warehouse is killed right after its COMMIT. The event was committed with what
it tells of, so the relay delivers it all the same.
"""

import json
import signal
import subprocess
import sys

from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Article, Stage, outcomes, statements

WAREHOUSE = """
import os, sys, psycopg
url, product, payload = sys.argv[1:]
with psycopg.connect(url) as connection:
    connection.execute("UPDATE shop_product SET stock = 0 WHERE id = %s", [product])
    connection.execute(
        "INSERT INTO cachepatterns_invalidationevent (source, payload) VALUES ('warehouse', %s)",
        [payload],
    )
    connection.commit()
    os.kill(os.getpid(), 9)
"""
MAP, VIEW = "/sitemap.xml", "view sitemap.xml"
SOLD_OUT = "Sold out for now"


def perform(stage: Stage) -> Played:
    product = stage.product()
    cold = stage.get(product.path)
    warm = [stage.get(product.path) for _ in range(4)]
    require(outcomes(*warm)["hit"], "the page is not answered from the cache")
    require(SOLD_OUT not in warm[-1].body, f"{product.name} is sold out already")
    try:
        ended = _warehouse_sells_out(stage, product)
        require(ended == -signal.SIGKILL, f"the warehouse was not killed but ended with {ended}")
        stage.until(
            "the warehouse has sold out, and the shop knows",
            lambda: SOLD_OUT in stage.get(product.path).body,
        )
        delivered = stage.until("the relay's delivery is counted", lambda: _delivered(stage))
    finally:
        _forget_events(stage)
    kept = _sitemap_outlives_a_price(stage)
    return Played(
        counters={"hits": outcomes(*warm)["hit"], "event delivered": delivered}
        | {"sitemap kept": kept},
        sql_saved=len(warm) * statements(cold) - statements(*warm),
        interleaving="The warehouse was killed right after its COMMIT, having told nobody:"
        " the shop knows.",
    )


def _sitemap_outlives_a_price(stage: Stage) -> int:
    product = stage.product()
    if stage.get(MAP).outcomes[VIEW]["bypass"]:
        return 0  # the shop keeps no pages: it does without that pattern
    stage.until("the sitemap is kept", lambda: stage.get(MAP).outcomes[VIEW]["hit"])
    stage.set_price(product, product.price + 1)
    hits = stage.get(MAP).outcomes[VIEW]["hit"]
    require(hits, "a new price, and the sitemap is rendered again")
    return hits


def _warehouse_sells_out(stage: Stage, product: Article) -> int:
    payload = json.dumps({"model": "shop.product"})
    url = stage.site.env["DATABASE_URL"]
    command = [sys.executable, "-c", WAREHOUSE, url, str(product.pk), payload]
    return subprocess.run(command, check=False).returncode


def _forget_events(stage: Stage) -> None:
    """Of what nobody relays other scenes would think that it is still to come."""
    with stage.database() as connection:
        connection.execute(
            "DELETE FROM cachepatterns_invalidationevent WHERE source = 'warehouse'"
        )


def _delivered(stage: Stage) -> int:
    """Events of the warehouse's that a relay has delivered."""
    with stage.database() as connection:
        found = connection.execute(
            "SELECT count(*) FROM cachepatterns_invalidationevent"
            " WHERE source = 'warehouse' AND delivered_at IS NOT NULL"
        ).fetchone()
    return found[0] if found else 0


PATTERN = Pattern(
    number=6,
    name="event-driven",
    title="Event-driven invalidation",
    without="sold out, and the shop knows: not within",
    perform=perform,
)
