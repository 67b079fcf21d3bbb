"""Read by cachepatterns alone: the policies it is measured with are its defaults."""

from cachepatterns import ModelPolicy, register
from tests.benchmarks.catalog.models import Brand, Category, Product


@register(Category, Brand, Product)
class CatalogPolicy(ModelPolicy):
    tier = "static"
