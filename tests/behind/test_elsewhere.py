"""Other keys, other databases, other ways to run: counted and written all the same."""

import datetime
import uuid

import pytest
from django.db import connections

from cachepatterns import increment, with_pending
from cachepatterns.behind import buffers
from cachepatterns.models import FlushedBatch
from cachepatterns.write import counts, embedded
from cachepatterns.write.flushing import Flusher
from tests.app.counted import Article, ByDay, ByKey, ByName
from tests.behind.conftest import noted, views
from tests.events import eventually
from tests.policies import policy_of

KEYS = {
    ByKey: [uuid.uuid4(), uuid.uuid4()],
    ByName: ["plain", "ä:b c%s'\""],
    ByDay: [datetime.date(2026, 1, 2), datetime.date(1999, 12, 31)],
}


@pytest.mark.parametrize("model", KEYS)
def test_rows_are_found_by_whatever_key_they_have(transactional_db, empty_cache, flusher, model):
    one, two = KEYS[model]
    for key in (one, two):
        model.objects.create(pk=key)
    increment(model, one, views=2)
    increment(model(pk=two), views=3)
    assert flusher.everything().rows == 2
    increment(model, str(one), views=1)
    found = {row.pk: row.counted.views for row in with_pending(model.objects.all())}
    assert found == {one: 3, two: 3}
    assert flusher.everything().lost == 0
    assert model.objects.uncached().get(pk=one).views == 3


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
def test_where_there_is_no_from_values_it_goes_by_case(both_databases, monkeypatch, flusher):
    monkeypatch.setattr(counts, "CHUNK", 2)
    made = [Article.objects.using("sqlite").create(title=str(number)) for number in range(5)]

    def titled(article):
        return Article.objects.using("sqlite").get(pk=article.pk)

    titled(made[0])
    for number, article in enumerate(made):
        increment(article, views=number, likes=-number)
    increment(Article, 99, using="sqlite", views=7)
    done = flusher.everything()
    assert (done.rows, done.lost) == (4, 7)
    rows = Article.objects.using("sqlite").uncached().order_by("pk")
    assert [row.views for row in rows] == [0, 1, 2, 3, 4]
    assert [row.likes for row in rows] == [None, -1, -2, -3, -4]
    assert FlushedBatch.objects.using("sqlite").count() == 1
    assert [row.counted.views for row in with_pending(rows)] == [0, 1, 2, 3, 4]
    increment(made[1], views=1)
    assert with_pending([made[1]])[0].counted.views == 2
    # A batch that is found once more is not written once more.
    (buffer,) = [b for b in buffers() if b.policy.model is Article and b.using == "sqlite"]
    assert flusher.flush(buffer).rows == 1
    assert flusher.flush(buffer).rows == 0
    connections["sqlite"].close()


def test_a_web_process_flushes_from_its_first_request_on(articles, settings, client):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FLUSH": "thread"}
    increment(articles[0], views=1)
    try:
        client.get("/no-such-page")
        eventually(lambda: views(articles[0]) == 1)
        increment(articles[0], views=2)
        eventually(lambda: views(articles[0]) == 3)
        thread = embedded._workers["flusher"][1]
        client.get("/no-such-page")
        assert embedded._workers["flusher"][1] is thread
    finally:
        embedded.stop()
    assert embedded._workers == {}
    assert noted() == 2


def test_without_being_asked_for_no_process_flushes(articles, client):
    client.get("/no-such-page")
    assert embedded._workers == {}


def test_a_buffer_that_can_not_be_written_keeps_no_other_one_waiting(articles, monkeypatch):
    """The table of the one is gone."""
    day = datetime.date(2026, 1, 2)
    ByDay.objects.create(pk=day)
    increment(ByDay, day, views=1)
    increment(articles[0], views=1)
    with policy_of(ByDay):
        monkeypatch.setattr(ByDay._meta, "db_table", "no_such_table")
        assert Flusher().everything().failed == ("app.byday",)
        monkeypatch.undo()
    assert views(articles[0]) == 1
    assert Flusher().everything().rows == 1
