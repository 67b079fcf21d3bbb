"""What the shop computes, asks of others and renders once is never yesterday's."""

import json
import re
from decimal import Decimal

import pytest
from django.utils import timezone

from cachepatterns.testing import testcase_commits
from shop import rates
from shop.models import OrderItem, Product


@pytest.fixture(autouse=True)
def _cached(shop):
    with testcase_commits():
        yield


def prices(client, product):
    body = client.get(f"/category/{product.category.slug}/").content.decode()
    return [Decimal(found) for found in re.findall(r'data-(?:low|high)="([\d.]+)"', body)]


def test_a_category_tells_from_what_to_what_its_products_cost(client, product):
    product.price = Decimal("9000.00")
    product.save()
    low, high = prices(client, product)
    assert 0 < low < high == 9000
    Product.objects.filter(pk=product.pk).update(price=Decimal("0.50"))
    low, high = prices(client, product)
    assert (low, high < 9000) == (Decimal("0.50"), True)
    Product.objects.filter(category=product.category).update(is_active=False)
    assert prices(client, product) == []


def test_prices_are_told_in_dollars_while_the_service_answers(client, product, tmp_path):
    rates.exchange_rate.invalidate("USD")
    behaviour = tmp_path / "rates.json"
    behaviour.write_text(json.dumps({"USD": "2.00"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates, "home", lambda: tmp_path)
        pages = [client.get(product.get_absolute_url()).content.decode() for _ in range(3)]
        assert all(f"about ${product.price * 2:.2f}" in page for page in pages)
        assert len((tmp_path / "rates.calls").read_text().split()) == 1
        rates.exchange_rate.invalidate("USD")
        behaviour.write_text(json.dumps({"retry_after": 0.2}))
        pages = [client.get(product.get_absolute_url()).content.decode() for _ in range(3)]
        assert not any("about $" in page for page in pages)


def test_a_customer_s_profile_tells_how_much_each_order_is(ada):
    first = OrderItem.objects.filter(order__user__username="ada").first()
    before = sum(item.quantity for item in OrderItem.objects.filter(order=first.order))

    def visit():
        page = ada.get("/profile/")
        told = json.loads(page.headers["X-Cache-Outcomes"])["computed order:total:{pk}"]
        return page.content.decode(), told

    _, told = visit()
    body, again = visit()
    assert f"· {before} piece" in body
    assert (told, again) == ({"miss": sum(told.values())}, {"hit": sum(told.values())})
    OrderItem.objects.filter(pk=first.pk).update(quantity=first.quantity + 70)
    body, again = visit()
    assert f"· {before + 70} pieces" in body
    assert again["miss"] == 1


def test_a_product_s_reviews_are_those_of_now(client, product):
    from shop.models import Review

    path = product.get_absolute_url()
    client.get(path)
    again = client.get(path)
    assert json.loads(again.headers["X-Cache-Outcomes"])["fragment reviews"] == {"hit": 1}
    review = Review.objects.create(
        product=product,
        rating=5,
        title="Just written",
        body="b",
        author="c",
        created_at=timezone.now(),
    )
    assert "Just written" in client.get(path).content.decode()
    review.delete()
    assert "Just written" not in client.get(path).content.decode()


def test_the_sitemap_names_what_is_for_sale_now(client, product):
    page = client.get("/sitemap.xml")
    assert page.headers["Content-Type"] == "application/xml"
    assert f"http://testserver{product.get_absolute_url()}<" in page.content.decode()
    etag = page.headers["ETag"]
    assert client.get("/sitemap.xml", headers={"if-none-match": etag}).status_code == 304
    Product.objects.filter(pk=product.pk).update(is_active=False)
    page = client.get("/sitemap.xml", headers={"if-none-match": etag})
    assert (page.status_code, product.slug in page.content.decode()) == (200, False)
    etag = page.headers["ETag"]
    other = Product.objects.filter(is_active=True).first()
    other.price += 1
    other.save()
    page = client.get("/sitemap.xml", headers={"if-none-match": etag})
    assert page.status_code == 304  # as the rules say
