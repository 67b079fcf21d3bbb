"""What every page of the storefront shows around its own content."""

from collections.abc import Callable
from typing import TypeVar

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from shop import queries
from shop.carts import find_cart, items_in
from shop.models import CartItem
from shop.tree import Tree

T = TypeVar("T")


def storefront(request: HttpRequest) -> dict[str, object]:
    """Lazy, since the admin's templates pass through here too and use none of it."""
    return {
        "catalog": SimpleLazyObject(lambda: catalog(request)),
        "flags": SimpleLazyObject(lambda: {flag.name for flag in queries.flags()}),
        "cart_size": SimpleLazyObject(lambda: _cart_size(request)),
    }


def catalog(request: HttpRequest) -> Tree:
    """The category tree, read once for the view and the menu together."""
    return _once(request, "_catalog", lambda: Tree(queries.categories()))


def cart_lines(request: HttpRequest) -> list[CartItem]:
    """The cart's lines, read once for the view and the badge in the header together."""
    return _once(request, "_cart_lines", lambda: items_in(find_cart(request)))


def _cart_size(request: HttpRequest) -> int:
    return sum(item.quantity for item in cart_lines(request))


def _once(request: HttpRequest, name: str, read: Callable[[], T]) -> T:
    """What `read` returns, kept for the length of this request."""
    if not hasattr(request, name):
        setattr(request, name, read())
    kept: T = getattr(request, name)
    return kept
