"""The pages: hung on a model without rows, so that no ``urls.py`` has to be edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from cachepatterns.admin.overview import model_page, overview, period_of
from cachepatterns.admin.purge import PurgeView
from cachepatterns.admin.rights import may_purge, may_purge_all
from cachepatterns.stats.buckets import DAY
from cachepatterns.stats.report import report

TEMPLATES = "admin/cachepatterns"


class CacheDashboardAdmin(admin.ModelAdmin):
    """Register it with `CacheDashboard` on an admin site of your own to have it there too."""

    def get_urls(self) -> list[URLPattern]:
        """Our pages, and none of those that lists of rows have."""
        info = f"{self.opts.app_label}_{self.opts.model_name}"

        def page(route: str, view: Any, name: str) -> URLPattern:
            return path(route, self.admin_site.admin_view(view), name=f"{info}_{name}")

        return [
            page("", self.changelist_view, "changelist"),
            page("data/", self.data_view, "data"),
            page("purge/", PurgeView(self), "purge"),
            page("model/<str:label>/", self.model_view, "model"),
        ]

    # -- rights -----------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("cachepatterns.view_cachedashboard"))

    # -- pages ------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The overview."""
        self._require_view(request)
        found = report(period_of(request))
        return self.page(
            request,
            "overview.html",
            title=_("Cache"),
            **overview(request, self.admin_site, found),
            **(extra_context or {}),
        )

    def data_view(self, request: HttpRequest) -> HttpResponse:
        """The live part of the overview, for the script that keeps it up to date."""
        self._require_view(request)
        found = report(period_of(request))
        context = self.context(request, **overview(request, self.admin_site, found))
        html = render_to_string(f"{TEMPLATES}/live.html", context, request)
        return JsonResponse({"state": found.state, "at": found.at, "html": html})

    def model_view(self, request: HttpRequest, label: str) -> HttpResponse:
        """One model: its patterns, its policy, its invalidations."""
        self._require_view(request)
        found = report(period_of(request))
        model = found.model(label)
        if model is None:
            raise Http404(_("Nothing is known of %(label)s.") % {"label": label})
        return self.page(
            request,
            "model.html",
            title=label,
            **model_page(request, self.admin_site, found, model),
        )

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        """One of our pages, in the frame of this admin site."""
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request, f"{TEMPLATES}/{template}", self.context(request, **context)
        )

    def context(self, request: HttpRequest, **more: Any) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "long_period": period_of(request).seconds > DAY,
            "media": self.media,
            "may_purge": may_purge(request),
            "may_purge_all": may_purge_all(request),
            **more,
        }

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied
