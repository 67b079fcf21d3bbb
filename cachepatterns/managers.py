"""The manager: ``objects = CachedManager()`` and the model reads through the cache."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.manager import BaseManager

from cachepatterns.converting import cached_class
from cachepatterns.counting import increment
from cachepatterns.queryset import CachedQuerySet
from cachepatterns.read.rows import found_row


class CachedManager(models.Manager.from_queryset(CachedQuerySet)):  # type: ignore[misc]
    """A manager whose querysets read through the cache.

    Make it the base manager too (``Meta.base_manager_name = "objects"``), so that
    foreign key access is cached.
    """

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """As Django's; by a unique field alone from the row cache, without making a queryset."""
        if self._asks_as_django():
            found = found_row(self.model, self.db, args, kwargs)
            if found is not None:
                return found
        return super().get(*args, **kwargs)

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        """As Django's; conditions of known kinds without making a queryset of all rows first."""
        if not args and self._asks_as_django():
            cls: Any = type(self)
            found = cls._queryset_class._noted_filter(self.model, self._db, self._hints, kwargs)
            if found is not None:
                return found
        return super().filter(*args, **kwargs)

    def _asks_as_django(self) -> bool:
        """Whether there is nothing of the project's own in the way from here to the rows."""
        cls: Any = type(self)
        return (
            getattr(cls._queryset_class, "_begins_as_django_s", False)
            and cls.get_queryset is BaseManager.get_queryset
        )

    def increment(self, pk: Any, **amounts: int) -> None:
        """Add to counters of the row, some time soon (see `cachepatterns.increment`):
        ``Product.objects.increment(7, view_count=1)``."""
        increment(self.model, pk, using=self._db, **amounts)

    @classmethod
    def from_queryset(cls, queryset_class: type, class_name: str | None = None) -> Any:
        """A manager class with the methods of `queryset_class`, reading through the cache."""
        made = cached_class(queryset_class)
        name = class_name or f"{cls.__name__}From{queryset_class.__name__}"
        return BaseManager.from_queryset.__func__(cls, made, name)  # type: ignore[attr-defined]
