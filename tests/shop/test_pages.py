"""Every page answers, for whom it should."""

import pytest

from shop.models import Product
from shop.pages import PAGES

pytestmark = pytest.mark.usefixtures("shop")

DJANGO_PAGES = [page for page in PAGES if not page.path.startswith("/static/")]


@pytest.mark.parametrize("page", DJANGO_PAGES, ids=lambda page: f"{page.visitor}:{page.path}")
def test_answers(page, client, ada, staff, product):
    visitor = {"anybody": client, "customer": ada, "staff": staff}[page.visitor]
    response = visitor.get(page.path.format(product=product.slug))
    assert response.status_code == 200


def test_has_no_inline_script_or_style_and_forbids_it(client):
    response = client.get("/")
    text = response.content.decode()
    assert "<script>" not in text
    assert "style=" not in text
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]


def test_unknown_products_categories_and_orders_are_not_found(client):
    for path in ("/product/nothing/", "/category/nothing/", "/order/ADA0000001/"):
        assert client.get(path).status_code == 404


def test_an_order_is_shown_to_nobody_else(staff):
    assert staff.get("/order/ADA0000001/").status_code == 404


def test_hidden_products_are_not_sold(client, product):
    Product.objects.filter(pk=product.pk).update(is_active=False)
    assert client.get(product.get_absolute_url()).status_code == 404
    assert client.post(f"/cart/add/{product.slug}/").status_code == 404


def test_a_listing_sorts_filters_and_pages(client):
    response = client.get("/category/living-room/?sort=-price&low=30&stock=on")
    goods = response.context["page"].object_list
    prices = [product.price for product in goods]
    assert prices == sorted(prices, reverse=True)
    assert min(prices) >= 30
    assert all(product.stock for product in goods)
    assert client.get("/search/?q=e&page=2").context["page"].number == 2


@pytest.mark.parametrize(
    "query", ["page=abc", "page=9999", "low=x&high=-3", "sort=evil", "brand=?"]
)
def test_odd_filters_are_ignored(client, query):
    assert client.get(f"/category/living-room/?{query}").status_code == 200


def test_search_finds_by_every_word(client, product):
    response = client.get("/search/", {"q": f"{product.brand} {product.name.split()[0]}"})
    assert product in response.context["page"].object_list
    assert client.get("/search/?q=zzzz").context["page"].paginator.count == 0


def test_pictures_are_the_same_each_time_and_kept_by_browsers(client):
    first, second = client.get("/picture/lamp/7.svg"), client.get("/picture/lamp/7.svg")
    assert first.content == second.content
    assert "immutable" in first.headers["Cache-Control"]
    assert first.content != client.get("/picture/lamp/8.svg").content


def test_metrics_are_readable(client):
    client.get("/")
    text = client.get("/metrics").content.decode()
    assert "django_http_requests_total_by_method_total" in text


def test_a_price_changed_in_the_admin_shows_on_the_next_page(client, staff, product):
    assert (
        f'data-price="{product.price}"' in client.get(product.get_absolute_url()).content.decode()
    )
    form = staff.get(f"/admin/shop/product/{product.pk}/change/").context["adminform"].form
    data = {name: "" if form[name].value() is None else form[name].value() for name in form.fields}
    data = {name: value for name, value in data.items() if value is not False}
    response = staff.post(f"/admin/shop/product/{product.pk}/change/", {**data, "price": "1.23"})
    assert response.status_code == 302
    assert 'data-price="1.23"' in client.get(product.get_absolute_url()).content.decode()
