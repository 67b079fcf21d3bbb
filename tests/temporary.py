"""Models of the tests' app for the time of a test, with tables and policies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connection, models

from cachepatterns import CachedManager, ModelPolicy
from cachepatterns.registry import site
from tests.calm import nobody_writes


def registered(name: str, **fields: Any) -> Any:
    """A model of these fields, with a policy of all defaults."""
    meta = type("Meta", (), {"app_label": "app", "base_manager_name": "objects"})
    attributes = {"__module__": __name__, "Meta": meta, "objects": CachedManager(), **fields}
    model = type(name, (models.Model,), attributes)
    site.register(model, type(f"{name}Policy", (ModelPolicy,), {}))
    return model


@contextmanager
def tables_of(make: Callable[[], list[Any]]) -> Iterator[list[Any]]:
    """The models that `make` makes, each after those that it refers to. They are nobody's
    afterwards, whatever happens."""
    installed = apps.all_models["app"]
    before = dict(installed)
    made: list[Any] = []
    try:
        made += make()
        with connection.schema_editor() as editor:
            for model in made:
                editor.create_model(model)
        nobody_writes()
        yield made
        with connection.schema_editor() as editor:
            for model in reversed(made):
                editor.delete_model(model)
    finally:
        for model in made:
            site.unregister(model)
        installed.clear()
        installed.update(before)
        apps.clear_cache()
        site.forget()
