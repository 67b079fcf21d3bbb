"""``"*": {"managers": "all"}``: models and managers of people who know nothing of us."""

import copy
import pickle

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.state import ProjectState
from django.db.models.manager import Manager
from django.db.models.options import Options
from django.test.utils import CaptureQueriesContext, isolate_apps, modify_settings

from cachepatterns import ModelPolicy, cached
from cachepatterns.contrib.sessions import register_sessions
from cachepatterns.converting import cached_class
from cachepatterns.queryset import CachedQuerySetMixin
from cachepatterns.registry import site
from tests.app.models import Item, Note, Secret
from tests.calm import nobody_writes
from tests.others.models import (
    Atlas,
    Author,
    Book,
    BookQuerySet,
    InPrint,
    Loud,
    Pocket,
    Remark,
    Reprint,
    Seat,
    Shelf,
    Summary,
    Tag,
    Visit,
)

pytestmark = pytest.mark.django_db(transaction=True)

EVERYTHING = {"*": {"tier": "semi_static", "managers": "all"}}


@pytest.fixture
def say(settings):
    """Set ``MODELS`` for the time of a test."""

    def set_to(models):
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "MODELS": models}
        nobody_writes()

    return set_to


@pytest.fixture
def everything(say, fresh):
    say(EVERYTHING)


@pytest.fixture
def book(everything):
    author = Author.objects.create(name="a")
    book = Book.shelf.create(title="b", author=author, pages=400)
    book.tags.add(Tag.words.create(word="t"))
    Remark.objects.create(text="r", about=author)
    return book


def queries(read):
    with CaptureQueriesContext(connection) as captured:
        answer = read()
    return answer, len(captured)


READS = {
    "a manager Django made": lambda book: list(Author.objects.values_list("name")),
    "a row": lambda book: Author.objects.get(pk=book.author_id).name,
    "no `objects`": lambda book: [tag.word for tag in Tag.words.all()],
    "a filtered default": lambda book: [b.title for b in Book.sold.filter(pages=400)],
    "a custom manager": lambda book: [b.title for b in Book.shelf.thick()],
    "as_manager()": lambda book: Book.thick.thick().count(),
    "the base manager": lambda book: Book._base_manager.get(pk=book.pk).title,
    "a foreign key": lambda book: Book.shelf.get(pk=book.pk).author.name,
    "related objects": lambda book: [b.title for b in book.author.books.all()],
    "many to many": lambda book: [tag.word for tag in book.tags.all()],
    "its reverse": lambda book: [b.title for t in Tag.words.all() for b in t.books.all()],
    "its table": lambda book: Book.tags.through.objects.filter(book=book).count(),
    "a generic relation": lambda book: [r.text for r in book.author.remarks.all()],
    "prefetches": lambda book: [
        tag.word for b in Book.sold.prefetch_related("tags") for tag in b.tags.all()
    ],
    "a proxy": lambda book: [b.title for b in Pocket.shelf.all()],
    "a subquery": lambda book: Author.objects.filter(books__in=Book.sold.all()).count(),
}


@pytest.mark.parametrize("name", READS)
def test_every_manager_reads_through_the_cache(book, name):
    first, needed = queries(lambda: READS[name](book))
    assert first
    assert needed
    assert queries(lambda: READS[name](book)) == (first, 0)


def test_what_plain_code_writes_is_seen(book):
    def told():
        return [b.title for b in Book.sold.all()], Book.shelf.get(pk=book.pk).pages

    told()
    assert told() == (["b"], 400)
    Book.shelf.filter(pk=book.pk).update(title="c")
    book.refresh_from_db()
    book.pages = 7
    book.save()
    assert told() == (["c"], 7)
    Book.sold.create(title="d", author=book.author)
    assert told() == (["c", "d"], 7)
    Book.shelf.filter(title="d").delete()
    assert told() == (["c"], 7)


def test_children_and_parents_see_each_others_writes(everything):
    author = Author.objects.create(name="a")
    reprint = Reprint.shelf.create(title="old", author=author)
    assert [Reprint.sold.get().title, Book.sold.get().title] == ["old", "old"]
    Book.shelf.update(title="by the parent")
    assert [Reprint.sold.get().title, Book.sold.get().title] == ["by the parent"] * 2
    reprint.title = "by the child"
    reprint.save()
    assert [Reprint.sold.get().title, Book.sold.get().title] == ["by the child"] * 2
    assert queries(lambda: [Reprint.sold.get(), Book.sold.get()])[1] == 0


