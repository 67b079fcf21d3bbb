"""The seed gives the same shop everywhere."""

import pytest
from django.db import transaction

from shop.models import Category, Country, Order, Product, Review
from shop.seed import is_seeded, seed


def fill() -> None:
    seed(products=200, reviews=300, progress=lambda done, total: None)


def goods() -> list[tuple]:
    products = Product.objects.order_by("sku")
    reviews = Review.objects.order_by("product__sku", "created_at", "author", "title")
    return [
        *products.values_list("sku", "slug", "price", "stock", "rating", "category__slug"),
        *reviews.values_list("product__sku", "rating", "title", "created_at"),
        *Order.objects.values_list("number", "total"),
    ]


@pytest.mark.django_db
def test_twice_the_same():
    with transaction.atomic():
        fill()
        first = goods()
        transaction.set_rollback(True)
    assert not is_seeded()
    fill()
    assert goods() == first


@pytest.mark.django_db
def test_a_tree_of_sixty_categories_and_sixty_countries_or_more():
    fill()
    assert Category.objects.count() == 60
    assert Category.objects.filter(parent=None).count() == 10
    assert Country.objects.count() >= 60
    assert Product.objects.filter(is_featured=True, stock=0).count() == 0


@pytest.mark.django_db
def test_an_interrupted_seed_leaves_nothing():
    def interrupted(done: int, total: int) -> None:
        if done > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seed(products=200, reviews=300, progress=interrupted)
    assert not is_seeded()
    assert Product.objects.count() == 0
