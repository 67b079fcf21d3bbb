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
    Page(path="/"),
    Page(path="/categories/"),
    Page(path="/category/living-room/"),
    Page(path="/category/armchairs/"),
    Page(path="/category/armchairs/?sort=price&low=20&high=200&stock=on&page=2"),
    Page(path=PRODUCT),
    Page(path="/search/?q=chair"),
    Page(path="/cart/"),
    Page(path="/login/"),
    Page(path="/", visitor="customer"),
    Page(path=PRODUCT, visitor="customer"),
    Page(path="/cart/", visitor="customer"),
    Page(path="/checkout/", visitor="customer"),
    Page(path="/order/ADA0000001/", visitor="customer"),
    Page(path="/profile/", visitor="customer"),
    Page(path="/admin/", visitor="staff"),
    Page(path="/admin/shop/product/", visitor="staff"),
    Page(path="/picture/lamp/12.svg"),
    Page(path="/static/shop/shop.css"),
    Page(path="/metrics"),
)
