"""The manager: ``objects = CachedManager()`` and the model reads through the cache."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.manager import BaseManager

from cachepatterns.queryset import CachedQuerySet, cached_class


class CachedManager(models.Manager.from_queryset(CachedQuerySet)):  # type: ignore[misc]
    """A manager whose querysets read through the cache.

    Make it the base manager too (``Meta.base_manager_name = "objects"``), so that
    foreign key access is cached.
    """

    @classmethod
    def from_queryset(cls, queryset_class: type, class_name: str | None = None) -> Any:
        """A manager class with the methods of `queryset_class`, reading through the cache."""
        made = cached_class(queryset_class)
        name = class_name or f"{cls.__name__}From{queryset_class.__name__}"
        return BaseManager.from_queryset.__func__(cls, made, name)  # type: ignore[attr-defined]
