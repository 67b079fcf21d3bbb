"""Increments: gathered, shown, written; and what happens where they can not be."""

import datetime
import uuid

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from cachepatterns import (
    WriteBehind,
    aincrement,
    increment,
    pending,
    record_event,
    with_pending,
)
from cachepatterns.backends.store import counters_store
from cachepatterns.checks.behind import check_behind
from cachepatterns.exceptions import BackendError, CachePatternsError
from cachepatterns.live.behind import behind_findings
from cachepatterns.models import FlushedBatch
from cachepatterns.observe import PatternEvent
from cachepatterns.stats.behinds import behinds
from cachepatterns.write import flushing
from tests.app.counted import Article, Visit
from tests.app.models import Item
from tests.behind.conftest import noted, views
from tests.events import outcome_of, seen
from tests.policies import policy_of


def done(found) -> dict[str, int]:
    counted: dict[str, int] = {}
    for e in found.events:
        if isinstance(e, PatternEvent):
            name = f"{e.what}: {e.reason}" if e.reason else e.what
            counted[name] = counted.get(name, 0) + e.count
    return counted


def counted(article) -> int:
    return with_pending([article])[0].counted.views


def test_increments_send_no_statement_and_are_shown_at_once(articles, django_assert_num_queries):
    article = articles[0]
    assert counted(article) == 0
    with django_assert_num_queries(0):
        increment(article, views=2)
        increment(Article, article.pk, views=1)
        increment(Article, str(article.pk), views=-1, likes=1)
        Article.objects.increment(article.pk, views=1)
        async_to_sync(aincrement)(article, views=1)
        assert counted(article) == 4
    assert views(article) == 0
    assert pending(article) == {"views": 4, "likes": 1}
    assert article.views == 0


def test_a_batch_is_one_statement_and_invalidates_no_row(articles, flusher):
    def read():
        return Article.objects.get(pk=articles[0].pk)

    def best():
        return [article.pk for article in Article.objects.order_by("-views", "pk")]

    read(), best()
    for number, article in enumerate(articles):
        increment(article, views=number + 1)
    with CaptureQueriesContext(connection) as asked:
        assert flusher.everything().rows == 3
    writes = [q["sql"] for q in asked if q["sql"].startswith("UPDATE")]
    assert len(writes) == 1
    assert connection.vendor != "postgresql" or "FROM (VALUES" in writes[0]
    assert outcome_of(read) == "hit"
    assert best() == [article.pk for article in reversed(articles)]
    assert [counted(article) for article in articles] == [1, 2, 3]
    assert [views(article) for article in articles] == [1, 2, 3]


def test_what_is_shown_is_right_at_each_step_of_a_flush(articles, flusher, monkeypatch):
    """Also where a reader comes between the COMMIT and the drop, when both hold the increments."""
    article, shown = articles[0], []
    counted(article)
    monkeypatch.setattr(
        flushing, "reached", lambda step: shown.append((step, _elsewhere(article)))
    )
    increment(article, views=5)
    flusher.everything()
    assert shown[: len(flushing.STEPS)] == [(step, 5) for step in flushing.STEPS]
    assert counted(article) == 5


def _elsewhere(article) -> int:
    from tests.integration.threads import running

    with running(lambda: counted(Article(pk=article.pk))) as answer:
        return answer()


def test_an_instance_may_be_saved_with_what_was_shown(articles, flusher):
    article = Article.objects.get(pk=articles[0].pk)
    increment(article, views=5)
    with_pending([article])
    article.title = "new"
    article.save()
    flusher.everything()
    assert views(article) == 5


def test_a_counter_that_is_not_ignored_invalidates_its_rows_alone(articles, flusher):
    one, two, _ = articles

    def read(article):
        return lambda: Article.objects.get(pk=article.pk)

    read(one)(), read(two)()
    increment(one, likes=3)
    with seen() as found:
        flusher.everything()
    assert [event.source for event in found.invalidations] == ["counters"]
    assert read(one)().likes == 3
    assert outcome_of(read(two)) == "hit"


