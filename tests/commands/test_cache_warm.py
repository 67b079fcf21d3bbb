"""cache_warm fills the cache with what policies declare, and says what it did."""

import _thread
import json
import signal
import threading

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cachepatterns import tag
from cachepatterns.backends.store import current_store
from cachepatterns.warming import jobs
from tests.app.caching import ItemPolicy
from tests.app.models import Category, Item
from tests.events import eventually, outcome_of


def warmed(answer, label="app.item"):
    return next(m for m in json.loads(answer.out)["models"] if m["label"] == label)


def test_the_first_reader_after_it_has_a_hit(run, warmable):
    answer = run("cache_warm", "app.Item", "--json")
    assert answer.code == 0
    found = warmed(answer)
    assert (found["asked"], found["stored"], found["rows"]) == (3, 3, 9)
    category = warmable[0].category_id
    assert outcome_of(lambda: list(Item.objects.filter(category=category))) == "hit"


def test_what_is_warm_already_is_left_alone(run, warmable):
    run("cache_warm", "--all")
    assert warmed(run("cache_warm", "app", "--json"))["already_warm"] == 3


def test_with_a_batch_size_the_rows_are_stored_too(run, warmable):
    run("cache_warm", "app.Item", "--batch-size", "2")
    assert outcome_of(lambda: Item.objects.get(pk=warmable[0].pk)) == "hit"


def test_a_model_that_declares_nothing_warms_nothing_and_is_told(run, items):
    answer = run("cache_warm", "app.Category")
    assert answer.code == 0
    assert "nothing to warm" in answer.out


def test_a_dry_run_warms_nothing(run, warmable):
    answer = run("cache_warm", "app.Item", "--dry-run")
    assert "app.item: 3 querysets" in answer.out
    assert outcome_of(lambda: list(Item.objects.all())) == "miss"


def test_the_limit_is_per_model(run, warmable):
    assert warmed(run("cache_warm", "app.Item", "--limit", "1", "--json"))["asked"] == 1


def test_only_models_of_a_tier(run, warmable):
    answer = run("cache_warm", "--all", "--tier", "semi_static", "--json")
    assert "app.item" in answer.out
    assert "app.category" not in answer.out


def test_out_of_time_it_is_partly_done(run, warmable):
    answer = run("cache_warm", "app.Item", "--max-seconds", "0")
    assert answer.code == 3
    assert "not finished" in answer.out


def test_a_queryset_that_fails_does_not_stop_the_others(run, items, monkeypatch):
    monkeypatch.setattr(
        ItemPolicy, "warm", lambda self: [Item.objects.extra(where=["no"]), Item.objects.all()]
    )
    answer = run("cache_warm", "app.Item", "--json")
    assert answer.code == 3
    assert len(warmed(answer)["failed"]) == 1
    assert warmed(answer)["stored"] == 1


def test_when_all_fail_it_has_failed(run, items, monkeypatch):
    monkeypatch.setattr(ItemPolicy, "warm", lambda self: [Item.objects.extra(where=["no"])])
    assert run("cache_warm", "app.Item").code == 1


def test_what_can_not_be_cached_is_told_with_the_reason(run, items, monkeypatch):
    monkeypatch.setattr(ItemPolicy, "warm", lambda self: [Item.objects.order_by("?")])
    answer = run("cache_warm", "app.Item")
    assert "1 not cached: " in answer.out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "--all"),
        (["app.Itme"], "Did you mean 'app.item'?"),
        (["--all", "--tier", "statik"], "Did you mean 'static'?"),
        (["--all", "--limit", "0"], "1 or more"),
        (["--all", "--rate", "0"], "more than 0"),
        (["--hot", "0"], "1 or more"),
    ],
)
def test_usage_errors_say_what_is_meant(run, items, words, hint):
    answer = run("cache_warm", *words)
    assert answer.code in (1, 2)  # argparse raises through `call_command`, and exits 2 itself
    assert hint in answer.err


def test_without_redis_it_says_so(run, warmable, redis_down):
    assert run("cache_warm", "--all").code == 4


@pytest.fixture
def interrupted_at_second(monkeypatch):
    """Ctrl-C while the second queryset is evaluated, once."""
    original, calls = jobs.read_through, []

    def cached(queryset):
        calls.append(queryset)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(queryset)

    monkeypatch.setattr(jobs, "read_through", cached)


def test_interrupted_it_tells_what_was_done(run, warmable, interrupted_at_second):
    answer = run("cache_warm", "app.Item", "--json")
    assert answer.code == 3
    assert (warmed(answer)["stored"], warmed(answer)["finished"]) == (1, False)
    assert "Interrupted" in answer.err
    assert "--resume" in answer.err


