"""The admin: an overview of what the cache does, and purging. Found by Django's autodiscovery.

`CachedModelAdminMixin` is for the admins of your own models.
"""

from django.contrib import admin

from cachepatterns.admin.dashboard import CacheDashboardAdmin
from cachepatterns.admin.mixin import CachedModelAdminMixin
from cachepatterns.models import CacheDashboard

admin.site.register(CacheDashboard, CacheDashboardAdmin)

__all__ = ["CacheDashboardAdmin", "CachedModelAdminMixin"]