def test_rows_with_composite_keys(everything):
    author = Author.objects.create(name="a")
    seat = Seat.objects.create(row=1, number=2)

    def told():
        return Seat.objects.get(pk=(1, 2)).reader, [s.pk for s in author.seats.all()]

    assert told() == (None, [])
    seat.reader = author
    seat.save()
    assert told() == (author, [(1, 2)])
    assert queries(lambda: author.seats.count()) == (1, 1)
    assert queries(lambda: author.seats.count()) == (1, 0)
    Seat.objects.filter(pk=(1, 2)).update(reader=None)
    assert told() == (None, [])
    Seat.objects.bulk_update([seat], ["reader"])
    assert told() == (author, [(1, 2)])
    seat.delete()
    assert list(Seat.objects.all()) == []


def test_managers_are_still_what_they_were(everything):
    assert isinstance(Book.sold, InPrint)
    assert isinstance(Book.shelf, Shelf)
    assert isinstance(Book.shelf.thick(), BookQuerySet)
    assert (Book._default_manager, Book._base_manager) == (Book.sold, Book.shelf)
    assert Book._default_manager is Book.sold
    assert Book.shelf.word == "oak"
    assert str(Book.sold) == "others.Book.sold"
    assert [manager.name for manager in Book._meta.managers] == ["sold", "shelf", "thick"]
    assert isinstance(Atlas.owned, InPrint)
    assert isinstance(Author._base_manager, Manager)
    assert Author._base_manager.auto_created


def test_managers_compare_and_deconstruct_as_their_originals(everything):
    assert Book.shelf == Shelf("oak")
    assert Shelf("oak") == Book.shelf
    assert Book.shelf != Shelf("elm")
    assert Shelf("elm") != Book.shelf
    assert Book.shelf == Pocket.shelf
    assert Book.shelf.deconstruct() == Shelf("oak").deconstruct()
    assert Book.thick.deconstruct() == BookQuerySet.as_manager().deconstruct()
    assert User.objects.deconstruct()[1] == "django.contrib.auth.models.UserManager"
    one, two = Author.objects.create(name="a"), Author.objects.create(name="b")
    assert one.books == one.books
    assert one.books != two.books
    assert one.books != one.remarks


def test_nothing_is_global(everything):
    assert type(Author.objects) is not Manager
    assert Manager()._queryset_class is models.QuerySet
    assert InPrint.get_queryset.__qualname__ == "InPrint.get_queryset"
    with isolate_apps("tests.others"):

        class Island(Book):
            class Meta:
                app_label = "others"

    assert type(Island.sold) is InPrint
    assert type(Island._base_manager) is Shelf


def test_migrations_see_no_change(everything, say):
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    adopted = ProjectState.from_apps(apps)
    say({})
    plain = ProjectState.from_apps(apps)
    for before, after in [(plain, adopted), (adopted, plain)]:
        assert MigrationAutodetector(before, after).changes(MigrationGraph()) == {}
    historical = adopted.apps.get_model("others", "Book")
    assert type(historical.shelf) is Shelf
    assert type(historical._base_manager) is Shelf


def test_the_managers_are_given_back(everything, say, book):
    list(book.author.books.all())
    say({})
    assert type(Book.sold) is InPrint
    assert type(Author._base_manager) is Manager
    assert type(Book._meta) is Options
    assert not isinstance(book.author.books.all(), CachedQuerySetMixin)
    assert site.policy_for(Book) is None


def test_querysets_managers_and_rows_can_be_pickled(book):
    def through_pickle(what):
        return pickle.loads(pickle.dumps(what))

    for queryset in [Book.sold.all(), Book.shelf.thick(), Author.objects.filter(name="a")]:
        found = through_pickle(queryset)
        assert list(found) == list(queryset)
        assert type(found) is type(queryset)
        assert type(found.query) is type(queryset.query)
        assert isinstance(copy.copy(queryset).all(), CachedQuerySetMixin)
    again = Book.sold.all()
    again.query = through_pickle(Book.sold.filter(pages=400).query)
    assert list(again) == [book]
    prefetched = through_pickle(Book.sold.prefetch_related("tags").get())
    assert queries(lambda: [tag.word for tag in prefetched.tags.all()]) == (["t"], 0)
    shelf = through_pickle(Book.shelf)
    assert (type(shelf), shelf.word, shelf) == (type(Book.shelf), "oak", Book.shelf)
    assert list(copy.copy(Book.shelf).all()) == [book]


def test_words_of_their_own_are_not_taken_away(everything):
    key = Loud.objects.create(name="a").pk
    assert Loud.objects.all().cached() == "their own word"
    for _ in range(2):
        assert Loud.objects.get(pk=key).was_loud
    assert queries(lambda: Loud.objects.get(pk=key))[1] == 0
    assert [row.pk for row in Loud.odd.all()] == [key]
    assert queries(lambda: Loud.odd.filter(pk=key).count()) == (1, 1)
    assert queries(lambda: Loud.odd.filter(pk=key).count()) == (1, 0)
    assert repr(Loud.odd.all()).startswith("<OddQuerySet [")
    assert queries(lambda: list(cached(Loud.objects.all(), ttl=5)))[1] == 1


