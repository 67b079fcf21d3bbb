"""The central registry: which models are cached, how, and which rules their writes set off.

Filled by `register` (in each app's ``caching.py``, found like ``admin.py``) and by
``CACHEPATTERNS["MODELS"]`` for models of other people. Read by every journey.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from django.apps import apps
from django.core.signals import setting_changed

from cachepatterns.core.change import Change
from cachepatterns.declarations import (
    ModelType,
    concrete_model,
    declaration,
    declared_in_settings,
    find_model,
)
from cachepatterns.exceptions import ConfigurationError
from cachepatterns.policy import ModelPolicy, ResolvedPolicy
from cachepatterns.resolving import resolved, tiers
from cachepatterns.sources import table_name

__all__ = ["Registry", "concrete_model", "find_model", "register", "site", "table_name", "tiers"]

P = TypeVar("P", bound=type[ModelPolicy])


class Registry:
    """Policies by model, and the tables they are answerable for."""

    def __init__(self) -> None:
        self._declared: dict[ModelType, type[ModelPolicy]] = {}
        self._resolved: dict[ModelType, ResolvedPolicy | None] = {}
        self._tables: dict[str, ModelType] | None = None
        self._tracked: dict[str, ModelType] | None = None
        self._sources: dict[ModelType, frozenset[ModelType]] = {}
        self._databases: frozenset[str] | None = None
        self._installed: list[ModelType] = []
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self.generation = 0
        """Counts the changes: what was worked out under an earlier one must be forgotten."""

    # -- filling ----------------------------------------------------------------------

    def register(self, model: ModelType, policy: type[ModelPolicy]) -> None:
        """Declare the policy of `model` (its concrete model, if it is a proxy)."""
        concrete = concrete_model(model)
        known = self._declared.get(concrete)
        if known is not None and known is not policy:
            raise ConfigurationError(
                f"{concrete._meta.label} has two policies: {known.__qualname__} and "
                f"{policy.__qualname__}. Keep one, or unregister the first."
            )
        with self._lock:
            self._declared[concrete] = policy
            self.forget()

    def unregister(self, model: ModelType) -> None:
        """Forget the policy of `model`; its entries are not read any more."""
        with self._lock:
            self._declared.pop(concrete_model(model), None)
            self.forget()

    def forget(self, **kwargs: object) -> None:
        """Look everything up anew (settings or models have changed)."""
        with self._lock:
            self._resolved = {}
            self._tables = None
            self._tracked = None
            self._sources = {}
            self._databases = None
            self.generation += 1
        for listener in self._listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever policies may have changed."""
        self._listeners.append(listener)

    # -- asking -----------------------------------------------------------------------

    def policy_for(self, model: ModelType) -> ResolvedPolicy | None:
        """The policy of `model`, or `None` if it is not registered."""
        self._notice_new_models()
        try:
            return self._resolved[model]
        except KeyError:
            pass
        concrete = concrete_model(model)
        found = self._resolve(concrete)
        with self._lock:
            self._resolved[model] = found
        return found

    def caches_every_manager(self, model: ModelType) -> bool:
        """Whether all managers of `model` are to read through the cache, not only ours."""
        concrete = concrete_model(model)
        said = declaration(concrete, self._declared.get(concrete))
        return said is not None and said.managers == "all"

    def policies(self) -> list[ResolvedPolicy]:
        """All policies, by label."""
        found = {}
        for model in [*self._declared, *declared_in_settings()]:
            policy = self.policy_for(model)
            if policy is not None:
                found[policy.label] = policy
        return [found[label] for label in sorted(found)]

    def models_of(self, policy: type[ModelPolicy]) -> list[ModelType]:
        """The models that were registered with this very class."""
        return [model for model, known in self._declared.items() if known is policy]

    def __iter__(self) -> Iterator[ResolvedPolicy]:
        return iter(self.policies())

    def tables(self) -> dict[str, ModelType]:
        """Every table (lower case, without schema) of an installed model, and its model."""
        self._notice_new_models()
        known = self._tables
        if known is not None:
            return known
        found: dict[str, ModelType] = {}
        for model in apps.get_models(include_auto_created=True):
            if not model._meta.proxy:
                found.setdefault(table_name(model), model)
        if apps.models_ready:
            self._tables = found
        return found

    def tracked(self) -> dict[str, ModelType]:
        """The tables whose writes are watched: of registered models, the through tables
        Django made for them, the parents of registered children, what feeds views."""
        self._notice_new_models()
        known = self._tracked
        if known is not None:
            return known
        registered = {policy.model for policy in self.policies()}
        feeding = frozenset[ModelType]().union(*map(self.depends_on, registered))
        found = {
            table: model
            for table, model in self.tables().items()
            if model in registered or model in feeding or _belongs_to(model, registered)
        }
        if apps.models_ready:
            self._tracked = found
        return found

    def depends_on(self, model: ModelType) -> frozenset[ModelType]:
        """The models that feed the table of `model`, a view, and those that feed them."""
        self._notice_new_models()
        known = self._sources.get(model)
        if known is not None:
            return known
        found: set[ModelType] = set()
        queue = [model]
        while queue:
            policy = self.policy_for(queue.pop())
            for source in policy.depends_on if policy is not None else ():
                if source is not model and source not in found:
                    found.add(source)
                    queue.append(source)
        self._sources[model] = frozenset(found)
        return self._sources[model]

    def databases(self) -> frozenset[str]:
        """The aliases of which rows are cached."""
        known = self._databases
        if known is None:
            known = frozenset().union(*(policy.databases for policy in self.policies()))
            self._databases = known if apps.models_ready else None
        return known

    def rule_tags(self, policy: ResolvedPolicy, change: Change) -> Iterable[str]:
        """The named tags that the policy's `affects` gives for `change`."""
        return policy.policy.affects(change) or ()

    # -- resolving --------------------------------------------------------------------

    def _notice_new_models(self) -> None:
        """Models may be made and apps installed at any time: Django then lists them anew."""
        if not apps.models_ready:
            return
        installed = apps.get_models(True)  # named, its argument costs as much as the call
        if installed is not self._installed:
            with self._lock:
                self._installed = installed
                self._resolved = {}
                self._tables = None
                self._tracked = None
                self._sources = {}
                self._databases = None
                self.generation += 1

    def _resolve(self, model: ModelType) -> ResolvedPolicy | None:
        said = declaration(model, self._declared.get(model))
        return resolved(model, said) if said is not None else None


def _belongs_to(model: ModelType, registered: set[ModelType]) -> bool:
    owner: Any = model._meta.auto_created
    if owner:
        # A through table belongs to both ends of its relation.
        ends = {
            concrete_model(f.remote_field.model)
            for f in model._meta.local_concrete_fields
            if f.remote_field is not None
        }
        return bool(ends & registered)
    return any(model in child._meta.get_parent_list() for child in registered)


site = Registry()


def register(*registered: ModelType) -> Callable[[P], P]:
    """Class decorator: make a `ModelPolicy` subclass the policy of these models."""

    def decorate(policy: P) -> P:
        for model in registered:
            site.register(model, policy)
        return policy

    return decorate


def _settings_changed(*, setting: str, **kwargs: object) -> None:
    if setting in {"CACHEPATTERNS", "SESSION_COOKIE_AGE", "INSTALLED_APPS"}:
        site.forget()


setting_changed.connect(_settings_changed, dispatch_uid="cachepatterns.registry")
