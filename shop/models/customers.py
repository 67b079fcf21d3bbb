"""Who buys."""

from django.conf import settings
from django.db import models

from cachepatterns import CachedManager
from shop.models.reference import Country


class Profile(models.Model):
    """What the shop knows of a customer beside the login: where to deliver."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile"
    )
    phone = models.CharField(max_length=30, blank=True)
    address = models.CharField(max_length=120, blank=True)
    postcode = models.CharField(max_length=12, blank=True)
    city = models.CharField(max_length=60, blank=True)
    country = models.ForeignKey(
        Country, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    newsletter = models.BooleanField("Send me the newsletter", default=False)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"Profile {self.pk}"
