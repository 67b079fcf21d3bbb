"""Models for the write paths: every rule of deletion, and values that the database makes."""

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import F

from cachepatterns import CachedManager

NOBODY = 1_000_003
"""The owner to whom `SET_DEFAULT` and `SET()` give what was another's."""


class Cached(models.Model):
    """Read and written through a cached manager, by the base manager too."""

    objects = CachedManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"


class Remark(Cached):
    """About anything."""

    # Without a constraint: this app has no migrations, so its tables are made first.
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, db_constraint=False)
    object_id = models.PositiveIntegerField()
    about = GenericForeignKey()
    text = models.CharField(max_length=50)


class Owner(Cached):
    name = models.CharField(max_length=50)
    remarks = GenericRelation(Remark)


def nobody() -> int:
    return NOBODY


class Owned(Cached):
    text = models.CharField(max_length=50)

    class Meta(Cached.Meta):
        abstract = True


class Cascading(Owned):
    owner = models.ForeignKey(Owner, on_delete=models.CASCADE)


class Nulled(Owned):
    owner = models.ForeignKey(Owner, null=True, on_delete=models.SET_NULL)


class Defaulted(Owned):
    owner = models.ForeignKey(Owner, default=NOBODY, on_delete=models.SET_DEFAULT)


class Given(Owned):
    owner = models.ForeignKey(Owner, on_delete=models.SET(nobody))


class Club(Cached):
    name = models.CharField(max_length=50)
    members = models.ManyToManyField(Owner, through="Member", related_name="clubs")


class Member(Cached):
    club = models.ForeignKey(Club, on_delete=models.CASCADE)
    owner = models.ForeignKey(Owner, on_delete=models.CASCADE)
    rank = models.IntegerField(default=0)


class Land(Cached):
    """What hangs on it is the database's to clear away, where Django can ask it to (6.1)."""

    name = models.CharField(max_length=50)


class Plot(Owned):
    owner = models.ForeignKey(Land, on_delete=getattr(models, "DB_CASCADE", models.CASCADE))


class Shed(Owned):
    """Two steps away from what is deleted."""

    owner = models.ForeignKey(Plot, on_delete=getattr(models, "DB_CASCADE", models.CASCADE))


class Well(Owned):
    owner = models.ForeignKey(
        Land, null=True, on_delete=getattr(models, "DB_SET_NULL", models.SET_NULL)
    )


class Branch(Cached):
    """A tree in one table, which the database prunes."""

    trunk = models.ForeignKey(
        "self", null=True, on_delete=getattr(models, "DB_CASCADE", models.CASCADE)
    )


class Ledger(Cached):
    """The database has a hand in its values."""

    amount = models.IntegerField(default=0)
    twice = models.GeneratedField(
        expression=F("amount") * 2, output_field=models.IntegerField(), db_persist=True
    )
    code = models.CharField(max_length=20, db_default="new")
