"""Debugging: a web process compares what it serves with the database, and says what is wrong.

Somebody changes a price past Django, and no trigger tells: the one kind of write that no cache can
know of. The interleaving is that of the false alarm: staff commits a new price between a hit and
the comparison, and neither of the two is wrong.
"""

import contextlib
import socket
import sys
import urllib.error
from collections.abc import Iterator
from typing import Any

from shop.demo.actor import Pause
from shop.demo.patterns.pattern import Failed, Pattern, Played, require
from shop.demo.patterns.stage import PRICE, Article, Stage, statements
from shop.demo.visitor import Visitor
from shop.home import BASE_DIR
from shop.processes import Program

VISITS = 4


def compares_late(pause: Pause, slug: str) -> list[str]:
    """Reads a product that is cached, and pauses before the database is asked for comparison."""
    from django.db import connection

    from cachepatterns import observe
    from cachepatterns.observe import Event, ShadowEvent
    from shop import queries

    verdicts: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, ShadowEvent):
            verdicts.append(event.verdict)

    def wait(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        pause("before the comparison")
        return execute(sql, params, many, context)

    queries.product(slug)
    observe.subscribe(hear)
    with connection.execute_wrapper(wait):
        queries.product(slug)
    return verdicts


def why(pause: Pause, slug: str) -> dict[str, object]:
    """What `explain_cache()` says of the product page's own read."""
    from shop import queries

    products: Any = queries.products()
    told = products.explain_cache("get", slug=slug)
    return {"would_hit": told.would_hit, "tags": len(told.tags), "why_not": list(told.why_not)}


def perform(stage: Stage) -> Played:
    product = stage.product()
    cold = stage.get(product.path)
    warm = [stage.get(product.path) for _ in range(VISITS)]
    told = stage.ask(f"{__name__}.why", product.slug)
    require(told["would_hit"] and told["tags"], f"explain_cache() tells of a warm page: {told}")
    fresh, stale = _counted(stage, "fresh"), _counted(stage, "stale")
    with _comparing(stage) as visitor:
        for _ in range(VISITS):
            require(_price(visitor, product) == product.price, "a warm page shows another price")
        compared = stage.until(
            "hits are compared with the database", lambda: _counted(stage, "fresh") - fresh
        )
        with stage.database() as connection:
            connection.execute(
                "UPDATE shop_product SET price = price + 1 WHERE id = %s", [product.pk]
            )

        def found_stale() -> int:
            _price(visitor, product)  # is wrong, as it must be; what matters is that it is told
            return _counted(stage, "stale") - stale

        # Visited until it is: a process compares so many hits a second, and not this one maybe.
        found = stage.until("a wrong hit is found", found_stale)
        stage.manage("cache_purge", f"shop.Product:{product.pk}", "--noinput")
        shown = _price(visitor, product)
        require(shown == product.price + 1, f"after the purge the page shows {shown}")
    return Played(
        counters={"compared": compared, "found stale": found, "false alarms": _alarms(stage)},
        sql_saved=len(warm) * statements(cold) - statements(*warm),
        interleaving="A price was changed between a hit and its comparison with the database:"
        " no alarm.",
    )


def _alarms(stage: Stage) -> int:
    """The false alarms of a hit that a committed write overtakes: none, or `Failed`."""
    product = stage.product()
    stage.get(product.path)
    with stage.actor(f"{__name__}.compares_late", product.slug, SHOP_SHADOW="1") as reader:
        reader.until("before the comparison")
        stage.set_price(product, product.price + 1)
        reader.go_on()
        verdicts = reader.result()
    require(verdicts == ["moving"], f"a hit that a write has overtaken is {verdicts}")
    return 0


@contextlib.contextmanager
def _comparing(stage: Stage) -> Iterator[Visitor]:
    """One more web process of the shop, which compares all that it serves; and a visitor of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    program = Program(
        command=[
            *(sys.executable, str(BASE_DIR / "manage.py"), "runserver"),
            *("--noreload", "--nostatic", "--skip-checks", address),
        ],
        env={**stage.site.env, "SHOP_SHADOW": "1"},
        log=stage.site.directory / "comparing.log",
    )
    visitor = Visitor(f"http://{address}")

    def answers() -> bool:
        with contextlib.suppress(urllib.error.URLError, OSError):
            return visitor.get("/login/").status == 200
        return False

    with program.running():
        stage.until("a process that compares answers", answers)
        yield visitor


def _price(visitor: Visitor, product: Article) -> object:
    found = PRICE.search(visitor.get(product.path).body)
    if found is None:
        raise Failed(f"{product.path} shows no price")
    return type(product.price)(found.group(1))


def _counted(stage: Stage, verdict: str) -> int:
    """How many hits of products have been compared with that verdict."""
    models = {model["label"]: model for model in stage.stats()["models"]}
    return int(models["shop.product"]["done"].get(f"shadowed: {verdict}", 0))


PATTERN = Pattern(
    number=14,
    name="debugging",
    title="Debugging",
    without="compared with the database: not within",
    perform=perform,
)
