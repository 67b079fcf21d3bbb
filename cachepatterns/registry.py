"""The central registry: which models are cached, how, and which rules their writes set off.

Filled by `register` (in each app's ``caching.py``, found like ``admin.py``) and by
``CACHEPATTERNS["MODELS"]`` for models of other people. Read by every journey.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b
from typing import Any, TypeVar

from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed

from cachepatterns.conf import config
from cachepatterns.core.change import Change
from cachepatterns.core.tier import BUILT_IN, NEVER, Tier
from cachepatterns.declarations import (
    ModelType,
    concrete_model,
    declaration,
    declared_in_settings,
    find_model,
)
from cachepatterns.exceptions import ConfigurationError
from cachepatterns.policy import ModelPolicy, Narrowing, ResolvedPolicy, kind_of
from cachepatterns.sources import lacks_sources, sources, table_name

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
        resolved = self._resolve(concrete)
        with self._lock:
            self._resolved[model] = resolved
        return resolved

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
        installed = apps.get_models(include_auto_created=True)
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
        if said is None:
            return None
        policy = said.policy()
        narrowing = tuple(narrowed_fields(model, policy))
        return ResolvedPolicy(
            model=model,
            label=model._meta.label_lower,
            # A view of which nobody says what it reads is reported by a check, and not cached.
            tier=NEVER if lacks_sources(model, policy) else _tier_of(policy),
            narrowing=narrowing,
            fingerprint=_fingerprint(model, policy),
            databases=frozenset(policy.databases),
            policy=policy,
            depends_on=tuple(sources(policy)),
            origin=said.origin,
            is_from_settings=said.is_from_settings,
            by_wildcard=said.by_wildcard,
            by_attname={n.attname: n for n in narrowing},
        )


def tiers() -> dict[str, Tier]:
    """The built-in tiers and those of the settings, by name."""
    jitter = config().JITTER
    found = {name: replace(tier, jitter=jitter) for name, tier in BUILT_IN.items()}
    found["session"] = Tier(name="session", ttl=settings.SESSION_COOKIE_AGE, jitter=0.0)
    for name, options in config().TIERS.items():
        base = found.get(name, found["semi_static"])
        found[name] = Tier(
            name=name,
            ttl=options.get("ttl", base.ttl),
            jitter=options.get("jitter", base.jitter),
            negative_ttl=options.get("negative_ttl", base.negative_ttl),
        )
    return found


def narrowed_fields(model: ModelType, policy: ModelPolicy) -> Iterator[Narrowing]:
    """The primary key first, then unique fields, then the others."""
    meta: Any = model._meta
    if policy.narrow_by_only is not None:
        wanted = _named(meta, policy.narrow_by_only)
    else:
        wanted = [f for f in meta.local_concrete_fields if f.unique or f.is_relation]
        wanted += _named(meta, policy.narrow_by)
    fields = [meta.pk, *sorted(wanted, key=lambda f: not getattr(f, "unique", False))]
    seen = set()
    for f in fields:
        kind = kind_of(f)
        column = getattr(f, "column", None)
        if kind is None or column is None or f.attname in seen or f.model is not model:
            continue
        seen.add(f.attname)
        yield Narrowing(
            name=f.name, attname=f.attname, column=column, kind=kind, field=f, unique=f.unique
        )


def _named(meta: Any, names: Iterable[str]) -> list[Any]:
    # Names of no field are reported by a check, which could not run if this raised.
    known = {f.name: f for f in meta.get_fields()}
    return [known[name] for name in names if name in known]


def _tier_of(policy: ModelPolicy) -> Tier:
    known = tiers()
    # An unknown tier is reported by a check; meanwhile nothing is cached.
    tier = known.get(policy.tier, NEVER)
    if policy.ttl is not None and tier.caches:
        return replace(tier, ttl=policy.ttl)
    return tier


def _fingerprint(model: ModelType, policy: ModelPolicy) -> str:
    """Changes whenever rows of the model would be stored otherwise."""
    parts = [str(policy.version), model._meta.db_table]
    parts += sorted(f"<{source._meta.label_lower}" for source in sources(policy))
    parts += [
        f"{f.attname}|{f.column}|{type(f).__module__}.{type(f).__qualname__}"
        for f in model._meta.concrete_fields
    ]
    return blake2b("\n".join(parts).encode(), digest_size=4).hexdigest()


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
