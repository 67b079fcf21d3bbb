"""What is said of one model, and where: its policy, its name in the settings, or ``"*"``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.apps import apps
from django.db import models

from cachepatterns.conf import config
from cachepatterns.policy import ModelPolicy

ModelType = type[models.Model]

EVERY = "*"
"""The label in ``CACHEPATTERNS["MODELS"]`` of every model that nothing else registers."""
EVERY_OPTIONS = frozenset({"tier", "ttl", "managers", "consistency", "databases", "version"})
"""What may be said of all models at once; the other options name fields of one."""
SECRETS = frozenset({"sessions.session", "authtoken.token"})
"""Models whose rows let people in: cached only where somebody says so by name."""


class Declaration(NamedTuple):
    """A model's policy class, where it was declared, and which managers it makes cached."""

    policy: type[ModelPolicy]
    origin: str
    managers: str
    is_from_settings: bool
    by_wildcard: bool


def declaration(model: ModelType, registered: type[ModelPolicy] | None) -> Declaration | None:
    """What is said of a concrete `model`, for which the policy `registered` is known, if any."""
    policy = registered
    origin = f"{policy.__module__}.{policy.__qualname__}" if policy is not None else ""
    by_name = False
    for label, attributes in config().MODELS.items():
        found = find_model(label)
        if found is not None and concrete_model(found) is model:
            policy = type("SettingsPolicy", (policy or ModelPolicy,), dict(attributes))
            origin, by_name = f'CACHEPATTERNS["MODELS"]["{label}"]', True
    every = config().MODELS.get(EVERY)
    by_wildcard = policy is None and every is not None and covers(model)
    if by_wildcard:
        policy = type("WildcardPolicy", (ModelPolicy,), dict(every or {}))
        origin = f'CACHEPATTERNS["MODELS"]["{EVERY}"]'
    if policy is None:
        return None
    managers = policy.managers or (every or {}).get("managers") or "declared"
    return Declaration(policy, origin, managers, by_name or by_wildcard, by_wildcard)


def declared_in_settings() -> Iterator[ModelType]:
    """The models that ``CACHEPATTERNS["MODELS"]`` names, and those that it means by ``"*"``."""
    for label in config().MODELS:
        found = find_model(label)
        if found is not None:
            yield concrete_model(found)
    if EVERY in config().MODELS:
        for model in apps.get_models(include_auto_created=True):
            if not model._meta.proxy and covers(model):
                yield model


def covers(model: ModelType) -> bool:
    """Whether ``"*"`` means `model`, given that nothing else registers it.

    Left alone: models outside the global registry (historical ones, isolated ones), swapped
    ones, unmanaged ones (nobody knows what a view reads), our own, sessions and tokens.
    """
    meta: Any = model._meta
    return (
        meta.apps is apps
        and meta.managed
        and not meta.swapped
        and not meta.abstract
        and meta.app_label != "cachepatterns"
        and not is_secret(model)
    )


def is_secret(model: ModelType) -> bool:
    """Whether the rows let people in."""
    return model._meta.label_lower in SECRETS or _is_session(model)


def _is_session(model: ModelType) -> bool:
    """Sessions, of whatever app, are written at every request and let people in."""
    return any(base.__name__ == "AbstractBaseSession" for base in model.__mro__)


def concrete_model(model: ModelType) -> ModelType:
    return model._meta.concrete_model or model


def tag_or_model(text: str) -> str | ModelType:
    """What a text names where tags and models may be named: ``"#catalog:5"``, ``"shop.Product"``.

    Raises `ValueError` for what is neither: nobody would ever hear of it.
    """
    if text.startswith("#") or "@" in text:
        return text
    model = find_model(text)
    if model is None:
        raise ValueError(
            f"{text!r} is neither a tag (cachepatterns.tag(…) makes them) nor a model: name one "
            'as "app.Model".'
        )
    return model


def find_model(label: str) -> ModelType | None:
    """The model of that label; while models are still being loaded, if it is loaded already."""
    try:
        if apps.models_ready:
            return apps.get_model(label)
        return apps.get_registered_model(*label.split("."))
    except (LookupError, ValueError, TypeError):
        return None
