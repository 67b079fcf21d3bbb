"""The page on what is not cached tells the truth: every reason is there, and happens."""

import re
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, connections, transaction

from cachepatterns import read, uncached
from cachepatterns.registry import site
from tests.app.caching import Plain
from tests.app.models import Category, Item, Secret
from tests.events import seen

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "what-is-cached.md").read_text(encoding="utf-8")
TOLD = re.findall(r"^\| `([^`]+)` \|", PAGE.partition("## Not cached")[2], re.MULTILINE)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class Odd:
    """A parameter that nobody can tell from another."""


def lists(queryset):
    return lambda: list(queryset.all())


@contextmanager
def in_between(monkeypatch, name):
    """The circumstances under which the reads of `name` are made."""
    if name in {"snapshot transaction", "private database", "unsupported database"}:
        monkeypatch.setattr(Plain, "databases", ("default", "sqlite"))
    if name == "private database":
        monkeypatch.setitem(connections["sqlite"].settings_dict, "NAME", ":memory:")
    if name == "unsupported database":
        monkeypatch.setattr(connections["sqlite"], "vendor", "oracle")
    if name in {"tier never", "… is never cached"}:
        monkeypatch.setattr(Plain, "tier", "never")
    site.forget()
    if name == "uncached block":
        with uncached():
            yield
    elif name in {"transaction has written", "broken transaction", "select_for_update"}:
        with transaction.atomic():
            if name == "transaction has written":
                Category.objects.create(name="x", slug="x")
            if name == "broken transaction":
                transaction.set_rollback(True)
            yield
    elif name == "snapshot transaction":
        with transaction.atomic("sqlite"):
            yield
    elif name == "manual transaction":
        transaction.set_autocommit(False)
        try:
            yield
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)
    elif name == "session state":
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO public")
        yield
        connection.close()
    else:
        yield


CATEGORIES = lists(Category.objects)
ON_SQLITE = lists(Category.objects.using("sqlite"))
READS = {
    "raw()": lambda: list(Item.objects.raw("SELECT * FROM app_item")),
    "raw() that may write": lambda: list(
        Item.objects.raw("UPDATE app_item SET stock = 1 RETURNING *", tags=[Item])
    ),
    "select_for_update": lists(Category.objects.select_for_update()),
    "iterator()": lambda: list(Category.objects.iterator()),
    "explain": lambda: Category.objects.all().explain(),
    "unknown word …": lists(Category.objects.order_by("?")),
    "unknown table …": lists(Category.objects.extra(tables=["pg_class"])),
    "parameter that may mean now": lists(Category.objects.filter(name="now")),
    "parameter without identity": lambda: list(
        Item.objects.raw("SELECT * FROM app_item WHERE name = %s", [Odd()], tags=[Item])
    ),
    "not registered": lists(Secret.objects),
    "… not registered": lists(Item.objects.filter(secret__word="x")),
    "… is never cached": lists(Item.objects.select_related("category")),
    "other database": ON_SQLITE,
    "private database": ON_SQLITE,
    "unsupported database": ON_SQLITE,
    "snapshot transaction": ON_SQLITE,
    "uncached()": lists(Category.objects.uncached()),
    "decides a write": lambda: Category.objects.get_or_create(slug="x", defaults={"name": "x"}),
}
"""What is read for each reason; all categories, where it is the circumstances that count."""


@pytest.fixture
def policies():
    """Policies looked up anew, before and after they were changed."""
    yield
    site.forget()


@pytest.mark.parametrize("name", TOLD)
def test_each_reason_on_the_page_happens(policies, fresh, settings, name):
    reading = READS.get(name, CATEGORIES)
    pattern = re.escape(name).replace("…", ".+")
    if name == "disabled":
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "ENABLED": False}
    with pytest.MonkeyPatch.context() as monkeypatch, in_between(monkeypatch, name):
        for _ in range(2):
            with seen() as found, suppress(DatabaseError):
                reading()
            assert [e.outcome for e in found.reads] == ["bypass"]
            assert re.fullmatch(pattern, found.reads[0].reason)


def test_no_reason_in_the_code_is_missing_from_the_page():
    given = re.compile(
        r"""(?:return |_bypass\(|reason = |REASON = |Dependencies\(reason=)f?"([^"]+)\""""
    )
    home = Path(read.__file__).parent
    names = ("compiler", "raw", "eligibility", "dependencies", "deciding")
    text = "".join((home / f"{name}.py").read_text() for name in names)
    reasons = {re.sub(r"\{[^}]*\}+", "…", reason) for reason in given.findall(text)}
    # The name of a narrowing's tag, and what no query of a registered model comes to.
    assert reasons - {"pk", "no table"} <= set(TOLD)
    assert len(TOLD) == len(set(TOLD)) > 20