# -- which models -------------------------------------------------------------------------


class Peers(models.QuerySet):
    """Does something with the rows that it has just fetched, and with no others."""

    def _fetch_all(self):
        is_first = self._result_cache is None
        super()._fetch_all()
        if is_first:
            for found in self._result_cache:
                found.peers = len(self._result_cache)


def test_a_queryset_that_fetches_in_a_way_of_its_own_does_so(book):
    """django-auto-prefetch's does: it sees by the empty result that it is the first."""
    plain, ours = Peers(Author), cached_class(Peers)(Author)
    for read in (
        lambda q: [author.peers for author in q.all()],
        lambda q: [author.peers for author in q.filter(name="a")],
        lambda q: q.get(name="a").peers,
        lambda q: q.get(pk=book.author_id).peers,
        lambda q: q.filter(name="a").first().peers,
        lambda q: Book.sold.prefetch_related(models.Prefetch("author", q.all()))[0].author.peers,
    ):
        truth = read(plain)
        assert [read(ours) for _ in range(3)] == [truth] * 3
    assert queries(lambda: list(ours.filter(name="a")))[1] == 0


@pytest.fixture
def other_sessions():
    """Sessions of an engine that has registered nothing."""
    site.unregister(Session)
    yield
    register_sessions()


def test_models_that_are_left_alone(other_sessions, everything):
    for model in (Session, Visit, Summary):
        assert site.policy_for(model) is None
        assert type(model._default_manager)._queryset_class is models.QuerySet
    labels = {policy.label for policy in site.policies()}
    assert not {label for label in labels if label.startswith("cachepatterns.")}
    assert {"others.book", "others.book_tags", "auth.user", "app.secret"} <= labels


def test_a_session_that_is_named_is_cached(other_sessions, say, fresh):
    say({**EVERYTHING, "sessions.Session": {"tier": "volatile"}})
    assert site.policy_for(Session).tier.name == "volatile"
    assert isinstance(Session.objects.all(), CachedQuerySetMixin)


def test_what_is_said_of_a_model_by_name_goes_first(say, fresh):
    say(
        {
            "auth.Group": {"tier": "static"},
            "auth.User": {"tier": "never", "managers": "declared"},
            **EVERYTHING,
        }
    )
    assert site.policy_for(Group).tier.name == "static"
    assert site.policy_for(ContentType).tier.name == "semi_static"
    assert site.policy_for(Item).origin.endswith("ItemPolicy")
    assert isinstance(Group.objects.all(), CachedQuerySetMixin)
    assert isinstance(Note.plain.all(), CachedQuerySetMixin)
    assert type(User.objects.all()) is models.QuerySet


def test_all_managers_of_one_model(say, fresh):
    say({"others.Book": {"managers": "all"}})
    for manager in (Book.sold, Book.shelf, Book._base_manager, Pocket.sold):
        assert isinstance(manager.all(), CachedQuerySetMixin)
    author = Author.objects.create(name="a")
    assert isinstance(author.books.all(), CachedQuerySetMixin)
    assert type(Author.objects.all()) is models.QuerySet
    assert type(Reprint.sold.all()) is BookQuerySet


def test_without_managers_models_are_registered_but_read_as_ever(say, fresh):
    say({"*": {"tier": "static"}})
    assert type(Author.objects) is Manager
    assert isinstance(Secret.objects.all(), CachedQuerySetMixin)
    Author.objects.create(name="a")
    assert queries(lambda: list(cached(Author.objects.all())))[1] == 1
    assert queries(lambda: list(cached(Author.objects.all())))[1] == 0


def test_a_policy_may_ask_for_all_managers(fresh):
    site.register(Book, type("BookPolicy", (ModelPolicy,), {"managers": "all"}))
    try:
        assert isinstance(Book.sold.all(), CachedQuerySetMixin)
    finally:
        site.unregister(Book)
    assert type(Book.sold) is InPrint


@pytest.fixture
def late(everything):
    """A model that appears when everything is set up already."""
    installed = apps.all_models["others"]
    before = dict(installed)

    class Late(models.Model):  # noqa: DJ008
        book = models.ForeignKey(Book, on_delete=models.CASCADE, related_name="late_ones")
        labels = models.ManyToManyField(Tag)

        chosen = InPrint.from_queryset(BookQuerySet)()
        plain = models.Manager()

        class Meta:
            app_label = "others"

    with connection.schema_editor() as editor:
        editor.create_model(Late)
    nobody_writes()
    yield Late
    with connection.schema_editor() as editor:
        editor.delete_model(Late)
    installed.clear()
    installed.update(before)
    apps.clear_cache()
    for related in (Book, Tag):
        for name in ("late_ones", "late_set"):
            if name in vars(related):
                delattr(related, name)


