"""The kinds of question that pass the cache by: the whole list, each with its reason."""

from collections.abc import Iterable

from django.db.models.functions import Now

from tests.app.models import Item, Secret
from tests.differential import world
from tests.differential.conditions import items
from tests.differential.generators import Ask, Unordered, question

BYPASSES: Iterable[tuple[str, str, Ask]] = [
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
