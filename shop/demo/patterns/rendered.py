"""Templates and views: a product's reviews as a block of its page, the sitemap as a whole.

The interleaving: one process renders the sitemap from the old addresses; before it stores it,
staff gives a product another one. What is stored late must not be found.
"""

from shop.demo.actor import Pause
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Article, Stage, statements
from shop.demo.visitor import Visit

MAP = "/sitemap.xml"
VIEW = "view sitemap.xml"
BLOCK = "fragment reviews"


def renders_late(pause: Pause, host: str) -> None:
    """Renders the sitemap, and pauses when the database has been asked."""
    from django.test import Client

    from shop.views import catalog

    original = catalog.sitemap_paths

    def late() -> list[str]:
        found = original()
        pause("asked")
        return found

    catalog.sitemap_paths = late
    assert Client().get(MAP, HTTP_HOST=host).status_code == 200


def perform(stage: Stage) -> Played:
    product = stage.product()
    reviews = [stage.get(product.path) for _ in range(4)]
    blocks = [visit.outcomes[BLOCK]["hit"] for visit in reviews[1:] if BLOCK in visit.outcomes]
    require(sum(blocks) == 3, "the reviews are rendered again for each visitor")
    stage.set_price(product, product.price + 1)
    again = stage.get(product.path)
    require(again.outcomes[BLOCK]["miss"], "a product is written, and its block is still there")
    _rename(stage, product, f"{product.slug}-once")  # which empties the sitemap
    _rename(stage, product, product.slug)
    stage.settle()
    cold = stage.get(MAP)
    warm = [stage.get(MAP) for _ in range(4)]
    hits = sum(_hits(visit) for visit in warm)
    require(hits == len(warm), "the sitemap is rendered again for each visitor")
    new = f"{product.slug}-new"
    _rename(stage, product, f"{product.slug}-once")
    with stage.actor(f"{__name__}.renders_late", stage.base.partition("//")[2]) as other:
        other.until("asked")
        _rename(stage, product, new)
        other.go_on()
        other.result()
    shown = [stage.get(MAP) for _ in range(4)]
    require(all(f"/{new}/" in visit.body for visit in shown), "the sitemap is yesterday's")
    _rename(stage, product, product.slug)
    return Played(
        counters={"blocks": sum(blocks), "whole pages": hits},
        sql_saved=len(warm) * statements(cold) - statements(*warm),
        interleaving="A product got another address while the sitemap was rendered:"
        " nobody is shown the old.",
    )


def _hits(visit: Visit) -> int:
    return visit.outcomes[VIEW]["hit"] if VIEW in visit.outcomes else 0


def _rename(stage: Stage, product: Article, slug: str) -> None:
    stage.change(f"/admin/shop/product/{product.pk}/change/", "product_form", slug=slug)


PATTERN = Pattern(
    number=10,
    name="rendered",
    title="Templates and views",
    without="rendered again for each visitor",
    perform=perform,
)
