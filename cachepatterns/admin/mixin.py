"""For the admins of your own cached models: purge from where the objects are."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.loader import select_template
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from cachepatterns.admin.links import dashboard_url
from cachepatterns.admin.purge import result
from cachepatterns.admin.rights import may_purge, may_purge_object
from cachepatterns.exceptions import BackendError
from cachepatterns.purging import object_target, purge
from cachepatterns.registry import site

MAX_OBJECTS = 1000
"""Objects one action purges; for more, purge the model."""


class CachedModelAdminMixin:
    """Adds a "Purge from cache" action and a *Cache* tool on the change page.

    Put it before `ModelAdmin`. Shown to those with the permission ``purge_cache`` who may
    change the object, unless ``CACHEPATTERNS["READ_ONLY"]`` is set. Your own templates for
    the change page are kept: this one extends whichever would have been used.
    """

    model: type[models.Model]
    admin_site: Any
    opts: Any
    actions: Any

    change_form_template: Any = "admin/cachepatterns/change_form.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Added here, so that a class with a list of its own keeps both; None means no actions.
        actions = getattr(self, "actions", None)
        if actions is not None and "purge_from_cache" not in actions:
            self.actions = [*actions, "purge_from_cache"]

    @admin.action(description=gettext_lazy("Purge from cache"), permissions=["purge"])
    def purge_from_cache(self, request: HttpRequest, queryset: Any) -> None:
        chosen = list(queryset[: MAX_OBJECTS + 1])
        if len(chosen) > MAX_OBJECTS:
            text = _("More than %(n)d objects: purge the model instead.")
            messages.error(request, text % {"n": MAX_OBJECTS})
            return
        purged = 0
        for instance in chosen:
            if not may_purge_object(request, self.admin_site, instance):
                continue
            try:
                done = purge(object_target(instance), "admin")
            except BackendError as error:
                messages.error(request, _("Redis does not answer: %s") % error)
                break
            purged += 1
            said = _("Purged from the cache: %(what)s") % {"what": result(done)}
            self.log_change(request, instance, said)  # type: ignore[attr-defined]
        text = ngettext(
            "%(n)d object was purged from the cache.",
            "%(n)d objects were purged from the cache.",
            purged,
        )
        messages.success(request, text % {"n": purged})

    def has_purge_permission(self, request: HttpRequest) -> bool:
        """Who is offered the action; asked by the admin because of its name."""
        return may_purge(request) and site.policy_for(self.model) is not None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        instance = kwargs.get("obj")
        url = dashboard_url(self.admin_site, "purge")
        allowed = (
            instance is not None
            and site.policy_for(self.model) is not None
            and may_purge_object(request, self.admin_site, instance)
        )
        if url and allowed and instance is not None:
            target = f"{instance._meta.label}:{instance.pk}"
            context["cachepatterns_url"] = f"{url}?{urlencode({'target': target})}"
        context["cachepatterns_parent"] = self._parent_template()
        return super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]

    def _parent_template(self) -> Any:
        """What the change page would have been drawn with, had this mixin not been there."""
        for cls in type(self).__mro__:
            named = vars(cls).get("change_form_template")
            if named and cls is not CachedModelAdminMixin:
                return select_template([named])
        app, model = self.opts.app_label, self.opts.model_name
        return select_template(
            [
                f"admin/{app}/{model}/change_form.html",
                f"admin/{app}/change_form.html",
                "admin/change_form.html",
            ]
        )
