"""Factories for the seed and the tests; every value follows from the sequence number alone."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import factory
from django.contrib.auth.models import User
from django.utils.text import slugify

from shop import words
from shop.models import Category, Country, Product, Review, TaxRate

# Not "now": the seed must give the same shop on every day.
FIRST_DAY = datetime(2026, 1, 1, 8, tzinfo=UTC)


def dice(kind: str, number: int) -> random.Random:
    """Random numbers that belong to one object, so that no other object shifts them."""
    return random.Random(f"{kind}/{number}")


class CategoryFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Category

    name = factory.Sequence(lambda n: f"Category {n}")
    slug = factory.LazyAttribute(lambda o: slugify(o.name))
    picture = factory.Sequence(lambda n: f"vase-{n}")


class ProductFactory(factory.django.DjangoModelFactory):
    """A product of `category`; `noun` is what it is, a name and a number make it unique."""

    class Meta:
        model = Product

    class Params:
        number = factory.Sequence(lambda n: n)
        noun = "Vase"
        worth = 1.0
        dice = factory.LazyAttribute(lambda o: dice("product", o.number))

    style = factory.LazyAttribute(lambda o: o.dice.choice(words.STYLES))
    name = factory.LazyAttribute(
        lambda o: (
            f"{o.style} {o.noun} {o.dice.choice(('', '', 'II', 'Mini', 'XL', 'No. 4'))}".strip()
        )
    )
    sku = factory.LazyAttribute(lambda o: f"LF-{o.number:05d}")
    slug = factory.LazyAttribute(lambda o: f"{slugify(o.name)}-{o.number}")
    category = factory.SubFactory(CategoryFactory)
    brand = factory.LazyAttribute(lambda o: o.dice.choice(words.BRANDS))
    price = factory.LazyAttribute(
        lambda o: Decimal(int(o.dice.lognormvariate(3.6, 0.55) * o.worth) + 5) - Decimal("0.05")
    )
    compare_at_price = factory.LazyAttribute(
        lambda o: (
            o.price + o.price * o.dice.randint(8, 45) // 100 + 1
            if o.dice.random() < 0.12
            else None
        )
    )
    stock = factory.LazyAttribute(
        lambda o: 0 if o.dice.random() < 0.06 else o.dice.randint(1, 180)
    )
    weight_grams = factory.LazyAttribute(lambda o: o.dice.randint(1, 160) * 50)
    description = factory.LazyAttribute(
        lambda o: (
            f"Made of {o.dice.choice(words.MATERIALS)} with details in "
            f"{o.dice.choice(words.MATERIALS)}, the {o.style} {o.noun.lower()} is drawn for "
            "everyday use: simple lines, parts that can be replaced, and a surface that ages "
            f"well. Designed in-house and made in small runs by {o.brand}."
        )
    )
    picture = factory.LazyAttribute(lambda o: f"vase-{o.number}")

    @classmethod
    def _adjust_kwargs(cls, **kwargs):
        kwargs.pop("style", None)
        return kwargs


class ReviewFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Review

    class Params:
        number = factory.Sequence(lambda n: n)
        dice = factory.LazyAttribute(lambda o: dice("review", o.number))

    product = factory.SubFactory(ProductFactory)
    author = factory.LazyAttribute(
        lambda o: f"{o.dice.choice(words.STYLES)} {o.dice.choice('ABCDEFGHJKLMNPRSTW')}."
    )
    rating = factory.LazyAttribute(
        lambda o: o.dice.choices((5, 4, 3, 2, 1), (52, 28, 11, 6, 3))[0]
    )
    title = factory.LazyAttribute(lambda o: o.dice.choice(words.REVIEWS[o.rating])[0])
    body = factory.LazyAttribute(
        lambda o: next(body for title, body in words.REVIEWS[o.rating] if title == o.title)
    )
    created_at = factory.LazyAttribute(
        lambda o: FIRST_DAY + timedelta(minutes=o.dice.randint(0, 400_000))
    )


class CountryFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Country

    code = factory.Sequence(lambda n: f"{chr(65 + n // 26 % 26)}{chr(65 + n % 26)}")
    name = factory.LazyAttribute(lambda o: f"Country {o.code}")


class TaxRateFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = TaxRate

    country = factory.SubFactory(CountryFactory)
    percent = Decimal(19)


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"customer{n}")
    email = factory.LazyAttribute(lambda o: f"{o.username}@example.com")
