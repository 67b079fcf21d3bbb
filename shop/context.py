"""What every page of the storefront shows around its own content."""

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from shop import queries
from shop.carts import find_cart, items_in
from shop.tree import Tree


def storefront(request: HttpRequest) -> dict[str, object]:
    """Lazy, since the admin's templates pass through here too and use none of it."""
    return {
        "catalog": SimpleLazyObject(lambda: catalog(request)),
        "flags": SimpleLazyObject(lambda: {flag.name for flag in queries.flags()}),
        "cart_size": SimpleLazyObject(lambda: _cart_size(request)),
    }


def catalog(request: HttpRequest) -> Tree:
    """The category tree, read once for the view and the menu together."""
    if not hasattr(request, "_catalog"):
        request._catalog = Tree(queries.categories())
    return request._catalog


def cart_lines(request: HttpRequest) -> list:
    """The cart's lines, read once for the view and the badge in the header together."""
    if not hasattr(request, "_cart_lines"):
        request._cart_lines = items_in(find_cart(request))
    return request._cart_lines


def _cart_size(request: HttpRequest) -> int:
    return sum(item.quantity for item in cart_lines(request))
