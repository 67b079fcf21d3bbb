"""The floor: one command to Redis, one typed decode, the instances; nothing is checked.

Less than this no cache can do that keeps rows in Redis and hands out model instances made by
Django's own `from_db`. It has neither keys to work out, nor stamps, nor statistics. What it writes
it deletes after the commit, by the keys that a careful hand would know of: too late for a reader
that has loaded the old value already.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.core.cache import cache
from django.db import transaction

from tests.benchmarks.catalog.models import Brand, Category, Product
from tests.benchmarks.questions import Questions

ProductRow = tuple[
    int,
    int,
    int,
    str,
    str,
    str,
    str,
    Decimal,
    str,
    int,
    Decimal | None,
    float,
    int,
    bool,
    datetime.date,
    datetime.datetime,
    datetime.datetime,
]
CategoryRow = tuple[int, str, str]
BrandRow = tuple[int, str, str]

encode = msgspec.msgpack.encode
decode_product = msgspec.msgpack.Decoder(ProductRow).decode
decode_products = msgspec.msgpack.Decoder(list[ProductRow]).decode
decode_joined = msgspec.msgpack.Decoder(list[tuple[ProductRow, CategoryRow, BrandRow]]).decode
decode_brand = msgspec.msgpack.Decoder(BrandRow).decode
decode_int = msgspec.msgpack.Decoder(int).decode
decode_bool = msgspec.msgpack.Decoder(bool).decode
decode_aggregate = msgspec.msgpack.Decoder(
    tuple[Decimal | None, Decimal | None, float | None]
).decode
decode_values = msgspec.msgpack.Decoder(list[tuple[int, str, Decimal]]).decode


def names_of(model: Any) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


PRODUCT, CATEGORY, BRAND = names_of(Product), names_of(Category), names_of(Brand)
link_category = Product._meta.get_field("category").set_cached_value
link_brand = Product._meta.get_field("brand").set_cached_value


def row_of(obj: Any) -> tuple[Any, ...]:
    return tuple(getattr(obj, name) for name in names_of(type(obj)))


class Floor(Questions):
    def __init__(self) -> None:
        super().__init__()
        self.redis = cache.client.get_client(write=True)

    def _fill(self, key: str, value: Any) -> None:
        self.redis.set(key, encode(value), ex=3600)

    def get_pk(self, n: int) -> Any:
        raw = self.redis.get(f"pk:{n}")
        if raw is None:
            product = super().get_pk(n)
            self._fill(f"pk:{n}", row_of(product))
            return product
        return Product.from_db("default", PRODUCT, decode_product(raw))

    def get_slug(self, n: int) -> Any:
        raw = self.redis.get(f"slug:{n}")
        if raw is None:
            product = super().get_slug(n)
            self._fill(f"slug:{n}", row_of(product))
            return product
        return Product.from_db("default", PRODUCT, decode_product(raw))

    def get_brand(self, n: int) -> Any:
        raw = self.redis.get(f"brand:{n}")
        if raw is None:
            brand = super().get_brand(n)
            self._fill(f"brand:{n}", row_of(brand))
            return brand
        return Brand.from_db("default", BRAND, decode_brand(raw))

    def page(self, n: int) -> Any:
        raw = self.redis.get(f"page:{n % 200 + 1}")
        if raw is None:
            products = super().page(n)
            self._fill(f"page:{n % 200 + 1}", [row_of(product) for product in products])
            return products
        from_db = Product.from_db
        return [from_db("default", PRODUCT, row) for row in decode_products(raw)]

    def joined(self, n: int) -> Any:
        raw = self.redis.get(f"joined:{n}")
        if raw is None:
            products = super().joined(n)
            rows = [(row_of(p), row_of(p.category), row_of(p.brand)) for p in products]
            self._fill(f"joined:{n}", rows)
            return products
        found = []
        for row, category, brand in decode_joined(raw):
            product = Product.from_db("default", PRODUCT, row)
            # As Django's own select_related links them: a descriptor has more to look after.
            link_category(product, Category.from_db("default", CATEGORY, category))
            link_brand(product, Brand.from_db("default", BRAND, brand))
            found.append(product)
        return found

    def count(self, n: int) -> Any:
        raw = self.redis.get(f"count:{n}")
        if raw is None:
            answer = super().count(n)
            self._fill(f"count:{n}", answer)
            return answer
        return decode_int(raw)

    def exists(self, n: int) -> Any:
        raw = self.redis.get(f"exists:{n}")
        if raw is None:
            answer = super().exists(n)
            self._fill(f"exists:{n}", answer)
            return answer
        return decode_bool(raw)

    def aggregate(self, n: int) -> Any:
        raw = self.redis.get(f"aggregate:{n}")
        if raw is None:
            answer = super().aggregate(n)
            self._fill(f"aggregate:{n}", tuple(answer.values()))
            return answer
        least, most, mean = decode_aggregate(raw)
        return {"price__min": least, "price__max": most, "rating__avg": mean}

    def values(self, n: int) -> Any:
        raw = self.redis.get(f"values:{n}")
        if raw is None:
            answer = super().values(n)
            self._fill(f"values:{n}", answer)
            return answer
        return decode_values(raw)

    def bulk(self, n: int) -> Any:
        pks = range(n, n + 50)
        found = {}
        for pk, raw in zip(pks, self.redis.mget([f"pk:{pk}" for pk in pks]), strict=True):
            if raw is None:
                found[pk] = self.get_pk(pk)
            else:
                found[pk] = Product.from_db("default", PRODUCT, decode_product(raw))
        return found

    # -- writes -------------------------------------------------------------------------------

    def put(self, product: Product) -> None:
        product.save()
        self._delete(f"pk:{product.pk}", f"slug:{product.slug}", f"page:{product.category_id}")

    def update(self, n: int) -> Any:
        super().update(n)
        self._delete(f"pk:{n}")

    def _delete(self, *keys: str) -> None:
        transaction.on_commit(lambda: self.redis.delete(*keys))
