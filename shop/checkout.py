"""From cart to order, on numbers that come from the database and nowhere else."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from cachepatterns import uncached
from shop import queries
from shop.models import Cart, CartItem, Category, Country, Order, OrderItem, Product, TaxRate
from shop.pricing import Totals, root_of_each, totals


class OutOfStock(Exception):
    """Less is left of a product than the cart asks for."""

    def __init__(self, product: Product) -> None:
        self.product = product
        super().__init__(f"Only {product.stock} left of {product.name}.")


class EmptyCart(Exception):
    """There is nothing to order."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Who gets the order, and where."""

    email: str
    full_name: str
    address: str
    postcode: str
    city: str
    country: Country


def tax_percent(country: Country | None) -> Decimal:
    if country is None:
        return Decimal(0)
    try:
        return queries.tax_rate(country.pk).percent
    except TaxRate.DoesNotExist:
        return Decimal(0)


def price_now(
    items: list[CartItem], country: Country | None, categories: Iterable[Category]
) -> Totals:
    roots = root_of_each(categories)
    return totals(items, queries.pricing_rules(), roots, tax_percent(country))


@transaction.atomic
@uncached()
def place_order(cart: Cart, delivery: Delivery, user: User | None) -> Order:
    """Sell what is in the cart.

    Deliberately not cached: all that an order is made from is read here, in the transaction,
    price and stock under a lock. What a page showed a second ago may be good enough to
    look at, but not to bill. Raises `OutOfStock` or `EmptyCart`, and then nothing has happened.
    """
    items = list(CartItem.objects.filter(cart=cart))
    wanted = [item.product_id for item in items]
    # In the order of their keys, so that two customers never wait for each other in a circle.
    locked = Product.objects.select_for_update().filter(pk__in=wanted, is_active=True)
    products = {product.pk: product for product in locked.order_by("pk")}
    items = [item for item in items if item.product_id in products]
    if not items:
        raise EmptyCart
    for item in items:
        item.product = products[item.product_id]
        if item.product.stock < item.quantity:
            raise OutOfStock(item.product)

    amounts = price_now(items, delivery.country, queries.categories())
    order = Order.objects.create(
        number=secrets.token_hex(5).upper(),
        user=user,
        email=delivery.email,
        full_name=delivery.full_name,
        address=delivery.address,
        postcode=delivery.postcode,
        city=delivery.city,
        country=delivery.country,
        subtotal=amounts.subtotal,
        shipping=amounts.shipping,
        discount=amounts.discount,
        tax=amounts.tax,
        total=amounts.total,
    )
    OrderItem.objects.bulk_create(
        OrderItem(
            order=order,
            product=item.product,
            name=item.product.name,
            unit_price=item.product.price,
            quantity=item.quantity,
        )
        for item in items
    )
    for item in items:
        Product.objects.filter(pk=item.product_id).update(stock=F("stock") - item.quantity)
    CartItem.objects.filter(cart=cart).delete()
    return order
