"""Read by cachepatterns alone: the policies it is measured with are its defaults, but that brands
may be answered from memory, for the case that measures it."""

from cachepatterns import ModelPolicy, register
from tests.benchmarks.catalog.models import Brand, Category, Product


@register(Category, Product)
class CatalogPolicy(ModelPolicy):
    tier = "static"


@register(Brand)
class BrandPolicy(ModelPolicy):
    tier = "static"
    accepts_staleness = 1.0
