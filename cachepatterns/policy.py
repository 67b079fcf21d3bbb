"""Policies: what a project says of a model, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models

from cachepatterns.core.behind import WriteBehind
from cachepatterns.core.change import Change
from cachepatterns.core.tier import Tier

if TYPE_CHECKING:
    from django.db.models import QuerySet


TEXT_FIELDS = (
    models.CharField,
    models.TextField,
    models.SlugField,
    models.EmailField,
    models.URLField,
)
"""Django's own fields that take every text, and send it as it is."""
INTEGER_FIELDS = (
    models.IntegerField,
    models.SmallIntegerField,
    models.BigIntegerField,
    models.PositiveIntegerField,
    models.PositiveSmallIntegerField,
    models.PositiveBigIntegerField,
)
AUTO_FIELDS = (models.AutoField, models.SmallAutoField, models.BigAutoField)
"""Django's own fields of integers that are chosen, and that the database gives."""


class ModelPolicy:
    """How fresh one model must be, and what else its writes invalidate.

    Subclass it in an app's ``caching.py`` and `register` it::

        @register(Product)
        class ProductPolicy(ModelPolicy):
            tier = "semi_static"
            narrow_by = ["brand"]

    Every attribute has a default; an empty policy caches in the ``semi_static`` tier.
    """

    tier: ClassVar[str] = "semi_static"
    """The name of a tier: built in, or of ``CACHEPATTERNS["TIERS"]``."""
    ttl: ClassVar[float | None] = None
    """Seconds, to override the tier's."""
    narrow_by: ClassVar[Sequence[str]] = ()
    """Fields by which lists are told apart, beside unique fields and foreign keys."""
    narrow_by_only: ClassVar[Sequence[str] | None] = None
    """Replaces the default ones altogether."""
    version: ClassVar[int] = 1
    """Raise it to make all entries of the model unreachable at once."""
    consistency: ClassVar[str] = "strict"
    """``"strict"``: no read that starts after a commit sees an older value, whatever crashes.
    ``"eventual"`` saves one round trip a write: the same from the moment the write returns."""
    accepts_staleness: ClassVar[float | None] = None
    """Seconds by which an answer may be older than Redis would have given, so that a ``local``
    tier may answer from the process's own memory. `None`: by none, and it does not."""
    serve_invalidated: ClassVar[float | None] = None
    """Seconds for which what a write has outdated may still be served while it is loaded anew in
    the background: a burst of writes then has no reader wait. For eventual policies only, and
    nobody's own writes are excepted. `None`: what is outdated is never served."""
    databases: ClassVar[Sequence[str]] = ("default",)
    """The database aliases whose rows are cached; with them their ``REPLICAS``."""
    depends_on: ClassVar[Sequence[type[models.Model] | str] | None] = None
    """For a model on a database view: the models (or ``"app.Model"``) whose tables the view
    reads, through tables too. Writes to any of them invalidate. ``()`` for an unmanaged table
    of its own, and for a materialized view, which changes when it is refreshed."""
    write_through: ClassVar[bool] = False
    """Whether rows are read again and stored when they have been written, so that the next
    reader finds them: one SELECT a write (docs/patterns/write-through.md)."""
    counters: ClassVar[Mapping[str, WriteBehind]] = {}
    """Integer fields whose increments are gathered in Redis and written in batches:
    ``{"view_count": WriteBehind(every="10s")}`` (docs/patterns/write-behind.md)."""
    events: ClassVar[WriteBehind | None] = None
    """``WriteBehind(events=True)``: rows given to `record_event` are gathered in Redis and
    inserted in batches. For models that are only appended to."""
    ignores: ClassVar[Sequence[str]] = ()
    """Fields whose writes do not concern cached rows, such as counters: an UPDATE of nothing else
    invalidates no row and no list, and what is shown of the field may be as old as the entry.
    Queries that filter, order or calculate by it stay exact (docs/patterns/write-behind.md)."""
    managers: ClassVar[str | None] = None
    """``"declared"``: only managers that are cached ones read through the cache. ``"all"``: every
    manager of the model does. `None`: as ``CACHEPATTERNS["MODELS"]["*"]`` says, else declared."""

    def affects(self, change: Change) -> Iterable[str]:
        """The named tags that `change` invalidates beside the model's own.

        Called once for each row written, and once with unknown values where the database
        could not tell the rows (see `Change`).
        """
        return ()

    def write_through_lists(self) -> Iterable[QuerySet[Any]]:
        """The querysets that are read again with the rows, where `write_through` is set: one
        SELECT each, at every write to the model. For small tables that are read as a whole."""
        return ()

    def warm(self) -> Iterable[QuerySet[Any]]:
        """The querysets that ``manage.py cache_warm`` evaluates."""
        return ()


def says_warm(policy: ModelPolicy) -> bool:
    """Whether the policy says at all what to warm."""
    return type(policy).warm is not ModelPolicy.warm