def test_rules_are_asked_of_a_counter_that_is_not_ignored(articles, flusher, monkeypatch):
    from cachepatterns import ModelPolicy
    from cachepatterns.registry import site

    changes = []

    def affects(self, change):
        changes.append((change.before.likes, change.after.likes, change.changed("likes")))
        return ()

    policy = type(site.policy_for(Article).policy)
    assert issubclass(policy, ModelPolicy)
    Article.objects.update(likes=1)
    with policy_of(Article, affects=affects):
        increment(articles[0], likes=3)
        flusher.everything()
    assert changes == [(1, 4, True)]


def test_rows_that_are_gone_are_reported_and_stop_nobody(articles, flusher):
    gone = articles[0].pk
    increment(Article, gone, views=5)
    increment(articles[1], views=1)
    articles[0].delete()
    with seen() as found:
        flusher.everything()
    assert done(found)["increments lost: no such row"] == 5
    assert views(articles[1]) == 1


@pytest.mark.parametrize("amount", [40_000, -40_000])
def test_a_value_that_outgrows_its_column_is_reported_and_stops_nobody(articles, flusher, amount):
    increment(articles[0], likes=amount)
    increment(articles[1], likes=7)
    with seen() as found:
        assert flusher.everything().rows == 1
    assert done(found)["increments lost: refused by the database"] == 40_000
    found = Article.objects.uncached().order_by("pk").values_list("likes", flat=True)
    assert list(found) == [None, 7, None]


def test_a_counter_that_is_declared_no_more_is_reported(articles, flusher):
    increment(articles[0], likes=2, views=1)
    with policy_of(Article, counters={"views": WriteBehind()}), seen() as found:
        flusher.everything()
    assert done(found)["increments lost: no such counter"] == 2
    assert views(articles[0]) == 1


def test_many_rows_go_in_several_batches(transactional_db, empty_cache, flusher, monkeypatch):
    monkeypatch.setattr(flushing, "BATCH", 100)
    made = Article.objects.bulk_create(Article(title=str(n)) for n in range(450))
    for article in made:
        increment(article, views=article.pk)
    done = flusher.everything()
    assert (done.rows, done.batches) == (450, 5)
    assert all(row.views == row.pk for row in Article.objects.uncached())


def test_a_flush_ends_though_others_go_on_counting(articles, flusher, monkeypatch):
    def reached(step):
        if step == flushing.TAKEN:
            increment(articles[1], views=1)

    monkeypatch.setattr(flushing, "reached", reached)
    increment(articles[0], views=1)
    assert flusher.everything().batches == 1
    assert pending(articles[1])["views"] == 1


def test_increments_take_part_in_no_transaction(articles, flusher):
    with transaction.atomic():
        increment(articles[0], views=1)
        transaction.set_rollback(True)
    flusher.everything()
    assert views(articles[0]) == 1


def test_a_flush_within_a_transaction_is_refused(articles, flusher):
    """It would drop the batch before the COMMIT."""
    increment(articles[0], views=1)
    with transaction.atomic():
        assert flusher.everything().failed == ("app.article",)
    flusher.everything()
    assert views(articles[0]) == 1


# -- Redis fails ----------------------------------------------------------------------------


@pytest.fixture
def no_redis(monkeypatch):
    def fail(*args, **kwargs):
        raise BackendError("cut")

    backend = counters_store().backend
    for name in ("put_counts", "put_event", "waiting_counts", "backlog"):
        monkeypatch.setattr(backend, name, fail)


def test_without_redis_increments_are_written_directly(articles, no_redis):
    with seen() as found:
        increment(articles[0], views=2)
        increment(articles[0], likes=1)
    assert done(found) == {"increments written directly: cache failed": 2}
    assert views(articles[0]) == 2
    assert counted(articles[0]) == 2
    assert pending(articles[0]) == {"views": 0, "likes": 0}


def test_without_redis_events_are_inserted_directly(articles, no_redis):
    record_event(Visit, words="a")
    assert Visit.objects.get().words == "a"


