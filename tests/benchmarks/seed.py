"""The rows, the same in every run."""

from __future__ import annotations

import datetime
import random
from decimal import Decimal

from django.db import connection

from tests.benchmarks.catalog.models import Brand, Category, Product

CATEGORIES, BRANDS, PRODUCTS = 200, 50, 20_000


def fill() -> int:
    """Make the tables and their rows; returns the number of products."""
    with connection.schema_editor() as editor:
        for model in (Category, Brand, Product):
            editor.create_model(model)
    Category.objects.bulk_create(
        Category(name=f"Category {n}", slug=f"category-{n}") for n in range(1, CATEGORIES + 1)
    )
    Brand.objects.bulk_create(Brand(name=f"Brand {n}", country="NO") for n in range(1, BRANDS + 1))
    draw = random.Random(1)
    Product.objects.bulk_create(
        (_product(n, draw) for n in range(1, PRODUCTS + 1)), batch_size=1000
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return PRODUCTS


def _product(n: int, draw: random.Random) -> Product:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(minutes=n)
    return Product(
        category_id=n % CATEGORIES + 1,
        brand_id=n % BRANDS + 1,
        name=f"Product number {n} in a colour",
        slug=f"product-{n}",
        sku=f"SKU{n:06}",
        description="A sentence that says what a product is good for. " * 4,
        price=Decimal(draw.randrange(100, 100_000)) / 100,
        currency="EUR",
        stock=draw.randrange(1000),
        weight=Decimal(draw.randrange(1, 50_000)) / 1000 if n % 5 else None,
        rating=draw.random() * 5,
        view_count=draw.randrange(1_000_000),
        is_active=n % 20 != 0,
        released=moment.date(),
        created_at=moment,
        updated_at=moment,
    )