def void_if_never(policy: ModelPolicy) -> tuple[str, ...]:
    """The attributes of the policy that mean nothing once its tier is ``never``."""
    return tuple(name for name in ("ttl", "accepts_staleness") if getattr(policy, name))


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowing:
    """A field by which entries of a model are told apart. ``kind`` spells its values."""

    name: str
    attname: str
    column: str
    kind: str
    field: Any
    unique: bool


@dataclass(frozen=True, kw_only=True)
class ResolvedPolicy:
    """A model's policy with everything looked up: what the journeys work with."""

    model: type[models.Model]
    label: str
    tier: Tier
    narrowing: tuple[Narrowing, ...]
    fingerprint: str
    databases: frozenset[str]
    policy: ModelPolicy
    depends_on: tuple[type[models.Model], ...]
    """The models that feed the table, if it is a view; those that feed them not counted."""
    origin: str
    """Where it was declared, for people: ``shop.caching.ProductPolicy``."""
    is_from_settings: bool = False
    """Whether ``CACHEPATTERNS["MODELS"]`` says something of the model."""
    by_wildcard: bool = False
    """Whether nothing but ``CACHEPATTERNS["MODELS"]["*"]`` registers the model."""
    by_attname: dict[str, Narrowing] = field(default_factory=dict)

    @cached_property
    def unique(self) -> dict[str, Narrowing]:
        """The narrowings that find one row at most, by the names they are asked by."""
        return {
            name: n
            for n in self.narrowing
            if n.unique
            for name in ({n.name, n.attname} if not n.field.is_relation else {n.attname})
        }

    @cached_property
    def told(self) -> tuple[Any, ...]:
        """The fields whose columns a statement tells of the rows it writes: all of them only
        where rules may ask for any."""
        meta: Any = self.model._meta
        if self.has_rules:
            return tuple(meta.local_concrete_fields)
        return tuple(dict.fromkeys([*meta.pk_fields, *(n.field for n in self.narrowing)]))

    @cached_property
    def told_pk(self) -> tuple[int, ...]:
        """Where among `told` the primary key's fields stand."""
        return tuple(map(self.told.index, self.model._meta.pk_fields))

    @cached_property
    def ignored(self) -> frozenset[str]:
        """The columns of the fields that it ignores, but for those that can not be."""
        meta: Any = self.model._meta
        fields = [f for f in meta.local_concrete_fields if f.name in self.policy.ignores]
        return frozenset(f.column for f in fields if not self.why_not_ignored(f))

    def why_not_ignored(self, model_field: Any) -> str:
        """Why a field can not be ignored; empty if it can."""
        meta: Any = self.model._meta
        if model_field not in meta.local_concrete_fields:
            return "it is no column of the model's own table"
        if model_field.primary_key or model_field.unique or model_field.is_relation:
            return "rows are found by it"
        if model_field.attname in self.by_attname:
            return "lists are told apart by it (narrow_by)"
        for other in meta.local_concrete_fields:
            if getattr(other, "generated", False):
                known = getattr(other, "referenced_fields", None)
                if known is None or model_field in known or model_field is other:
                    return f"the generated field {other.name!r} follows it"
        return ""

    @cached_property
    def memo(self) -> dict[Any, Any]:
        """What the journeys work out once of this policy, each under a key of its own."""
        return {}

    @property
    def is_strict(self) -> bool:
        return self.policy.consistency != "eventual"

    @property
    def has_rules(self) -> bool:
        return type(self.policy).affects is not ModelPolicy.affects

    @property
    def pk(self) -> Narrowing | None:
        """The narrowing by primary key; `None` where it can not be spelled."""
        return self.by_attname.get(self.model._meta.pk.attname)


def kind_of(model_field: Any) -> str | None:
    """How a field's database values are spelled in tags, or `None` if they cannot be.

    Only stock field types: a subclass may compare or convert as it likes. A collation
    may make different texts equal, so text under one is not spelled.
    """
    target = model_field
    while getattr(target, "is_relation", False) and target.remote_field is not None:
        if isinstance(target.remote_field.model, str):  # to a model that is not installed
            return None
        if getattr(target, "many_to_many", False) or not hasattr(target, "target_field"):
            return None
        target = target.target_field
    if getattr(target, "generated", False):
        return None
    cls = type(target)
    if not cls.__module__.startswith("django.db.models."):
        return None
    if getattr(target, "db_collation", None):
        return None
    if isinstance(target, models.BooleanField):
        return "boolean"
    if isinstance(target, models.IntegerField):
        return "integer"
    if isinstance(target, models.UUIDField):
        return "uuid"
    if isinstance(target, models.DateField) and not isinstance(target, models.DateTimeField):
        return "date"
    if isinstance(target, models.CharField) and not isinstance(target, models.FileField):
        return "text"
    return None
