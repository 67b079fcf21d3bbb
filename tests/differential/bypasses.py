"""The kinds of question that pass the cache by: the whole list, each with its reason."""

from collections.abc import Iterable

from django.db.models import Count, Max, Sum
from django.db.models.functions import Now

from tests.app.models import Item, Secret
from tests.differential import world
from tests.differential.conditions import JOINS, draw, items
from tests.differential.generators import Ask, Unordered, question, sliced

BYPASSES: Iterable[tuple[str, str, Ask]] = [
    # Django runs an aggregate over a subquery outside of the query's own compiler.
    ("count sliced", "aggregate over subquery", lambda r, o: sliced(r, items(r, o)).count()),
    (
        "count distinct",
        "aggregate over subquery",
        lambda r, o: items(r, o).filter(draw(r, o, JOINS)).distinct().count(),
    ),
    (
        "count union",
        "aggregate over subquery",
        lambda r, o: items(r, o).order_by().union(items(r, o).order_by()).count(),
    ),
    (
        "aggregate annotated",
        "aggregate over subquery",
        lambda r, o: items(r, o).annotate(n=Count("labels")).aggregate(Sum("n"), Max("n")),
    ),
    # The answer is another one at every call.
    ("now", "unknown word", lambda r, o: list(items(r, o).filter(made__lt=Now()))),
    ("random order", "unknown word", lambda r, o: Unordered(o(Item).order_by("?"))),
    # Writes to this table are not watched.
    (
        "unregistered join",
        "app.secret not registered",
        lambda r, o: list(o(Item).filter(secret__word=world.word(r)).order_by("pk")),
    ),
    (
        "unregistered model",
        "not registered",
        lambda r, o: list(o(Secret).order_by("pk")),
    ),
    # Read bit by bit because it is large.
    ("iterator", "iterator()", lambda r, o: list(items(r, o).iterator(chunk_size=3))),
    # SQL of the user's own, whose tables Django does not quote.
    (
        "extra",
        "unknown word",
        lambda r, o: list(items(r, o).extra(where=["stock > %s"], params=[world.stock(r)])),
    ),
    (
        "raw",
        "raw()",
        lambda r, o: list(o(Item).raw("SELECT * FROM app_item ORDER BY id LIMIT 3")),
    ),
]
for _name, _reason, _ask in BYPASSES:
    question(_name, bypass=_reason)(_ask)
