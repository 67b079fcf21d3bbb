"""What somebody is about to buy."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from cachepatterns import CachedManager
from shop.models.catalog import Product

MAX_QUANTITY = 20


class Cart(models.Model):
    """A customer's cart; before the login it belongs to a token in the session."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True
    )
    token = models.UUIDField(unique=True, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        constraints = (
            models.CheckConstraint(
                name="cart_has_one_owner",
                condition=models.Q(user__isnull=True) ^ models.Q(token__isnull=True),
            ),
        )

    def __str__(self) -> str:
        return f"Cart {self.pk}"


class CartItem(models.Model):
    """So many of one product. It holds no price: a cart shows what the product costs now."""

    cart = models.ForeignKey(Cart, on_delete=models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="+")
    quantity = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(MAX_QUANTITY)]
    )
    added_at = models.DateTimeField(auto_now_add=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("added_at", "pk")
        constraints = (
            models.UniqueConstraint(fields=["cart", "product"], name="one_line_per_product"),
        )

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product_id}"
