"""The incident: a price changed in the admin, and the shop sold at yesterday's for 45 minutes.

Four servers, each asked by its own address; every one must show the new price on its very next
request, whichever is asked first, although each of them has answered from the cache before.
"""

import re
from decimal import Decimal

import pytest

from shop.demo.forms import form_fields
from shop.demo.visitor import Visit, Visitor
from shop.models import Country, Order, Product

CHANGES = 200
PRICE = re.compile(r'data-price="([\d.]+)"')
ENTRY = "shop.product list:slug"


def shown_price(visit: Visit) -> Decimal:
    assert visit.status == 200
    return Decimal(PRICE.search(visit.body).group(1))


def hit(visit: Visit) -> bool:
    return visit.outcomes.get(ENTRY, {}).get("hit", 0) > 0


@pytest.fixture
def product(shop) -> Product:
    return Product.objects.uncached().filter(stock__gte=50, is_active=True).order_by("pk").first()


def test_every_server_shows_a_changed_price_on_its_very_next_request(servers, product):
    staff = Visitor(servers[0])
    staff.login("staff", "staff")
    form_path = f"/admin/shop/product/{product.pk}/change/"
    fields = form_fields(staff.get(form_path).body, "product_form")
    assert fields["price"] == str(product.price)
    visitors = [Visitor(address) for address in servers]
    page = product.get_absolute_url()
    stale, asked, last = [], 0, {}
    for number in range(CHANGES):
        # Before the change, every server has the product in hand, and answers from the cache.
        for visitor in visitors:
            if visitor not in last:
                last[visitor] = visitor.get(page)
            if not hit(last[visitor]):
                last[visitor] = visitor.get(page)
            assert hit(last[visitor]), last[visitor].outcomes
        price = Decimal(1000 + number * 7) / 100
        # Back to the form, not to the list, whose fifty forms would take most of the time.
        answer = staff.post(form_path, {**fields, "price": str(price), "_continue": "1"})
        assert answer.status == 200
        assert "was changed successfully" in answer.body
        first = number % len(visitors)
        for visitor in [*visitors[first:], *visitors[:first]]:
            asked += 1
            last[visitor] = visitor.get(page)
            shown = shown_price(last[visitor])
            if shown != price:
                stale.append((number, visitor.base, shown, price))
    print(f"{CHANGES} changes, {asked} next requests, {len(stale)} stale")
    assert stale == []


def test_an_order_is_billed_at_the_new_price_and_the_cart_is_one_on_all_servers(servers, product):
    staff = Visitor(servers[3])
    staff.login("staff", "staff")
    form_path = f"/admin/shop/product/{product.pk}/change/"
    fields = form_fields(staff.get(form_path).body, "product_form")

    first, second = (Visitor(address) for address in servers[:2])
    # One customer, two servers: the same cookies.
    second._cookies, second._open = first._cookies, first._open
    first.get("/cart/")
    first.get(product.get_absolute_url())
    for quantity in (1, 2, 3):
        (first, second)[quantity % 2].post(f"/cart/add/{product.slug}/", {"quantity": "1"})
        for visitor in (first, second):
            cart = visitor.get("/cart/")
            assert product.name in cart.body
            assert re.search(rf'name="quantity"[^>]*value="{quantity}"', cart.body), cart.body

    price = Decimal("123.45")
    staff.post(form_path, {**fields, "price": str(price)})
    assert "123.45" in second.get("/cart/").body
    delivery = {
        "email": "grace@example.com",
        "full_name": "Grace Hopper",
        "address": "1 Harbour Street",
        "postcode": "12345",
        "city": "Arlington",
        "country": str(Country.objects.get(code="GB").pk),
    }
    first.get("/checkout/")
    assert first.post("/checkout/", delivery).status == 200
    order = Order.objects.latest("pk")
    [item] = order.items.all()
    assert (item.unit_price, item.quantity) == (price, 3)
    assert order.subtotal == price * 3
    for visitor in (first, second):
        assert product.name not in visitor.get("/cart/").body
