"""Addresses within whichever admin site a page belongs to."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from cachepatterns.registry import find_model

DASHBOARD = "admin:cachepatterns_cachedashboard"


def dashboard_url(admin_site: Any, name: str, *args: str) -> str | None:
    """The address of one of our pages; `None` where the dashboard is not registered."""
    try:
        return reverse(f"{DASHBOARD}_{name}", args=args, current_app=admin_site.name)
    except NoReverseMatch:
        return None


def object_link(
    request: HttpRequest, admin_site: Any, label: str | None, pk: str | None
) -> str | None:
    """The change page of an object, for those who may see it."""
    if not label or not pk:
        return None
    model = find_model(label)
    model_admin = admin_site._registry.get(model)
    if model is None or model_admin is None or not model_admin.has_view_permission(request):
        return None
    meta = model._meta
    try:
        return reverse(
            f"admin:{meta.app_label}_{meta.model_name}_change",
            args=[quote(pk)],
            current_app=admin_site.name,
        )
    except NoReverseMatch:
        return None
