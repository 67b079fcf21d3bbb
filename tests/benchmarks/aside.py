"""Cache-aside by hand, as tutorials show it: ``cache.get``, and ``cache.set`` after a miss.

It has no invalidation at all, and is here for its speed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.cache import cache

from tests.benchmarks.catalog.models import Product
from tests.benchmarks.questions import Questions

TTL = 3600


def aside(name: str) -> Callable[[Questions, int], Any]:
    ask = getattr(Questions, name)

    def method(self: Questions, n: int) -> Any:
        key = f"{name}:{n}"
        answer = cache.get(key)
        if answer is None:
            answer = ask(self, n)
            cache.set(key, answer, TTL)
        return answer

    return method


class CacheAside(Questions):
    get_pk = aside("get_pk")
    get_slug = aside("get_slug")
    get_brand = aside("get_brand")
    page = aside("page")
    joined = aside("joined")
    count = aside("count")
    aggregate = aside("aggregate")
    exists = aside("exists")
    values = aside("values")

    def bulk(self, n: int) -> Any:
        keys = {f"get_pk:{pk}": pk for pk in range(n, n + 50)}
        found = cache.get_many(keys)
        missing = [pk for key, pk in keys.items() if key not in found]
        if missing:
            loaded = {f"get_pk:{pk}": row for pk, row in Product.objects.in_bulk(missing).items()}
            cache.set_many(loaded, TTL)
            found |= loaded
        return {keys[key]: row for key, row in found.items()}
