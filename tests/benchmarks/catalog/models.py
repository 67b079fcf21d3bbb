"""A product of seventeen columns, its category and its brand."""

from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string

Manager = import_string(settings.BENCHMARK_MANAGER)


class Category(models.Model):
    name = models.CharField(max_length=100)
    slug = models.SlugField(unique=True)

    objects = Manager()

    class Meta:
        base_manager_name = "objects"


class Brand(models.Model):
    name = models.CharField(max_length=100)
    country = models.CharField(max_length=2)

    objects = Manager()

    class Meta:
        base_manager_name = "objects"


class Product(models.Model):
    category = models.ForeignKey(Category, models.CASCADE)
    brand = models.ForeignKey(Brand, models.CASCADE)
    name = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)
    sku = models.CharField(max_length=20, unique=True)
    description = models.TextField()
    price = models.DecimalField(max_digits=10, decimal_places=2)
    currency = models.CharField(max_length=3)
    stock = models.IntegerField()
    weight = models.DecimalField(max_digits=8, decimal_places=3, null=True)
    rating = models.FloatField()
    view_count = models.BigIntegerField()
    is_active = models.BooleanField()
    released = models.DateField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = Manager()

    class Meta:
        base_manager_name = "objects"
