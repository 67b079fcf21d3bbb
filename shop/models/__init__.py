"""The shop's tables."""

from shop.models.analytics import SearchEvent
from shop.models.carts import Cart, CartItem
from shop.models.catalog import Category, Product, Review
from shop.models.customers import Profile
from shop.models.orders import Order, OrderItem
from shop.models.reference import Country, FeatureFlag, PricingRule, TaxRate

__all__ = [
    "Cart",
    "CartItem",
    "Category",
    "Country",
    "FeatureFlag",
    "Order",
    "OrderItem",
    "PricingRule",
    "Product",
    "Profile",
    "Review",
    "SearchEvent",
    "TaxRate",
]
