"""No table: a model that gives the admin a place in its list, and permissions to grant."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


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
