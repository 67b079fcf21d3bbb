"""A model without a table, on which the admin is hung; the outbox's events; flushed batches."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from cachepatterns.conf import config


class CacheDashboard(models.Model):
    """What the admin pages are hung on; it has no rows and is never queried."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("view_cachedashboard", _("Can see what the cache does")),
            ("view_values", _("Can see cached values")),
            ("purge_cache", _("Can purge objects and models from the cache")),
            ("purge_all", _("Can purge the whole cache")),
        ]
        verbose_name = _("cache overview")
        verbose_name_plural = _("cache overview")

    def __str__(self) -> str:
        return str(self._meta.verbose_name)


class InvalidationEvent(models.Model):
    """The outbox: what a write invalidates, recorded in the transaction that writes.

    It is committed with the write or not at all, so a bump that is lost after the COMMIT (a
    crash, Redis away) is made up for by a relay (``manage.py relay_invalidations``).

    ``payload`` has one of these shapes, all independent of aliases:

    * from Django, tags that are worked out: ``{"tags": ["app.item@3f2a:pk=7", …],
      "labels": ["app.item"]}``, and where known ``"object": ["app.item", "7"]``;
    * from PostgreSQL triggers, the rows of one statement, from which the relay works out tags
      by the functions that Django's writes use: ``{"table": "public.app_item", "op":
      "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE", "rows": [{"old": {column: value} | null,
      "new": {column: value} | null}, …] | null}``. Values as `to_jsonb` spells them, at least
      those of the primary key and the narrowed columns; all columns where the policy has
      rules. ``"rows": null`` stands for rows that nobody can tell (TRUNCATE, too many):
      then the model tag is bumped. A row whose old and new values can not be paired may be
      given as two.

    * from anybody else who may insert here (docs/patterns/event-driven-invalidation.md):
      ``{"model": "app.item"}``, with ``rows`` as above or without,
      ``{"named": [["catalog", 5], …]}``, or both in one.

    What can not be understood bumps everything, and is parked: ``error`` says why, and the row
    is kept until somebody deletes it.

    Any of them may have a ``"prefix"``: that of the site whose entries the event concerns. Sites
    with other prefixes that share the database share this table too, and leave it to its relays.
    An event without one is delivered by whoever comes first.

    ``token`` names the writing transaction where Django will bump after its COMMIT and leave
    a mark in Redis, which spares the relay the bump. Empty where nobody does (triggers, commits
    by hand): such an insert wakes the relays on PostgreSQL by ``NOTIFY cachepatterns``.

    Not to be cached, and rows are never updated but for ``delivered_at`` and
    ``error``.
    """

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    token = models.CharField(max_length=32, db_default="", blank=True)
    source = models.CharField(max_length=100, db_default="", blank=True)
    payload = models.JSONField()
    delivered_at = models.DateTimeField(null=True, editable=False)
    error = models.CharField(max_length=300, db_default="", blank=True, editable=False)

    class Meta:
        default_permissions = ()
        # Serves both questions: what is not delivered (NULL), and what was long ago.
        indexes = [models.Index(fields=["delivered_at", "id"], name="cachepatterns_outbox")]
        verbose_name = _("invalidation event")
        verbose_name_plural = _("invalidation events")

    def __str__(self) -> str:
        return f"{self.pk} {self.source}"

    @classmethod
    def ours(cls, using: str) -> models.QuerySet[InvalidationEvent]:
        """The events that relays under this `PREFIX` deliver."""
        return cls._base_manager.using(using).filter(_has_our_prefix())

    @classmethod
    def of_others(cls, using: str) -> models.QuerySet[InvalidationEvent]:
        """The events that are left to the relays of sites with another `PREFIX`."""
        return cls._base_manager.using(using).exclude(_has_our_prefix())


class FlushedBatch(models.Model):
    """A batch of increments or events that is written, noted in the transaction that wrote it.

    Whoever finds the batch in Redis once more (the flusher was killed before it had dropped it,
    another one is at it too) finds its name here, and writes nothing. Kept for a week.
    """

    batch = models.CharField(max_length=40, primary_key=True)
    label = models.CharField(max_length=200)
    rows = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["created_at"], name="cachepatterns_flushed")]
        verbose_name = _("flushed batch")
        verbose_name_plural = _("flushed batches")

    def __str__(self) -> str:
        return f"{self.batch} of {self.label}"


def _has_our_prefix() -> models.Q:
    return models.Q(payload__prefix=config().PREFIX) | models.Q(payload__prefix__isnull=True)
