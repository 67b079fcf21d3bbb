"""What is counted, and what is only appended to."""

import uuid

from django.db import models
from django.db.models.functions import Now

from cachepatterns import CachedManager


class Article(models.Model):
    key = models.UUIDField(default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=50, default="")
    views = models.BigIntegerField(default=0)
    likes = models.SmallIntegerField(null=True)

    objects = CachedManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]


class Visit(models.Model):
    """An event; nobody changes it."""

    words = models.CharField(max_length=20)
    article = models.ForeignKey(Article, null=True, on_delete=models.CASCADE)
    at = models.DateTimeField(auto_now_add=True)
    noted = models.DateTimeField(db_default=Now())
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    key = models.UUIDField(default=uuid.uuid4)
    data = models.JSONField(null=True)


class ByKey(models.Model):
    key = models.UUIDField(primary_key=True)
    views = models.IntegerField(default=0)

    objects = CachedManager()


class ByName(models.Model):
    name = models.CharField(max_length=20, primary_key=True)
    views = models.IntegerField(default=0)

    objects = CachedManager()


class ByDay(models.Model):
    day = models.DateField(primary_key=True)
    views = models.IntegerField(default=0)

    objects = CachedManager()
