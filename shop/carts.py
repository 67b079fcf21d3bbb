"""Whose cart it is, and what may be done to it."""

import uuid

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest

from shop import queries
from shop.models import Cart, CartItem, Product
from shop.models.carts import MAX_QUANTITY

SESSION_KEY = "cart"


def find_cart(request: HttpRequest) -> Cart | None:
    """The visitor's cart, or None for one that has put nothing in: a look makes no row."""
    try:
        if request.user.is_authenticated:
            return queries.cart_of_user(request.user)
        if token := request.session.get(SESSION_KEY):
            return queries.cart_of_token(uuid.UUID(token))
    except Cart.DoesNotExist:
        pass
    return None


def open_cart(request: HttpRequest) -> Cart:
    """The visitor's cart, made now if there is none."""
    if request.user.is_authenticated:
        return Cart.objects.get_or_create(user=request.user)[0]
    token = request.session.setdefault(SESSION_KEY, str(uuid.uuid4()))
    return Cart.objects.get_or_create(token=uuid.UUID(token))[0]


def items_in(cart: Cart | None) -> list[CartItem]:
    return list(queries.cart_items(cart)) if cart else []


@transaction.atomic
def add(cart: Cart, product: Product, quantity: int) -> CartItem:
    """Put more of a product into the cart, up to what one order may hold."""
    item, created = CartItem.objects.select_for_update().get_or_create(
        cart=cart, product=product, defaults={"quantity": min(quantity, MAX_QUANTITY)}
    )
    if not created:
        item.quantity = min(item.quantity + quantity, MAX_QUANTITY)
        item.save(update_fields=["quantity"])
    return item


def change(cart: Cart, item_id: int, quantity: int) -> None:
    """Set a line's quantity; nothing or less takes the line out."""
    line = CartItem.objects.filter(cart=cart, pk=item_id)
    if quantity > 0:
        line.update(quantity=min(quantity, MAX_QUANTITY))
    else:
        line.delete()


@transaction.atomic
def adopt_cart(request: HttpRequest, user: User) -> None:
    """Hand what was put in before the login to the customer who has logged in."""
    token = request.session.pop(SESSION_KEY, None)
    if token is None:
        return
    anonymous = Cart.objects.filter(token=uuid.UUID(token)).first()
    if anonymous is None:
        return
    cart, _ = Cart.objects.get_or_create(user=user)
    for item in CartItem.objects.filter(cart=anonymous).select_related("product"):
        add(cart, item.product, item.quantity)
    anonymous.delete()
