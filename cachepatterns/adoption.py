"""Adoption: every manager of a model reads through the cache (``managers = "all"``).

Managers reach a model through its ``_meta``, which makes copies of them for that model. The
``_meta`` of an adopted model has a class of ours that gives these copies a caching subclass of
their own class: custom managers, those made by ``from_queryset``, inherited ones, filtered ones,
the base manager that Django makes up, and with the default manager all related managers, which
Django builds on its class. Other models, and the manager classes themselves, stay as they are.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any
from weakref import WeakSet

from django.apps import apps
from django.db import models
from django.db.models.fields.related_descriptors import ReverseManyToOneDescriptor
from django.db.models.manager import BaseManager
from django.db.models.options import Options, make_immutable_fields_list

from cachepatterns.converting import cached_class, read_through
from cachepatterns.observe import BurstLog
from cachepatterns.queryset import CachedQuerySetMixin
from cachepatterns.registry import site

ModelType = type[models.Model]
log = BurstLog()

_adopted: WeakSet[ModelType] = WeakSet()
_MANAGERS = ("managers", "managers_map", "base_manager", "default_manager")
"""What Django's `Options` keeps of a model's managers once it was asked."""


# -- models -----------------------------------------------------------------------------


def adopt_all(**kwargs: object) -> None:
    """See to it that just those models are adopted whose policies say so."""
    wanted = {
        model
        for model in apps.get_models(include_auto_created=True)
        if site.caches_every_manager(model)
    }
    now = set(_adopted)
    for model in wanted - now:
        adopt(model)
    for model in now - wanted:
        _give_back(model)
    if wanted != now:
        _forget_related_managers()


def adopt_new(*, sender: ModelType, **kwargs: object) -> None:
    """Receiver of ``class_prepared``: a model that appears later. Historical and isolated
    models are in a registry of their own, and left alone."""
    if sender._meta.apps is apps and site.caches_every_manager(sender):
        adopt(sender)


def adopt(model: ModelType) -> None:
    """Have all managers of `model` read through the cache."""
    meta: Any = model._meta
    if type(meta) is Options:
        meta.__class__ = AdoptedOptions
        _adopted.add(model)
        _forget_managers(model)


def _give_back(model: ModelType) -> None:
    meta: Any = model._meta
    meta.__class__ = Options
    _adopted.discard(model)
    _forget_managers(model)


def _forget_managers(model: ModelType) -> None:
    """Let Django make the model's managers anew."""
    for name in _MANAGERS:
        vars(model._meta).pop(name, None)


def _forget_related_managers() -> None:
    """Let Django derive them anew from the managers' present classes."""
    for model in apps.get_models(include_auto_created=True):
        for descriptor in list(vars(model).values()):
            if isinstance(descriptor, ReverseManyToOneDescriptor):
                vars(descriptor).pop("related_manager_cls", None)


class AdoptedOptions(Options):
    """The ``_meta`` of an adopted model."""

    @cached_property
    def managers(self) -> Any:
        found = Options.managers.func(self)  # type: ignore[attr-defined]
        return make_immutable_fields_list("managers", map(adopted, found))

    @cached_property
    def base_manager(self) -> Any:
        return adopted(Options.base_manager.func(self))  # type: ignore[attr-defined]


# -- managers ----------------------------------------------------------------------------


def adopted(manager: BaseManager[Any]) -> BaseManager[Any]:
    """`manager`, the model's own copy, made to read through the cache if it does not yet."""
    original = type(manager)
    if issubclass(original, AdoptedManagerMixin) or _is_ours(original):
        return manager
    try:
        manager.__class__ = adopted_class(original)
    except TypeError:  # a layout or a metaclass that allows no such subclass
        log.log("%s can not be made to read through the cache", manager, exc_info=True)
    return manager


def _is_ours(manager_class: type[BaseManager[Any]]) -> bool:
    stock = manager_class.get_queryset is BaseManager.get_queryset
    return stock and issubclass(_queryset_class(manager_class), CachedQuerySetMixin)


def _queryset_class(manager_class: Any) -> type:
    found: type = getattr(manager_class, "_queryset_class", models.QuerySet)
    return found


_classes: dict[type, type] = {}


def adopted_class(original: type[BaseManager[Any]]) -> type[BaseManager[Any]]:
    """The caching subclass of a manager class, made once and called as that is."""
    if original not in _classes:
        members = {
            "__module__": original.__module__,
            "__qualname__": original.__qualname__,
            "__doc__": original.__doc__,
            "_queryset_class": cached_class(_queryset_class(original)),
            "_adopted_from": original,
        }
        metaclass: Any = type(original)
        ours = CountsWithoutJoin if original is models.Manager else AdoptedManagerMixin
        _classes[original] = metaclass(original.__name__, (ours, original), members)
    return _classes[original]


class AdoptedManagerMixin:
    """What an adopted manager does otherwise than its original: its querysets are cached ones.

    To migrations it is its original still.
    """

    _adopted_from: type[BaseManager[Any]]

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()  # type: ignore[misc]
        return read_through(queryset) if isinstance(queryset, models.QuerySet) else queryset

    def deconstruct(self) -> Any:
        return self._original().deconstruct()

    def __eq__(self, other: object) -> bool:
        if not self._is_adopted():
            return bool(super().__eq__(other))
        if isinstance(other, AdoptedManagerMixin) and other._is_adopted():
            other = other._original()
        return bool(self._original() == other)

    def __hash__(self) -> int:
        return id(self)

    def __copy__(self) -> Any:
        return _like(self, type(self))

    def __reduce_ex__(self, protocol: Any) -> Any:
        # By the original, which can be imported.
        if self._is_adopted():
            return _like, (self._original(), None)
        return super().__reduce_ex__(protocol)

    def _original(self) -> Any:
        return _like(self, self._adopted_from)

    def _is_adopted(self) -> bool:
        """Whether this is no related manager, whose class Django derives from an adopted one."""
        return "_adopted_from" in vars(type(self))


class CountsWithoutJoin(AdoptedManagerMixin):
    """Django leaves a join out of the ``count()`` and ``exists()`` of a many-to-many relation
    where the manager is exactly a `Manager`; where it was, it is left out still."""

    def count(self) -> int:
        rows = self._through_rows()
        return super().count() if rows is None else rows.count()  # type: ignore[misc]

    def exists(self) -> bool:
        rows = self._through_rows()
        return super().exists() if rows is None else rows.exists()  # type: ignore[misc]

    def _through_rows(self) -> Any:
        manager: Any = self
        if hasattr(manager, "through") and manager.get_prefetch_cache() is None:
            return manager.constrained_target
        return None


def _like(manager: Any, cls: Any) -> Any:
    """The same manager with another class; with its caching one, for `None`."""
    found = object.__new__(cls or adopted_class(type(manager)))
    found.__dict__.update(vars(manager))
    return found
