"""Who may purge what."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_permission_codename
from django.db import models
from django.http import HttpRequest

from cachepatterns.conf import config


def may_purge(request: HttpRequest) -> bool:
    """Whether the user may purge at all."""
    return not config().READ_ONLY and request.user.has_perm("cachepatterns.purge_cache")


def may_purge_all(request: HttpRequest) -> bool:
    """Whether the user may empty the whole cache."""
    return not config().READ_ONLY and request.user.has_perm("cachepatterns.purge_all")


def may_purge_object(request: HttpRequest, admin_site: Any, instance: models.Model) -> bool:
    """Purging one object also needs the right to change it."""
    if not may_purge(request):
        return False
    model_admin = admin_site._registry.get(type(instance))
    if model_admin is not None:
        return bool(model_admin.has_change_permission(request, instance))
    meta = instance._meta
    codename = get_permission_codename("change", meta)
    return bool(request.user.has_perm(f"{meta.app_label}.{codename}"))
