"""A tiny shop, made by the same seed as the demo's."""

import pytest
from django.test import Client

from shop.models import Product
from shop.seed import seed


@pytest.fixture
def shop(db, empty_cache) -> None:
    seed(products=200, reviews=300, progress=lambda done, total: None)


@pytest.fixture
def product(shop) -> Product:
    """A product with enough in stock to buy from."""
    return Product.objects.filter(stock__gte=20).order_by("pk").first()


@pytest.fixture
def ada(shop) -> Client:
    client = Client()
    assert client.login(username="ada", password="customer")
    return client


@pytest.fixture
def staff(shop) -> Client:
    client = Client()
    assert client.login(username="staff", password="staff")
    return client