def test_a_batch_that_redis_has_evicted_is_told(articles, flusher, monkeypatch):
    increment(articles[0], views=2)
    monkeypatch.setattr(counters_store().backend, "batch_counts", lambda *args: {})
    with seen() as found:
        flusher.everything()
    assert [error.kind for error in found.errors] == ["evicted"]


# -- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: increment(a, title=1), CachePatternsError, "no counter 'title'"),
        (lambda a: increment(a, views=1.5), TypeError, "whole numbers"),
        (lambda a: increment(a, views=True), TypeError, "whole numbers"),
        (lambda a: increment(a, views=2**64), TypeError, "whole numbers"),
        (lambda a: increment(a, 7, views=1), TypeError, "Give an instance, or"),
        (lambda a: increment(Article, "x", views=1), ValueError, "no primary key"),
        (lambda a: increment(Article(), views=1), ValueError, "Which row"),
        (lambda a: increment(Item, 1, stock=1), CachePatternsError, "no counter 'stock'"),
        (lambda a: increment("x", views=1), TypeError, "of models"),
        (lambda a: increment(a, using="sqlite", views=1), CachePatternsError, "not in 'sqlite'"),
        (lambda a: record_event(Article, title="x"), CachePatternsError, "no events"),
        (lambda a: record_event(Visit, word="x"), TypeError, "word"),
    ],
)
def test_what_can_not_be_counted_is_said(articles, call, error, message):
    with pytest.raises(error, match=message):
        call(articles[0])


@pytest.mark.parametrize(
    ("model", "attributes", "id", "message"),
    [
        (Article, {"counters": {"key": WriteBehind()}}, "E061", "no integer field"),
        (Article, {"counters": {"title": WriteBehind()}}, "E061", "no integer field"),
        (Article, {"counters": {"id": WriteBehind()}}, "E061", "no counter"),
        (Article, {"counters": {"nope": WriteBehind()}}, "E061", "no field"),
        (Article, {"counters": {"views": "10s"}}, "E061", "not WriteBehind"),
        (Article, {"counters": {"views": WriteBehind(events=True)}}, "E061", "not WriteBehind"),
        (Article, {"counters": {"views": WriteBehind(every="soon")}}, "E063", "no duration"),
        (Article, {"counters": {"views": WriteBehind(every=0)}}, "E063", "no duration"),
        (Article, {"events": WriteBehind(events=True)}, "E062", "it is cached"),
        (Visit, {"events": WriteBehind()}, "E062", "not WriteBehind"),
        (Item, {"events": WriteBehind(events=True), "tier": "never"}, "E062", "unique"),
        (Item, {"counters": {"stock": WriteBehind()}}, "E061", "narrow_by"),
        (Item, {"counters": {"category": WriteBehind()}}, "E061", "integer"),
        (Article, {}, "I060", "is not ignored"),
    ],
)
def test_checks_refuse_what_does_not_add_up(db, model, attributes, id, message):  # noqa: A002
    with policy_of(model, **attributes):
        found = [m for m in check_behind() if m.id == f"cachepatterns.{id}"]
    assert any(message in each.msg for each in found), check_behind()


def test_the_alias_of_counters_must_exist(settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "COUNTERS_ALIAS": "nowhere"}
    assert "cachepatterns.E064" in [message.id for message in check_behind()]


# -- seeing and flushing ----------------------------------------------------------------------


def test_the_backlog_is_seen(articles, flusher, capsys):
    increment(articles[0], views=1, likes=1)
    (counts,) = [behind for behind in behinds() if behind.label == "app.article"]
    assert (counts.kind, counts.waiting, counts.batches) == ("counts", 2, 0)
    call_command("cache_stats")
    assert "app.article counts written behind: 2 waiting" in capsys.readouterr().out
    assert {finding.state for finding in behind_findings() if not finding.id} == {"ok"}


def test_what_nobody_flushes_is_warned_of(articles, monkeypatch):
    from cachepatterns.backends.buffers import Backlog

    monkeypatch.setattr(counters_store().backend, "backlog", lambda key: Backlog(5, 0, 600.0))
    assert {finding.state for finding in behind_findings()} == {"warning"}


