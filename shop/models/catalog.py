"""What is for sale."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse

from cachepatterns import CachedManager


class Category(models.Model):
    """A node of the category tree; products hang on its leaves."""

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=100, unique=True)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, related_name="children", null=True, blank=True
    )
    description = models.CharField(max_length=200, blank=True)
    picture = models.CharField(max_length=32, blank=True, help_text="Kind and number: lamp-12")
    position = models.PositiveSmallIntegerField(default=0)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name_plural = "categories"
        ordering = ("position", "name")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("shop:category", args=[self.slug])


class Product(models.Model):
    """One article."""

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=140, unique=True)
    sku = models.CharField("SKU", max_length=20, unique=True)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    brand = models.CharField(max_length=60, db_index=True)
    description = models.TextField(blank=True)
    price = models.DecimalField(
        max_digits=10, decimal_places=2, validators=[MinValueValidator(0)], db_index=True
    )
    compare_at_price = models.DecimalField(
        max_digits=10, decimal_places=2, null=True, blank=True, help_text="Before a reduction"
    )
    stock = models.PositiveIntegerField(default=0)
    rating = models.DecimalField(max_digits=3, decimal_places=2, default=0)
    review_count = models.PositiveIntegerField(default=0)
    weight_grams = models.PositiveIntegerField(default=0)
    picture = models.CharField(max_length=32, blank=True, help_text="Kind and number: lamp-12")
    is_active = models.BooleanField(default=True)
    is_featured = models.BooleanField(default=False)
    view_count = models.PositiveBigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("name", "pk")
        indexes = (
            models.Index(fields=["category", "is_active", "price"]),
            models.Index(fields=["is_active", "is_featured"]),
            models.Index(fields=["is_active", "-created_at"]),
        )

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("shop:product", args=[self.slug])

    @property
    def is_reduced(self) -> bool:
        return self.compare_at_price is not None and self.compare_at_price > self.price

    @property
    def percent_off(self) -> int:
        """How much cheaper than before, in whole percent; 0 if it is not."""
        before = self.compare_at_price
        return int((before - self.price) * 100 / before) if self.is_reduced and before else 0


class Review(models.Model):
    """What a customer thinks of a product."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="reviews")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True
    )
    author = models.CharField(max_length=80)
    rating = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(5)]
    )
    title = models.CharField(max_length=120)
    body = models.TextField()
    created_at = models.DateTimeField()

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("-created_at", "-pk")
        indexes = (models.Index(fields=["product", "-created_at"]),)

    def __str__(self) -> str:
        return f"{self.rating}★ {self.title}"
