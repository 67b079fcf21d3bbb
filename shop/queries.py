"""Every query that the pages make, so that what is cached is decided in one place."""

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Count, Max, Q, QuerySet

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
    TaxRate,
)

SORTS = {
    "popular": ("-review_count", "-rating", "pk"),
    "price": ("price", "pk"),
    "-price": ("-price", "-pk"),
    "new": ("-created_at", "-pk"),
    "rating": ("-rating", "-review_count", "pk"),
}


def categories() -> QuerySet[Category]:
    """The whole tree: 60 rows, cheaper to hold than to walk."""
    return Category.objects.all()


def products() -> QuerySet[Product]:
    return Product.objects.filter(is_active=True)


def featured(limit: int = 8) -> QuerySet[Product]:
    return products().filter(is_featured=True).order_by("-rating", "pk")[:limit]


def newest(limit: int = 4) -> QuerySet[Product]:
    """What everybody sees first: nobody waits for it only because its minute is over."""
    found: Any = products().order_by("-created_at", "-pk")
    lively: QuerySet[Product] = found.cached(tier="lively")[:limit]
    return lively


def reduced(limit: int = 4) -> QuerySet[Product]:
    return products().filter(compare_at_price__isnull=False).order_by("-rating", "pk")[:limit]


def in_categories(categories: list[Category]) -> QuerySet[Product]:
    """Products of one leaf, or of all leaves below a category."""
    if len(categories) == 1:
        return products().filter(category=categories[0])
    return products().filter(category__in=categories)


def brands(queryset: QuerySet[Product]) -> QuerySet[Product, Any]:
    """The brands among these products, and how many products each has."""
    return queryset.order_by("brand").values("brand").annotate(products=Count("pk"))


def price_ceiling(queryset: QuerySet[Product]) -> dict[str, object]:
    return queryset.aggregate(highest=Max("price"))


def product(slug: str) -> Product:
    """Raise `Product.DoesNotExist` for an unknown product as for a hidden one."""
    return products().get(slug=slug)


def reviews(product: Product, limit: int = 6) -> QuerySet[Review]:
    return Review.objects.filter(product=product)[:limit]


def ratings(product: Product) -> QuerySet[Review, Any]:
    """How many reviews gave one star, two stars, and so on."""
    return (
        Review.objects.filter(product=product)
        .order_by("rating")
        .values_list("rating")
        .annotate(reviews=Count("pk"))
    )


def related(product: Product, limit: int = 4) -> QuerySet[Product]:
    same = products().filter(category=product.category_id).exclude(pk=product.pk)
    return same.order_by("-rating", "pk")[:limit]


def recommendations(limit: int = 4) -> QuerySet[Product]:
    """A random choice, different on every visit: a cached one would be neither."""
    return products().order_by("?")[:limit]


def search(words: str) -> QuerySet[Product]:
    found = products()
    for word in words.split()[:6]:
        found = found.filter(
            Q(name__icontains=word) | Q(brand__icontains=word) | Q(sku__iexact=word)
        )
    return found


def flags() -> QuerySet[FeatureFlag]:
    return FeatureFlag.objects.filter(enabled=True)


def countries() -> QuerySet[Country]:
    return Country.objects.filter(ships=True)


def tax_rate(country_id: int) -> TaxRate:
    return TaxRate.objects.get(country=country_id)


def pricing_rules() -> QuerySet[PricingRule]:
    return PricingRule.objects.filter(is_active=True)


def cart_of_user(user: User) -> Cart:
    return Cart.objects.get(user=user)


def cart_of_token(token: UUID) -> Cart:
    return Cart.objects.get(token=token)


def cart_items(cart: Cart) -> QuerySet[CartItem]:
    """The lines with their products as they are now: a cart holds no price of its own.

    Prefetched, not joined: an entry that joins all products dies with every write to any of
    them; the lines of this cart and the rows in it die with their own.
    """
    return CartItem.objects.filter(cart=cart).prefetch_related("product")


def profile(user: User) -> Profile:
    return Profile.objects.get(user=user)


def orders(user: User, limit: int = 10) -> QuerySet[Order]:
    return Order.objects.filter(user=user)[:limit]


def order(number: str) -> Order:
    return Order.objects.select_related("country").get(number=number)


def order_items(order: Order) -> QuerySet[OrderItem]:
    """As the database says: people act on these amounts, and look at them about once."""
    items: Any = OrderItem.objects.filter(order=order).select_related("product")
    exact: QuerySet[OrderItem] = items.uncached()
    return exact
