"""Every kind of manager, none of them ours, and no policy for any model."""

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class Author(models.Model):
    """Has the manager that Django makes."""

    name = models.CharField(max_length=50)
    remarks = GenericRelation("others.Remark")


class Tag(models.Model):
    """Has no `objects`."""

    word = models.CharField(max_length=50)

    words = models.Manager()


class BookQuerySet(models.QuerySet):
    def thick(self):
        return self.filter(pages__gt=300)


class InPrint(models.Manager):
    """Filters, and makes its queryset by hand."""

    def get_queryset(self):
        return BookQuerySet(self.model, using=self._db).filter(in_print=True)


class Shelf(models.Manager.from_queryset(BookQuerySet)):
    use_in_migrations = True

    def __init__(self, word="shelf"):
        super().__init__()
        self.word = word


class Book(models.Model):
    """The default manager filters, the base manager does not."""

    title = models.CharField(max_length=50)
    pages = models.IntegerField(default=100)
    in_print = models.BooleanField(default=True)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag, related_name="books")

    sold = InPrint()
    shelf = Shelf("oak")
    thick = BookQuerySet.as_manager()

    class Meta:
        base_manager_name = "shelf"
        ordering = ["pk"]


class Reprint(Book):
    """A child by multi-table inheritance: inherits the managers."""

    year = models.IntegerField(default=2000)


class Pocket(Book):
    class Meta:
        proxy = True


class Owned(models.Model):
    """An abstract base with a manager."""

    owned = InPrint.from_queryset(BookQuerySet)()

    class Meta:
        abstract = True


class Atlas(Owned):
    title = models.CharField(max_length=50)
    in_print = models.BooleanField(default=True)


class Remark(models.Model):
    text = models.CharField(max_length=50)
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
    object_id = models.BigIntegerField()
    about = GenericForeignKey()


class Seat(models.Model):
    """Has a composite primary key."""

    pk = models.CompositePrimaryKey("row", "number")
    row = models.IntegerField()
    number = models.IntegerField()
    reader = models.ForeignKey(Author, null=True, on_delete=models.SET_NULL, related_name="seats")


class LoudQuerySet(models.QuerySet):
    """Has words of ours with another meaning, and a `get` of its own."""

    def cached(self):
        return "their own word"

    def get(self, *args, **kwargs):
        found = super().get(*args, **kwargs)
        found.was_loud = True
        return found


class OddQuerySet(models.QuerySet):
    """Its arguments are its own."""

    def __init__(self, volume=None, model=None, query=None, using=None, hints=None):
        super().__init__(model=model, query=query, using=using, hints=hints)
        self.volume = volume


class Loud(models.Model):
    name = models.CharField(max_length=50)

    objects = LoudQuerySet.as_manager()
    odd = OddQuerySet.as_manager()


class Visit(AbstractBaseSession):
    """A session of somebody's own."""


class Summary(models.Model):
    """A view, say."""

    total = models.IntegerField()

    class Meta:
        managed = False
