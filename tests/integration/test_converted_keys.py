"""Foreign keys to texts, and to what is sent and read otherwise from time to time: what goes for
the key's own model goes for them."""

from types import SimpleNamespace

import pytest
from django.db import models
from django.utils import translation

from cachepatterns import uncached
from tests.temporary import registered, tables_of

pytestmark = pytest.mark.django_db(transaction=True)


class Spoken(models.CharField):
    """Sent and read with the language of the moment."""

    def get_db_prep_value(self, value, connection, prepared=False):
        value = super().get_db_prep_value(value, connection, prepared)
        return value if value is None or "-" in value else f"{translation.get_language()}-{value}"

    def from_db_value(self, value, expression, connection):
        return value and f"{translation.get_language()}:{value}"


def keys_and_who_refers_to_them():
    refers = {"on_delete": models.CASCADE, "db_constraint": False}
    word = registered("Word", key=Spoken(max_length=9, primary_key=True))
    use = registered(
        "Use",
        word=models.ForeignKey(word, **refers),
        only=models.OneToOneField(word, related_name="+", **refers),
    )
    text = registered("Text", key=models.CharField(max_length=9, primary_key=True))
    caption = registered(
        "Caption", text=models.OneToOneField(text, primary_key=True, related_name="+", **refers)
    )
    return [word, use, text, caption]


@pytest.fixture
def words(transactional_db, empty_cache):
    with tables_of(keys_and_who_refers_to_them) as (word, use, text, caption):
        with translation.override("en"):
            word.objects.create(key="a")
            use.objects.create(word_id="a", only_id="a")
        yield SimpleNamespace(word=word, use=use, text=text, caption=caption)


ASKS = {
    "rows by a foreign key": lambda w: len(w.use.objects.filter(word_id="a")),
    "by several": lambda w: len(w.use.objects.filter(word__in=["a", "b"])),
    "count": lambda w: w.use.objects.filter(word_id="a").count(),
    "exists": lambda w: w.use.objects.filter(word="a").exists(),
    "through it": lambda w: w.use.objects.filter(word__key="a").count(),
    "one by a unique key": lambda w: [u.pk for u in w.use.objects.filter(only="a")],
    "in bulk": lambda w: len(w.word.objects.in_bulk(["a"])),
    "rows of its own": lambda w: len(w.word.objects.filter(pk="a")),
    "greatest foreign key": lambda w: w.use.objects.aggregate(models.Max("word")),
    "greatest": lambda w: w.word.objects.aggregate(models.Max("key")),
    "values": lambda w: list(w.use.objects.values_list("word", flat=True)),
}


@pytest.mark.parametrize("name", ASKS)
def test_it_is_answered_by_the_language_of_who_asks(words, name):
    def answers():
        for language in ("en", "de", "en", "de", "en"):
            with translation.override(language):
                yield ASKS[name](words)

    with uncached():
        truth = list(answers())
    assert truth[0] != truth[1]
    assert list(answers()) == truth


def test_django_takes_the_first_of_several_values_for_a_key(words):
    words.caption.objects.create(text=words.text.objects.create(key="a"))
    for _ in range(3):
        assert words.caption.objects.get(pk=("a",)).pk == "a"
        assert list(words.caption.objects.in_bulk([("a",)])) == ["a"]
        with pytest.raises(words.text.DoesNotExist):
            words.text.objects.get(pk=("a",))
