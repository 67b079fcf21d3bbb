"""From what a statement did to the tags it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db import models

from cachepatterns.core import tag
from cachepatterns.core.change import UNKNOWN, Change
from cachepatterns.observe import BurstLog
from cachepatterns.policy import Narrowing, ResolvedPolicy
from cachepatterns.registry import site, table_name

MAX_TAGS = 1000
"""A write that concerns more tags than this bumps the model tag instead."""

log = BurstLog()
Values = Mapping[str, Any]
"""What the database holds in the narrowed columns, by attname."""
Heads = Sequence[tuple[Any, str, Callable[[Any], str], str]]
"""Of each narrowed field: where its value is, the kind of value, how that is spelled, and what
stands before it in tags."""


def tells_its_table(model: type[models.Model]) -> bool:
    """Whether writes through `model` may be told row by row.

    Of several models on one table (one managed, the others views of it) readers depend on
    one, whichever they asked; what is written through another, the coarse layer tells.
    """
    return model._meta.managed and site.tables().get(table_name(model)) is model


def row_tags(
    policy: ResolvedPolicy, database: str, rows: Iterable[tuple[Values | None, Values | None]]
) -> set[str]:
    """The tags of rows given as ``(before, after)``; `None` where there was no row."""
    return _tags_of(policy, database, rows, heads_of(policy, database))


def told_tags(
    policy: ResolvedPolicy,
    database: str,
    rows: Iterable[tuple[Sequence[Any] | None, Sequence[Any] | None]],
) -> set[str]:
    """The same of rows whose values stand in the order of `policy.told`."""
    heads = policy.memo.get(("told", database))
    if heads is None:
        places = {field.attname: place for place, field in enumerate(policy.told)}
        heads = tuple((places[name], *rest) for name, *rest in heads_of(policy, database))
        policy.memo["told", database] = heads
    return _tags_of(policy, database, rows, heads)


def _tags_of(
    policy: ResolvedPolicy,
    database: str,
    rows: Iterable[tuple[Any, Any]],
    heads: Heads,
) -> set[str]:
    """Both sides of every narrowed field count: a row that moves from one category to
    another concerns the lists of both. Where a value can not be spelled, the model tag.
    """
    label = policy.label
    tags = {tag.any_row_tag(label, database)}
    try:
        for before, after in rows:
            for place, _, spelled, head in heads:
                if before is not None:
                    old = before[place]
                    tags.add(head + (tag.NULL if old is None else spelled(old)))
                if after is not None:
                    new = after[place]
                    if before is None or new != old or type(new) is not type(old):
                        tags.add(head + (tag.NULL if new is None else spelled(new)))
            if len(tags) > MAX_TAGS:
                return model_tags(label, database)
    except (ValueError, TypeError, OverflowError):  # a value that can not be spelled
        return model_tags(label, database)
    if policy.pk is None:
        return model_tags(label, database)
    return tags


def model_tags(label: str, database: str) -> set[str]:
    """The coarse write: every entry of the model rests on its model tag."""
    return {tag.model_tag(label, database)}


def closing_tags(policy: ResolvedPolicy, database: str) -> set[str]:
    """What a statement in autocommit closes while it runs: all that it may turn out to touch."""
    tags = model_tags(policy.label, database)
    return tags | {tag.ALL_NAMED} if policy.has_rules else tags


def closing(tags: Iterable[str]) -> set[str]:
    """The same for what is told as `tags`: model tags, and ``#`` for all named ones."""
    return {tag.ALL_NAMED if name.startswith("#") else name for name in tags}


def heads_of(policy: ResolvedPolicy, database: str) -> Heads:
    """The narrowed fields, as they stand in tags; by their attnames."""
    known = policy.memo.get(("heads", database))
    if known is None:
        known = policy.memo["heads", database] = tuple(
            (
                n.attname,
                n.kind,
                tag.CANONICAL[n.kind],
                tag.field_tag(policy.label, database, _name(n), ""),
            )
            for n in policy.narrowing
        )
    found: Heads = known
    return found


def _name(narrowing: Narrowing) -> str:
    return "pk" if narrowing.field.primary_key else narrowing.name


def rule_tags(policy: ResolvedPolicy, changes: Sequence[Change]) -> set[str]:
    """The named tags that the policy's rules give; a rule that raises is logged.

    What a failed rule would have invalidated nobody knows, so it is logged as an error:
    the write itself stands.
    """
    if not policy.has_rules:
        return set()
    tags: set[str] = set()
    for change in changes:
        try:
            tags.update(site.rule_tags(policy, change))
        except Exception:
            log.log("The rules of %s failed for %r", policy.origin, change, exc_info=True)
    return tags


def unknown_change(model: type[models.Model], using: str, source: str) -> Change:
    """A change of which only the model is known."""
    return Change(
        model=model, pk=tag.ANY, before=UNKNOWN, after=UNKNOWN, using=using, source=source
    )
