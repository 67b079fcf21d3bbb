"""What the shop looks up and hardly ever changes."""

from django.db import models

from cachepatterns import CachedManager


class Country(models.Model):
    """A country the shop delivers to."""

    code = models.CharField(max_length=2, unique=True)
    name = models.CharField(max_length=60)
    ships = models.BooleanField(default=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name_plural = "countries"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class TaxRate(models.Model):
    """Tax on sales to one country, in percent of the price."""

    country = models.OneToOneField(Country, on_delete=models.CASCADE, related_name="tax_rate")
    percent = models.DecimalField(max_digits=4, decimal_places=2)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("country",)

    def __str__(self) -> str:
        return f"{self.country_id}: {self.percent} %"


class FeatureFlag(models.Model):
    """A switch that staff throw in the admin."""

    name = models.SlugField(max_length=60, unique=True)
    enabled = models.BooleanField(default=False)
    note = models.CharField(max_length=200, blank=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class PricingRule(models.Model):
    """A reduction given in the cart: so much off when that many of a category are bought."""

    name = models.CharField(max_length=80)
    category = models.ForeignKey(
        "shop.Category", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    minimum_quantity = models.PositiveSmallIntegerField(default=1)
    percent_off = models.DecimalField(max_digits=4, decimal_places=2)
    is_active = models.BooleanField(default=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.name
