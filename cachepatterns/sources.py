"""What feeds a table that is no table: the models a database view reads.

Nobody can tell from the outside what a view reads, so its policy says it (``depends_on``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from django.apps import apps
from django.db import models

from cachepatterns.declarations import ModelType, concrete_model, find_model
from cachepatterns.policy import ModelPolicy


def table_name(model: ModelType) -> str:
    """The table's own name: lower case, without quotes and schema."""
    return _own_name(model._meta.db_table)


@lru_cache(maxsize=1024)
def _own_name(db_table: str) -> str:
    return db_table.rsplit(".", 1)[-1].strip('"`').lower()


def sources(policy: ModelPolicy) -> Iterator[ModelType]:
    """The models that `policy` names, each with the parents whose tables hold its columns.

    Names of no model are reported by a check, which could not run if this raised.
    """
    for named in named_sources(policy):
        model = source(named)
        if model is not None:
            yield concrete_model(model)
            yield from concrete_model(model)._meta.get_parent_list()


def named_sources(policy: ModelPolicy) -> list[object]:
    """What stands in ``depends_on``; a lone name is a list of one."""
    said = policy.depends_on
    return [said] if isinstance(said, str) else list(said or ())


def source(named: object) -> ModelType | None:
    """The installed model that `named` is, or names."""
    if isinstance(named, str):
        return find_model(named)
    return named if isinstance(named, type) and issubclass(named, models.Model) else None


def lacks_sources(model: ModelType, policy: ModelPolicy) -> bool:
    """Whether `model` may be a view, and nobody says what it reads.

    An unmanaged model on the table of a managed one is that table.
    """
    if model._meta.managed or policy.depends_on is not None:
        return False
    return not any(
        other._meta.managed and not other._meta.proxy and table_name(other) == table_name(model)
        for other in apps.get_models(include_auto_created=True)
    )
