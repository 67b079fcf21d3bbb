"""Fill an empty shop, always with the same goods."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import islice

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import models, transaction
from django.utils.text import slugify

from shop import words
from shop.factories import (
    FIRST_DAY,
    CategoryFactory,
    CountryFactory,
    ProductFactory,
    ReviewFactory,
    TaxRateFactory,
    UserFactory,
    dice,
)
from shop.models import (
    Cart,
    CartItem,
    Category,
    FeatureFlag,
    Order,
    OrderItem,
    PricingRule,
    Product,
    Profile,
    Review,
)

BATCH = 500
FEATURED_EVERY = 433
# How much dearer than a vase the things of a room are.
WORTH = {
    "chair": 8.0,
    "lamp": 2.4,
    "speaker": 6.0,
    "tent": 3.0,
    "pillow": 1.6,
    "table": 4.0,
    "shelf": 5.0,
    "rug": 4.0,
}
CUSTOMERS = 40

Progress = Callable[[int, int], None]


def is_seeded() -> bool:
    """Whether the whole seed is there: it is written in one transaction, so this row says all."""
    return User.objects.filter(username="staff").exists()


@transaction.atomic
def seed(*, products: int = 5200, reviews: int = 9000, progress: Progress) -> None:
    """Write everything, or nothing if interrupted. `progress(done, total)` counts rows."""
    total = products + reviews + 400
    done = 0

    def step(rows: int) -> None:
        nonlocal done
        done = min(done + rows, total)
        progress(done, total)

    _reference()
    leaves = _categories()
    step(200)
    goods = _save(Product, _products(leaves, products), step)
    _reviews(goods, reviews, step)
    _people(goods)
    progress(total, total)


def _save(model: type[models.Model], rows: Iterable, step: Callable[[int], None]) -> list:
    saved = []
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        saved += model._default_manager.bulk_create(batch)
        step(len(batch))
    return saved


def _reference() -> None:
    for number, (code, name) in enumerate(words.COUNTRIES.items()):
        country = CountryFactory(code=code, name=name)
        TaxRateFactory(country=country, percent=Decimal(dice("tax", number).randint(15, 25)))
    FeatureFlag.objects.bulk_create(
        [
            FeatureFlag(name="free-shipping-banner", enabled=True, note="Line above the header"),
            FeatureFlag(name="show-ratings", enabled=True, note="Stars on product cards"),
            FeatureFlag(name="show-recommendations", enabled=True, note="You may also like"),
            FeatureFlag(name="gift-wrapping", enabled=False, note="Not ready"),
        ]
    )


def _categories() -> list[tuple[Category, str, tuple[str, ...]]]:
    """Make the tree: 10 top categories with 5 leaves each, 60 in all."""
    leaves = []
    for position, (name, (kind, text, below)) in enumerate(words.CATEGORIES.items()):
        root = CategoryFactory(
            name=name, description=text, picture=f"{kind}-{position}", position=position
        )
        for place, (leaf, nouns) in enumerate(below.items()):
            look = words.PICTURES.get(leaf, kind)
            category = CategoryFactory(
                name=leaf,
                slug=slugify(leaf),
                parent=root,
                picture=f"{look}-{900 + place}",
                position=place,
            )
            leaves.append((category, look, nouns))
        if root.position == 0:
            rule = PricingRule(category=root, name="10 % off two or more for the living room")
            rule.minimum_quantity, rule.percent_off = 2, Decimal(10)
            rule.save()
    PricingRule.objects.create(
        name="5 % off twelve or more of anything", minimum_quantity=12, percent_off=Decimal(5)
    )
    return leaves


def _products(leaves: list, count: int) -> Iterator[Product]:
    for number in range(count):
        category, kind, nouns = leaves[number % len(leaves)]
        product = ProductFactory.build(
            number=number,
            category=category,
            noun=nouns[number // len(leaves) % len(nouns)],
            picture=f"{kind}-{number}",
            worth=WORTH.get(kind, 1.0),
        )
        # Nothing sold out on the home page, and one room beside another.
        product.is_featured = number % FEATURED_EVERY == 7 and product.stock > 0
        yield product


def _reviews(products: list[Product], count: int, step: Callable[[int], None]) -> None:
    rng = dice("reviews", 0)
    # A few products get most of the attention, as in any shop.
    weights = [1 / (1 + rng.randint(0, 60)) for _ in products]
    chosen = rng.choices(products, weights, k=count)
    reviews = [ReviewFactory.build(number=n, product=each) for n, each in enumerate(chosen)]
    given: dict[int, list[int]] = defaultdict(list)
    for review in _save(Review, reviews, step):
        given[review.product_id].append(review.rating)
    rated = []
    for number, product in enumerate(products):
        product.created_at = FIRST_DAY + timedelta(minutes=number)
        if stars := given[product.pk]:
            product.review_count = len(stars)
            product.rating = round(Decimal(sum(stars)) / len(stars), 2)
        rated.append(product)
    fields = ["created_at", "review_count", "rating"]
    Product.objects.bulk_update(rated, fields, batch_size=1000)


def _people(products: list[Product]) -> None:
    """Staff, and customers of whom the first, `ada`, has a cart and an order to look at."""
    UserFactory(
        username="staff",
        email="staff@example.com",
        password=make_password("staff"),
        is_staff=True,
        is_superuser=True,
    )
    password = make_password("customer")
    ada = UserFactory(username="ada", first_name="Ada", last_name="Byron", password=password)
    names = (f"customer{n}" for n in range(1, CUSTOMERS))
    User.objects.bulk_create(UserFactory.build(username=n, password=password) for n in names)
    country = CountryFactory._meta.model.objects.get(code="GB")
    home = {"address": "12 Analytical Row", "postcode": "W1 4AB", "city": "London"}
    Profile.objects.create(user=ada, country=country, phone="+44 20 7946 0018", **home)
    cart = Cart.objects.create(user=ada)
    in_stock = [product for product in products[:60] if product.stock > 3]
    CartItem.objects.bulk_create(
        CartItem(cart=cart, product=product, quantity=n)
        for n, product in enumerate(in_stock[1:4], start=1)
    )
    bought = in_stock[5:7]
    subtotal = sum((product.price for product in bought), Decimal(0))
    tax = round(subtotal * Decimal("0.2"), 2)
    amounts = {"subtotal": subtotal, "tax": tax, "total": subtotal + tax}
    order = Order.objects.create(
        number="ADA0000001", user=ada, email=ada.email, full_name="Ada Byron",
        country=country, **home, **amounts,
    )  # fmt: skip
    OrderItem.objects.bulk_create(
        OrderItem(
            order=order, product=product, name=product.name, unit_price=product.price, quantity=1
        )
        for product in bought
    )
