"""Every page of the shop, and what its second visit may cost.

`manage.py demo --check` visits each twice and compares. A page is declared `cached` if its second
visit must take something from the cache; `sql` is the number of statements it then still sends
to the database, exactly, so that both a lost hit and a new query show up here.
"""

from dataclasses import dataclass
from typing import Literal

Visitor = Literal["anybody", "customer", "staff"]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One address to visit. `sql` is None where no statement count is reported or promised."""

    path: str
    visitor: Visitor = "anybody"
    cached: bool = False
    sql: int | None = None


# The product, cart and order that the seed makes in every shop, however small.
PRODUCT = "/product/{product}/"

PAGES: tuple[Page, ...] = (
    Page(path="/", cached=True, sql=0),
    Page(path="/categories/", cached=True, sql=0),
    Page(path="/category/living-room/", cached=True, sql=0),
    Page(path="/category/armchairs/", cached=True, sql=0),
    Page(
        path="/category/armchairs/?sort=price&low=20&high=200&stock=on&page=2", cached=True, sql=0
    ),
    Page(path=PRODUCT, cached=True, sql=1),  # the recommendations, random on purpose
    Page(path="/sitemap.xml", cached=True, sql=0),
    Page(path="/search/?q=chair", cached=True, sql=0),
    Page(path="/cart/", cached=True, sql=0),
    Page(path="/login/", cached=True, sql=0),
    # From here on one statement more: who is logged in is asked of the database each time.
    Page(path="/", visitor="customer", cached=True, sql=1),
    Page(path=PRODUCT, visitor="customer", cached=True, sql=2),
    Page(path="/cart/", visitor="customer", cached=True, sql=1),
    Page(path="/checkout/", visitor="customer", cached=True, sql=2),  # and today's prices
    Page(
        path="/order/ADA0000001/", visitor="customer", cached=True, sql=3
    ),  # orders never are cached
    Page(path="/profile/", visitor="customer", cached=True, sql=2),
    # Staff edit what the database holds; what Django's admin asks differs by its version.
    Page(path="/admin/", visitor="staff"),
    Page(path="/admin/shop/product/", visitor="staff"),
    Page(path="/picture/lamp/12.svg", sql=0),
    Page(path="/static/shop/shop.css"),
    Page(path="/metrics", sql=0),
)
