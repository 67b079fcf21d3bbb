"""How the shop writes money, stars and pictures."""

from decimal import Decimal

from django import template
from django.urls import reverse
from django.utils.html import format_html

from shop.models import CartItem, Category
from shop.pricing import line_total
from shop.tree import Tree

register = template.Library()


@register.filter
def money(amount: Decimal) -> str:
    """€1,234.50"""
    return f"€{amount:,.2f}"


@register.filter
def line(item: CartItem) -> str:
    """What one line of the cart costs."""
    return money(line_total(item))


@register.filter
def picture(code: str) -> str:
    """The address of the picture that a `lamp-12` names."""
    kind, _, number = code.partition("-")
    return reverse("shop:picture", args=[kind or "vase", int(number or 0)])


@register.filter
def unlocalized(amount: Decimal) -> str:
    """1234.50, for programs that read the page."""
    return f"{amount:.2f}"


@register.filter
def weight(grams: int) -> str:
    return f"{grams / 1000:.1f} kg" if grams >= 1000 else f"{grams} g"


@register.filter
def children(tree: Tree, category: Category) -> list[Category]:
    return tree.children(category)


@register.simple_tag
def stars(rating: Decimal | int) -> str:
    """Five stars, so much of them filled; said in words for those who do not see them."""
    return format_html(
        '<span class="stars" role="img" aria-label="Rated {} of 5">'
        '<svg viewBox="0 0 100 20" width="90" height="18" aria-hidden="true">'
        '<use href="#stars" width="100" height="20" class="stars-empty"/>'
        '<svg width="{}" height="20" viewBox="0 0 {} 20">'
        '<use href="#stars" width="100" height="20" class="stars-full"/>'
        "</svg></svg></span>",
        f"{rating:.1f}",
        (width := int(Decimal(rating) * 20)),
        width,
    )