def test_resumed_it_asks_only_for_the_rest(run, warmable, interrupted_at_second):
    run("cache_warm", "app.Item")
    answer = run("cache_warm", "app.Item", "--resume", "--json")
    assert answer.code == 0
    found = warmed(answer)
    assert (found["skipped"], found["asked"], found["stored"]) == (1, 2, 2)


def test_what_is_done_is_not_resumed_but_begun_anew(run, warmable):
    run("cache_warm", "app.Item")
    answer = run("cache_warm", "app.Item", "--resume", "--json")
    assert "nothing to resume" in answer.err
    assert warmed(answer)["already_warm"] == 3


def test_another_command_resumes_nothing_of_this_one(run, warmable, interrupted_at_second):
    run("cache_warm", "app.Item")
    assert "nothing to resume" in run("cache_warm", "app.Item", "--limit=3", "--resume").err


def test_interrupted_while_it_makes_its_list_it_ends_as_well(run, items, monkeypatch):
    def warm(self):
        yield Item.objects.all()
        raise KeyboardInterrupt

    monkeypatch.setattr(ItemPolicy, "warm", warm)
    answer = run("cache_warm", "app.Item")
    assert answer.code == 3
    assert "Interrupted" in answer.err


def test_what_is_there_costs_no_statement_nor_does_the_list_of_it(run, items, monkeypatch):
    """The declaration asks for the categories to know what to warm; they are cached too."""

    def warm(self):
        for category in Category.objects.all():
            yield Item.objects.filter(category=category)

    monkeypatch.setattr(ItemPolicy, "warm", warm)
    words = ("cache_warm", "app.Item", "--batch-size=2", "--only-missing", "--json")
    run(*words)
    with CaptureQueriesContext(connection) as queries:
        answer = run(*words)
    assert len(queries) == 0
    assert warmed(answer)["already_warm"] >= 1 + len(items)
    items[0].save()
    with CaptureQueriesContext(connection) as queries:
        run(*words)
    # The list with its three rows, and the one row that was written.
    assert len(queries) == 2


def backends() -> int:
    """The other sessions of our database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return cursor.fetchone()[0]


def test_a_queryset_is_warmed_with_its_own_lifetime_and_tags(run, items, monkeypatch):
    """Otherwise it would be another entry than the one that its readers ask for."""

    def lively():
        return Item.objects.filter(active=True).cached(ttl=70, tags=[tag("homepage")])

    monkeypatch.setattr(ItemPolicy, "warm", lambda self: [lively()])
    assert run("cache_warm", "app.Item").code == 0
    assert outcome_of(lambda: list(lively())) == "hit"


def test_workers_share_the_work_and_leave_no_connection_behind(run, warmable):
    answer = run("cache_warm", "app.Item", "--workers", "3", "--json")
    assert answer.code == 0
    assert warmed(answer)["stored"] == 3
    eventually(lambda: backends() == 0)  # the server hears of their end a moment later


def test_interrupted_its_workers_end_what_they_do_and_leave(run, warmable, monkeypatch):
    original, first = jobs.read_through, threading.Lock()

    def cached(queryset):
        if first.acquire(blocking=False):
            _thread.interrupt_main()
        return original(queryset)

    monkeypatch.setattr(jobs, "read_through", cached)
    # Not that of the test run: it takes every further signal, of its children too, as seen to.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = run("cache_warm", "app.Item", "--workers", "2", "--json")
    finally:
        signal.signal(signal.SIGINT, before)
    assert answer.code == 3
    assert "Interrupted" in answer.err
    assert warmed(answer)["stored"] == warmed(answer)["asked"] >= 1
    eventually(lambda: backends() == 0)


def test_when_redis_goes_away_the_database_is_left_alone(run, warmable, monkeypatch):
    """Each further question would be one for the database, and none would be stored."""
    monkeypatch.setattr(current_store(), "_open_until", float("inf"))
    monkeypatch.setattr(
        "cachepatterns.management.commands.cache_warm.Command._open_guards", lambda *args: None
    )
    answer = run("cache_warm", "app.Item", "--json")
    assert answer.code == 4
    assert warmed(answer)["asked"] == 1
    assert "stopped answering" in run("cache_warm", "app.Item").err


def test_progress_goes_to_stderr_by_tenths(run, warmable):
    answer = run("cache_warm", "--all", "--json")
    json.loads(answer.out)
    assert "100 %" in answer.err
