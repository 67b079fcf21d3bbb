import pytest

from tests.app.models import Category, Item


@pytest.fixture
def items(transactional_db, empty_cache, silent_recorder):
    category = Category.objects.create(name="Chairs", slug="chairs")
    return [Item.objects.create(name=n, sku=n, category=category, price=1) for n in "abc"]
