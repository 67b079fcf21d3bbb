"""How fresh each of the shop's models must be, and what is not cached on purpose.

Whatever the tier, a write invalidates what it touched at once; the TTL is the safety net
below, and gives memory back.
"""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from cachepatterns import Change, ModelPolicy, WriteBehind, register, tag
from shop import queries, switches
from shop.models import (
    Cart,
    CartItem,
    Category,
    Country,
    FeatureFlag,
    Order,
    OrderItem,
    PricingRule,
    Product,
    Profile,
    Review,
    SearchEvent,
    TaxRate,
)
from shop.switches import is_on

SITEMAP = tag("sitemap")
"""Under which the page stands that tells search engines all addresses."""


@register(Category)
class CategoryPolicy(ModelPolicy):
    """On every page, changed by staff a few times a year."""

    tier = "static"

    def affects(self, change: Change) -> Iterable[str]:
        if change.changed("slug"):
            yield SITEMAP

    def warm(self) -> Iterable[QuerySet[Any]]:
        yield queries.categories()


@register(Country, TaxRate)
class ReferencePolicy(ModelPolicy):
    """Looked up, hardly ever changed: each process may answer from its own memory."""

    tier = "local"
    accepts_staleness = 1.0

    def warm(self) -> Iterable[QuerySet[Any]]:
        yield queries.countries()


@register(FeatureFlag)
class FlagPolicy(ModelPolicy):
    """A small table that decides what pages show: after a change no visitor waits for it."""

    tier = "semi_static"
    write_through = is_on("write-through")

    def write_through_lists(self) -> Iterable[QuerySet[Any]]:
        yield queries.flags()

    def warm(self) -> Iterable[QuerySet[Any]]:
        yield queries.flags()


@register(PricingRule)
class RulePolicy(ModelPolicy):
    """A small table that decides what a cart costs."""

    tier = "semi_static"
    write_through = is_on("write-through")

    def write_through_lists(self) -> Iterable[QuerySet[Any]]:
        yield queries.pricing_rules()

    def warm(self) -> Iterable[QuerySet[Any]]:
        yield queries.pricing_rules()


@register(Product)
class ProductPolicy(ModelPolicy):
    """The price is here: a page must show the new one on its very next request.

    How often it was looked at is counted in Redis and written now and then, which is no reason to
    read the rest of it again.
    """

    tier = "catalog"
    counters = {"view_count": WriteBehind(every="10s")}
    ignores = ["view_count"]

    def affects(self, change: Change) -> Iterable[str]:
        """A new price does not concern the sitemap."""
        if change.changed("slug", "is_active"):
            yield SITEMAP

    def warm(self) -> Iterable[QuerySet[Any]]:
        if not switches.is_on("warming"):
            return
        yield queries.featured()
        yield queries.newest()
        yield queries.reduced()
        for category in queries.categories():
            yield queries.in_categories([category]).order_by(*queries.SORTS["popular"])[:24]


@register(SearchEvent)
class SearchPolicy(ModelPolicy):
    """Written at every search, read by nobody's page."""

    tier = "never"
    events = WriteBehind(every="10s", events=True)


@register(Review)
class ReviewPolicy(ModelPolicy):
    """Written all day; a page may be asked for often within a minute."""

    tier = "lively"


@register(Cart, CartItem, Profile)
class OwnPolicy(ModelPolicy):
    """One customer's: worth keeping as long as the visit lasts, and exact like all else."""

    tier = "session"


@register(Order)
class OrderPolicy(ModelPolicy):
    """Never cached: written once, looked at about once, and people act on its amounts."""

    tier = "never"


@register(OrderItem)
class OrderItemPolicy(ModelPolicy):
    """Written with its order and hardly ever again: what it comes to in all may be kept
    (`shop.computed.order_total`), which each visit of a profile asks for all orders there."""

    tier = "semi_static"


if switches.has_wrong_policies():
    from shop import wrong  # noqa: F401 - registers what the advisor is to find