def test_a_server_that_evicts_any_key_is_warned_of(articles, monkeypatch):
    said = {"maxmemory_policy": "allkeys-lru", "maxmemory": 1_000_000}
    monkeypatch.setattr(counters_store().backend, "info", lambda: said)
    assert [f.id for f in behind_findings() if f.id] == ["W060"]


def test_the_command_flushes_once(articles, capsys):
    increment(articles[0], views=1)
    call_command("flush_counters")
    assert capsys.readouterr().out == "1 rows written in 1 batches.\n"
    assert views(articles[0]) == 1


def test_the_command_says_what_is_missing(articles):
    with (
        policy_of(Article, counters={}),
        policy_of(Visit, events=None),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("cachepatterns.management.commands.flush_counters.buffers", list)
        with pytest.raises(CommandError, match="nothing to flush"):
            call_command("flush_counters")


def test_one_flusher_at_a_time_takes_its_turn(articles):
    """Of many only one flushes within the interval; the next one takes over when it is over."""
    with policy_of(Article, counters={"views": WriteBehind(every="1h")}):
        assert flushing.Flusher().round().failed == ()
        increment(articles[0], views=1)
        assert flushing.Flusher().round().rows == 0
        assert flushing.Flusher().everything().rows == 1


def test_old_names_are_forgotten(articles, flusher):
    increment(articles[0], views=1)
    flusher.everything()
    assert flushing.forget_old("default") == 0
    FlushedBatch.objects.update(created_at=Now() - datetime.timedelta(days=8))
    assert flushing.forget_old("default") == 1
    assert noted() == 0


# -- events ------------------------------------------------------------------------------------


def test_events_are_inserted_as_they_were_recorded(articles, flusher, django_assert_num_queries):
    key = uuid.uuid4()
    with django_assert_num_queries(0):
        record_event(
            Visit, words="ä", article=articles[0], price="1.50", key=key, data={"a": [1, None]}
        )
        record_event(Visit, words="b", article_id=articles[1].pk)
    with CaptureQueriesContext(connection) as asked:
        assert flusher.everything().rows == 2
    assert len([q for q in asked if "app_visit" in q["sql"].partition("(")[0]]) == 1
    one, two = Visit.objects.order_by("pk")
    assert (one.words, one.article_id, str(one.price)) == ("ä", articles[0].pk, "1.50")
    assert (one.key, one.data) == (key, {"a": [1, None]})
    assert (two.words, two.price, two.data) == ("b", None, None)
    assert one.at < one.noted  # the one is the event's time, the other the database's


def test_malformed_events_are_parked_and_stop_nobody(articles, flusher):
    record_event(Visit, words="a")
    record_event(Visit, words="b", article_id=-1)  # noticed at the COMMIT only
    record_event(Visit, words="x" * 21)
    (buffer,) = [b for b in flushing.buffers() if b.policy.model is Visit]
    counters_store().backend.put_event(buffer.key, "somebody", 1, b"{not json")
    with seen() as found:
        assert flusher.everything().rows == 1
    assert done(found)["events lost: malformed"] == 3
    assert [visit.words for visit in Visit.objects.all()] == ["a"]
    from django.core.cache import caches

    parked = caches["default"].client.get_client().xrange(f"{buffer.key}:malformed")
    assert len(parked) == 3
    assert all(fields[b"error"] for _, fields in parked)


def test_what_is_shown_follows_whatever_writes_the_counter(articles, django_assert_num_queries):
    article = articles[0]
    assert counted(article) == 0
    with django_assert_num_queries(0):
        assert counted(article) == 0
    Article.objects.filter(pk=article.pk).update(views=7)  # ignored, and no flush
    assert counted(article) == 7
    article.views = 9
    article.save()
    assert counted(article) == 9
    Article.objects.update(views=3)
    assert counted(article) == 3
    article.delete()
    assert with_pending([Article(pk=articles[1].pk - 1)])[0].counted.views == 0