def test_a_model_that_appears_late_is_cached(late):
    author = Author.objects.create(name="a")
    book = Book.shelf.create(title="b", author=author)
    row = late.plain.create(book=book)
    row.labels.add(Tag.words.create(word="t"))
    for read in (
        lambda: late.plain.get(pk=row.pk).book.title,
        lambda: list(book.late_ones(manager="plain").all()),
        lambda: [tag.word for tag in row.labels.all()],
    ):
        assert queries(read)[1]
        assert queries(read)[1] == 0
    late.plain.all().delete()
    assert not late.plain.exists()


def test_apps_may_be_installed_later(everything, say, settings, tmp_path, monkeypatch):
    """Their models are made while the list of models is not ready."""
    say({"others.Book": {"tier": "static"}, **EVERYTHING})
    (tmp_path / "annex").mkdir()
    (tmp_path / "annex" / "__init__.py").touch()
    (tmp_path / "annex" / "models.py").write_text(
        "from django.db import models\n"
        "class Wing(models.Model):\n"
        "    book = models.ForeignKey('others.Book', models.CASCADE, related_name='+')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with modify_settings(INSTALLED_APPS={"append": "annex"}):
        from annex.models import Wing

        assert site.policy_for(Wing).by_wildcard
        assert isinstance(Wing.objects.all(), CachedQuerySetMixin)
    assert "annex_wing" not in site.tables()
    apps.all_models.pop("annex")
    apps.clear_cache()


# -- what it costs ------------------------------------------------------------------------


def costs(book):
    """How many statements the usual writes take."""
    tag, author = Tag.words.create(word="new"), Author.objects.create(name="new")
    steps = {
        "m2m add": lambda: book.tags.add(tag),
        "m2m add again": lambda: book.tags.add(tag),
        "m2m remove": lambda: book.tags.remove(tag),
        "m2m set": lambda: book.tags.set([tag]),
        "m2m clear": lambda: book.tags.clear(),
        "save": lambda: author.save(),
        "update": lambda: Book.shelf.update(pages=1),
        "bulk_create": lambda: Tag.words.bulk_create([Tag(word="x"), Tag(word="y")]),
        "delete of a queryset": lambda: Remark.objects.filter(text="r").delete(),
        "delete that cascades": lambda: Author.objects.filter(name="a").delete(),
        "delete of an instance": lambda: tag.delete(),
    }
    found = {}
    for name, step in steps.items():
        nobody_writes()
        found[name] = queries(step)[1]
    return found


@pytest.mark.without_outbox
def test_no_statement_is_added_to_anybodys_writes(say, fresh):
    def take():
        author = Author.objects.create(name="a")
        Remark.objects.create(text="r", about=author)
        return costs(Book.shelf.create(title="b", author=author))

    say({})
    plain = take()
    Author.objects.all().delete()
    say(EVERYTHING)
    assert take() == plain


def test_counting_related_rows_still_needs_no_join(book):
    for ask in (book.tags.count, book.tags.exists):
        with CaptureQueriesContext(connection) as captured:
            assert ask() == 1
        assert len(captured) == 1
        assert "JOIN" not in captured[0]["sql"]
        assert queries(ask) == (1, 0)


def test_receivers_are_connected_to_nobody_by_the_star(everything):
    from django.db.models import signals

    from cachepatterns import receivers

    receivers.connect()
    for signal in (signals.post_save, signals.pre_delete, signals.post_delete):
        assert not signal.has_listeners(Author)
        assert not signal.has_listeners(Tag)


class Cookbook(models.QuerySet):
    """Says what it has to say by words that are short."""

    def recipe(self, name):
        return self._like(name)._first()

    def _like(self, name):
        return self._noted(name=name)

    def _noted(self, **conditions):
        return self._called(conditions).filter(**conditions)

    def _called(self, conditions):
        assert conditions
        return self._begin()

    def _begin(self):
        assert not self._is_stock() + self._notes() + self._recipe()
        return self.order_by("pk")

    def _first(self):
        return self[:1].get()

    def _is_stock(self):
        return 0

    _notes = _recipe = _is_stock


def test_words_that_a_queryset_has_for_itself_are_its_own(book):
    truth = Cookbook(Author).recipe("a")
    for _ in range(3):
        assert cached_class(Cookbook)(Author).recipe("a") == truth
        assert cached_class(Cookbook)(Author).filter(name="a").recipe("a") == truth
