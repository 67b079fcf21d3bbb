"""Two admin sites: the default one, and one of a project's own."""

from django.contrib import admin
from django.urls import path

from cachepatterns.admin import CacheDashboardAdmin, CachedModelAdminMixin
from cachepatterns.models import CacheDashboard
from tests.app.models import Item, Secret


class ItemAdmin(CachedModelAdminMixin, admin.ModelAdmin):
    pass


class SecretAdmin(CachedModelAdminMixin, admin.ModelAdmin):
    pass


class BackOffice(admin.AdminSite):
    site_header = "Back office"


default_site = admin.AdminSite()
back_office = BackOffice(name="backoffice")
for site in (default_site, back_office):
    site.register(CacheDashboard, CacheDashboardAdmin)
    site.register(Item, ItemAdmin)
    site.register(Secret, SecretAdmin)

urlpatterns = [
    path("admin/", default_site.urls),
    path("office/", back_office.urls),
]
