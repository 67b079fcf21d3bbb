"""What can be put into a cart, and what comes out of it."""

from decimal import Decimal

import pytest
from django.test import Client

from shop.models import Cart, CartItem, Country, Order, PricingRule, Product, TaxRate
from shop.pricing import root_of_each, totals

DELIVERY = {
    "email": "grace@example.com",
    "full_name": "Grace Hopper",
    "address": "1 Harbour Street",
    "postcode": "12345",
    "city": "Arlington",
}


@pytest.fixture
def delivery(shop) -> dict:
    return {**DELIVERY, "country": Country.objects.get(code="GB").pk}


@pytest.fixture
def filled(client, product) -> Client:
    """A visitor, not logged in, with two of a product in the cart."""
    client.post(f"/cart/add/{product.slug}/", {"quantity": 2})
    return client


def test_add_change_remove(filled, product):
    [item] = filled.get("/cart/").context["items"]
    assert (item.product, item.quantity) == (product, 2)
    filled.post(f"/cart/change/{item.pk}/", {"quantity": 5})
    assert filled.get("/cart/").context["items"][0].quantity == 5
    filled.post(f"/cart/change/{item.pk}/", {"quantity": 0})
    assert filled.get("/cart/").context["items"] == []


def test_adding_twice_makes_one_line_of_at_most_twenty(filled, product):
    filled.post(f"/cart/add/{product.slug}/", {"quantity": 19})
    [item] = filled.get("/cart/").context["items"]
    assert item.quantity == 20


def test_nobody_changes_another_ones_cart(filled, ada):
    [item] = filled.get("/cart/").context["items"]
    ada.post(f"/cart/change/{item.pk}/", {"quantity": 9})
    assert CartItem.objects.get(pk=item.pk).quantity == 2


def test_looking_makes_no_cart(client, shop):
    before = Cart.objects.count()
    client.get("/cart/")
    client.get("/")
    assert Cart.objects.count() == before


def test_the_cart_comes_along_when_one_logs_in(filled, product):
    filled.post("/login/", {"username": "ada", "password": "customer"})
    items = filled.get("/cart/").context["items"]
    assert product in [item.product for item in items]
    assert len(items) >= 3
    assert not Cart.objects.filter(user=None).exists()


def test_one_is_sent_back_only_within_the_shop(client, product):
    url = f"/cart/add/{product.slug}/"
    assert client.post(url, {"next": "/search/"}).url == "/search/"
    assert client.post(url, {"next": "//evil.example/"}).url == "/cart/"


def test_an_order_takes_price_and_stock_from_the_database(filled, product, delivery):
    Product.objects.filter(pk=product.pk).update(price=Decimal("100.00"), stock=7)
    response = filled.post("/checkout/", delivery)
    order = Order.objects.get(full_name="Grace Hopper")
    assert response.url == order.get_absolute_url()
    [line] = order.items.all()
    assert (line.unit_price, line.quantity) == (Decimal("100.00"), 2)
    assert Product.objects.get(pk=product.pk).stock == 5
    assert filled.get("/cart/").context["items"] == []
    assert filled.get(response.url).status_code == 200
    assert Client().get(response.url).status_code == 404


def test_the_checkout_says_why_it_is_not_cached(filled):
    assert "Not from the cache, on purpose" in filled.get("/checkout/").content.decode()


def test_more_than_there_is_cannot_be_ordered(filled, product, delivery):
    Product.objects.filter(pk=product.pk).update(stock=1)
    response = filled.post("/checkout/", delivery, follow=True)
    assert f"Only 1 left of {product.name}." in response.content.decode()
    assert Product.objects.get(pk=product.pk).stock == 1
    assert not Order.objects.filter(full_name="Grace Hopper").exists()


def test_an_incomplete_address_is_asked_for_again(filled, delivery):
    response = filled.post("/checkout/", {**delivery, "city": ""})
    assert response.status_code == 200
    assert response.context["form"].errors.keys() == {"city"}


def test_an_empty_cart_has_no_checkout(client, shop):
    assert client.get("/checkout/").url == "/cart/"


def test_totals_add_rules_delivery_and_tax(product):
    root = root_of_each([product.category, product.category.parent])
    product.price = Decimal("50.00")
    items = [CartItem(product=product, quantity=2)]
    rule = PricingRule(
        name="Ten off", category=product.category.parent, minimum_quantity=2, percent_off=10
    )
    amounts = totals(items, [rule], root, Decimal(20))
    assert (amounts.subtotal, amounts.discount) == (Decimal("100.00"), Decimal("10.00"))
    assert (amounts.shipping, amounts.tax) == (Decimal(0), Decimal("18.00"))
    assert amounts.total == Decimal("108.00")
    assert totals(items[:1], [], root).discount == 0
    assert totals([], [rule], root).total == 0


def test_a_profile_is_saved_and_used_at_the_checkout(ada, shop):
    france = Country.objects.get(code="FR")
    TaxRate.objects.filter(country=france).update(percent=Decimal("20.00"))
    ada.post("/profile/", {"city": "Lyon", "postcode": "69001", "country": france.pk})
    response = ada.get("/checkout/")
    assert response.context["form"].initial["city"] == "Lyon"
    assert response.context["totals"].tax_percent == Decimal("20.00")
