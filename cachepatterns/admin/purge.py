"""The purge page: what would go (GET), then its going (POST).

An object, a model, or everything under our prefix, which must be confirmed in writing.
Each purge leaves a line in the admin's log: an object's in its own history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cachepatterns.admin.links import dashboard_url, object_link
from cachepatterns.admin.rights import may_purge, may_purge_all, may_purge_object
from cachepatterns.exceptions import BackendError, CachePatternsError
from cachepatterns.purging import Purged, Target, everything, named_target, preview, purge
from cachepatterns.registry import site

if TYPE_CHECKING:
    from cachepatterns.admin.dashboard import CacheDashboardAdmin

EVERYTHING = "*"
CONFIRMATION = "purge everything"
"""What has to be typed; not translated, like a command."""


class PurgeView:
    """A view of one admin site."""

    def __init__(self, model_admin: CacheDashboardAdmin) -> None:
        self.model_admin = model_admin
        self.admin_site = model_admin.admin_site

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not (may_purge(request) or may_purge_all(request)):
            raise PermissionDenied
        name = (request.POST if request.method == "POST" else request.GET).get("target", "")
        name = name.strip()
        if not name:
            return self._choose(request)
        try:
            target = everything() if name == EVERYTHING else named_target(name)
            instance = target.instance
            self._require(request, name, instance)
            if request.method != "POST":
                return self._preview(request, name, target)
            typed = request.POST.get("confirmation", "").strip().lower()
            if name == EVERYTHING and typed != CONFIRMATION:
                error = _("Type “%(words)s” to confirm.") % {"words": CONFIRMATION}
                return self._preview(request, name, target, error=error)
            done = purge(target, "admin")
        except BackendError as error:
            return self._choose(request, _("Redis does not answer: %s") % error, status=503)
        except CachePatternsError as error:
            return self._choose(request, str(error), status=404)
        self._log(request, target, done)
        self._tell(request, target, done)
        back = None
        if instance is not None:
            label = instance._meta.label_lower
            back = object_link(request, self.admin_site, label, str(instance.pk))
        overview = dashboard_url(self.admin_site, "changelist")
        if not self.model_admin.has_view_permission(request):
            overview = dashboard_url(self.admin_site, "purge")
        return HttpResponseRedirect(back or overview or "..")

    def _require(self, request: HttpRequest, name: str, instance: models.Model | None) -> None:
        if name == EVERYTHING:
            allowed = may_purge_all(request)
        elif instance is not None:
            allowed = may_purge_object(request, self.admin_site, instance)
        else:
            allowed = may_purge(request)
        if not allowed:
            raise PermissionDenied

    def _choose(self, request: HttpRequest, error: str = "", status: int = 200) -> HttpResponse:
        response = self.model_admin.page(
            request,
            "purge_choose.html",
            title=_("Purge from the cache"),
            error=error,
            policies=site.policies() if may_purge(request) else [],
        )
        response.status_code = status
        return response

    def _preview(
        self, request: HttpRequest, name: str, target: Target, error: str = ""
    ) -> HttpResponse:
        return self.model_admin.page(
            request,
            "purge_confirm.html",
            title=_("Purge from the cache"),
            name=name,
            target=target,
            is_everything=name == EVERYTHING,
            confirmation=CONFIRMATION,
            preview=preview(target),
            error=error,
        )

    def _log(self, request: HttpRequest, target: Target, done: Purged) -> None:
        said = _("Purged from the cache: %(what)s") % {"what": result(done)}
        if target.instance is not None and target.instance.pk is not None:
            self.model_admin.log_change(request, target.instance, said)
            return
        LogEntry.objects.create(
            user=cast(Any, request.user),
            content_type=ContentType.objects.get_for_model(self.model_admin.model),
            object_repr=target.title[:200],
            action_flag=CHANGE,
            change_message=said,
        )

    def _tell(self, request: HttpRequest, target: Target, done: Purged) -> None:
        said = {"target": target.title, "what": result(done)}
        messages.success(request, _("%(target)s was purged: %(what)s.") % said)
        if not done.delivered:
            messages.warning(
                request,
                _("Redis did not answer in time. This process will try again before it reads."),
            )


def result(done: Purged) -> str:
    """What a purge did, in words."""
    tags = ngettext("%(n)d tag bumped", "%(n)d tags bumped", done.tags) % {"n": done.tags}
    keys = ngettext("%(n)d key deleted", "%(n)d keys deleted", done.keys) % {"n": done.keys}
    return f"{tags}, {keys}"
