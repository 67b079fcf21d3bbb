"""When not to cache: a shop with two wrong policies, which the advisor finds by its traffic.

It is a shop of its own, on a database of its own: servers that disagree on what is told apart
must share neither.

The interleaving: a price changes between any two visits of other products' pages. The misses that
follow have to be told from those of entries that have run out: the cure for one is none for the
other.
"""

import contextlib
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

from shop.demo.actor import Pause
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage, statements
from shop.demo.site import Site
from shop.demo.visitor import Visitor
from shop.demo.web import workers
from shop.servers.base import free_port

ORDERS, PRICES, PAGES = 205, 34, 3
ADAS_ORDERS = """
INSERT INTO shop_order (number, user_id, email, full_name, address, postcode, city, country_id,
    subtotal, shipping, discount, tax, total, created_at)
SELECT 'W' || n, (SELECT id FROM auth_user WHERE username = 'ada'), '', '', '', '', '',
    (SELECT min(id) FROM shop_country), 1, 0, 0, 0, 1, now()
FROM generate_series(1, %s) AS n
"""
DROP = "DROP DATABASE IF EXISTS wrong_shop WITH (FORCE)"


def changes_prices(pause: Pause, slug: str) -> None:
    """Gives the product a new price each time it is told to."""
    from cachepatterns.stats.recorder import recorder
    from shop.models import Product

    for price in range(10, 10 + PRICES):
        Product.objects.filter(slug=slug).update(price=price)
        pause("changed")
    recorder.flush()  # it is killed when it has returned


def perform(stage: Stage) -> Played:
    with _wrong_shop(stage) as shop:
        ada = Visitor(shop.base)
        ada.login("ada", "customer")
        for number in range(1, ORDERS + 1):
            require(ada.get(f"/order/W{number}/").status == 200, "ada does not see her order")
        with shop.database() as connection:
            found = connection.execute("SELECT slug FROM shop_product WHERE is_active ORDER BY id")
            changed, *visited = [slug for (slug,) in found.fetchmany(PAGES + 1)]
        with shop.actor(f"{__name__}.changes_prices", changed) as staff:
            visits = []
            for _ in range(PRICES):
                staff.until("changed")
                visits += [shop.get(f"/product/{slug}/") for slug in visited]
                staff.go_on()
            staff.result()
        # As many, had they not been outdated by what does not concern them.
        warm = [shop.get(f"/product/{slug}/") for slug in visited]
        return _judged(shop, statements(*visits) - PRICES * statements(*warm))


@contextlib.contextmanager
def _wrong_shop(stage: Stage) -> Iterator[Stage]:
    """Another shop on the stage's servers, with wrong policies."""
    env = stage.site.env
    with stage.database() as connection:
        connection.execute(DROP)
        connection.execute("CREATE DATABASE wrong_shop")
    folder = stage.site.directory / "wrong"
    folder.mkdir(exist_ok=True)
    own = {
        "DATABASE_URL": urlsplit(env["DATABASE_URL"])._replace(path="/wrong_shop").geturl(),
        "CACHE_URL": urlsplit(env["CACHE_URL"])._replace(path="/9").geturl(),
        "SHOP_WRONG_POLICIES": "1",
        "SHOP_OUTBOX": "",
        "SHOP_HOME": str(folder),
    }
    site = Site(folder, {**env, **own}, [])
    port = free_port()
    try:
        with Stage(site, f"http://127.0.0.1:{port}", processes=1) as shop:
            shop.patience = stage.patience
            done = shop.manage("demo_prepare", "--products", "150", "--reviews", "150")
            require(done.returncode == 0, f"demo_prepare failed: {done.stderr}")
            with shop.database() as connection:
                connection.execute(ADAS_ORDERS, [ORDERS])
            with workers(site, port=port, count=1):
                yield shop
    finally:
        with stage.database() as connection:
            connection.execute(DROP)


def _judged(shop: Stage, to_be_saved: int) -> Played:
    def missed() -> int:
        models = {model["label"]: model for model in shop.stats()["models"]}
        misses: int = models.get("shop.product", {}).get("misses", 0)
        return misses if misses >= PRICES * PAGES else 0

    misses = shop.until("the servers tell what was missed", missed)  # every few seconds they do
    done = shop.manage("cache_advise", "shop", "--since", "1h", "--json")
    require(done.returncode == 0, f"cache_advise left with {done.returncode}: {done.stderr}")
    changes = {each["label"]: each["change"] for each in json.loads(done.stdout)["advice"]}
    require(
        changes.get("shop.order") == {"set": {"tier": "never"}, "drop": []},
        f"of orders it proposes {changes.get('shop.order')}",
    )
    require(
        changes.get("shop.product") == {"set": {}, "drop": ["narrow_by_only"]},
        f"of products it proposes {changes.get('shop.product')}",
    )
    return Played(
        counters={"wrong policies": 2, "found": 2, "misses of products": misses},
        sql_saved=to_be_saved,
        interleaving="Before each visit another product was changed:"
        " no miss is taken for an expiry.",
    )


PATTERN = Pattern(
    number=12,
    name="advisor",
    title="When not to cache",
    without="tell what was missed: not within",
    perform=perform,
)
