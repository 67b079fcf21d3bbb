"""Models for the tests: small, but with every kind of relation and of field."""

import uuid

from django.db import models

from cachepatterns import CachedManager
from tests.app import counted, relations  # noqa: F401 - an app's models are found from here


class Category(models.Model):
    name = models.CharField(max_length=50)
    slug = models.SlugField(unique=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"


class Label(models.Model):
    name = models.CharField(max_length=50, unique=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"


class ItemQuerySet(models.QuerySet):
    def cheap(self):
        return self.filter(price__lt=10)


class Item(models.Model):
    name = models.CharField(max_length=50)
    sku = models.CharField(max_length=20, unique=True)
    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="items")
    second = models.ForeignKey(
        Category, null=True, on_delete=models.SET_NULL, related_name="second_items"
    )
    labels = models.ManyToManyField(Label, related_name="items")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.IntegerField(default=0)
    rating = models.FloatField(null=True)
    active = models.BooleanField(default=True)
    made = models.DateTimeField(null=True)
    data = models.JSONField(null=True)

    objects = CachedManager.from_queryset(ItemQuerySet)()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]


class Note(models.Model):
    """Has a plain manager: its writes are seen by the coarse layer alone."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="notes")
    text = models.TextField()

    plain = models.Manager()
    objects = CachedManager()


class Place(models.Model):
    name = models.CharField(max_length=50)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"


class Shop(Place):
    opens = models.TimeField(null=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"


class CheapItem(Item):
    class Meta:
        proxy = True


class Secret(models.Model):
    """Never registered."""

    item = models.ForeignKey(Item, on_delete=models.CASCADE)
    word = models.CharField(max_length=50)

    objects = CachedManager()


class Everything(models.Model):
    """One of each stock field type."""

    key = models.UUIDField(primary_key=True, default=uuid.uuid4)
    big = models.BigIntegerField(null=True)
    small = models.SmallIntegerField(null=True)
    text = models.TextField(null=True)
    char = models.CharField(max_length=200, null=True)
    unique_or_null = models.CharField(max_length=20, null=True, unique=True)
    flag = models.BooleanField(null=True)
    decimal = models.DecimalField(max_digits=30, decimal_places=10, null=True)
    real = models.FloatField(null=True)
    date = models.DateField(null=True)
    time = models.TimeField(null=True)
    moment = models.DateTimeField(null=True)
    span = models.DurationField(null=True)
    raw = models.BinaryField(null=True)
    json = models.JSONField(null=True)
    ip = models.GenericIPAddressField(null=True)
    url = models.URLField(null=True)
    file = models.FileField(null=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
