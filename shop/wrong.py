"""Two policies that are wrong on purpose, for the advisor to find: ``SHOP_WRONG_POLICIES=1``, or
``manage.py demo --wrong-policies``.

Never give them to one of several servers only: what a writer tells apart, its readers must.
"""

from cachepatterns.registry import register, site
from shop.caching import OrderPolicy, ProductPolicy
from shop.models import Order, Product

site.unregister(Order)
site.unregister(Product)


@register(Order)
class WrongOrderPolicy(OrderPolicy):
    """Wrong: an order is written once and looked at about once, so nothing is ever found."""

    tier = "semi_static"


@register(Product)
class WrongProductPolicy(ProductPolicy):
    """Wrong: no two lists are told apart, so one new price outdates every page."""

    narrow_by_only = []
