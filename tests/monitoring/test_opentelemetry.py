"""Spans of the cache within the request's, and the load's statements within the span."""

import pytest
from django.core.signals import request_started
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from opentelemetry import trace
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode
from redis.exceptions import ResponseError

from cachepatterns import around, tag
from cachepatterns.backends.store import current_store
from cachepatterns.contrib import opentelemetry
from cachepatterns.contrib.opentelemetry import spans
from cachepatterns.registry import site
from cachepatterns.stats.recorder import Recorder
from cachepatterns.warming import warm
from tests.app.caching import ItemPolicy
from tests.app.models import Category, Item

pytestmark = pytest.mark.urls(__name__)


def page(request):
    category = Category.objects.get(slug="chairs")
    items = list(Item.objects.filter(category=category))
    Item.objects.in_bulk([item.pk for item in items])
    return HttpResponse(", ".join(item.name for item in items))


urlpatterns = [path("page/", page, name="page")]


class Traced:
    """The spans of a block, by their names and their places."""

    def __init__(self, exporter):
        self._exporter = exporter

    @property
    def all(self):
        return self._exporter.get_finished_spans()

    def named(self, start):
        return [span for span in self.all if span.name.startswith(start)]

    def one(self, start):
        (span,) = self.named(start)
        return span

    def within(self, span):
        return [
            each
            for each in self.all
            if each.parent and each.parent.span_id == span.context.span_id
        ]


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def traced(provider, exporter, monkeypatch):
    """This process has a tracer provider, as a project would set one."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    opentelemetry.connect()
    yield Traced(exporter)
    spans.end()


@pytest.fixture
def statements(traced):
    """Each statement is a span, as with an instrumented driver."""

    def traced_statement(execute, sql, params, many, context):
        with trace.get_tracer("driver").start_as_current_span(
            sql.split()[0], kind=SpanKind.CLIENT
        ):
            return execute(sql, params, many, context)

    with connection.execute_wrapper(traced_statement):
        yield


@pytest.fixture
def instrumented(provider, settings):
    instrumentor = DjangoInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield
    instrumentor.uninstrument()


def test_our_spans_are_the_request_s_and_the_load_s_statements_are_ours(
    items, traced, statements, instrumented
):
    response = Client().get("/page/")
    assert response.content == b"a, b, c"
    request = traced.one("GET page/")
    ours = traced.within(request)
    assert [span.name for span in ours] == [
        "cache.get app.category:row:slug",
        "cache.get app.item:list:category",
        "cache.get_many app.item:row:pk",
    ]
    for span in ours:
        assert span.kind is SpanKind.INTERNAL
        inner = [each.name for each in traced.within(span)]
        assert inner[0] == "SELECT", span.name
    first = ours[0]
    assert dict(first.attributes) == {
        "cachepatterns.model": "app.category",
        "cachepatterns.pattern": "row:slug",
        "cachepatterns.tier": "static",
        "cachepatterns.keys": 1,
        "cachepatterns.ttl": site.policy_for(Category).tier.ttl,
        "cachepatterns.outcome": "miss",
        "cachepatterns.hit": False,
        "cachepatterns.stored_bytes": first.attributes["cachepatterns.stored_bytes"],
    }
    assert [each.name for each in traced.within(first)] == [
        "SELECT",
        "cache.set app.category:row:slug",
    ]
    assert ours[2].attributes["cachepatterns.keys"] == 3
    assert ours[2].attributes["cachepatterns.keys.miss"] == 3


def test_a_hit_is_a_span_without_statements(items, traced, statements, instrumented):
    Client().get("/page/")
    traced._exporter.clear()
    Client().get("/page/")
    assert not traced.named("SELECT")
    ours = traced.within(traced.one("GET page/"))
    assert [span.attributes["cachepatterns.outcome"] for span in ours] == ["hit"] * 3
    assert all(span.attributes["cachepatterns.hit"] for span in ours)


def test_a_write_s_bump_is_a_span_after_its_commit(items, traced, statements):
    with trace.get_tracer("test").start_as_current_span("job"), transaction.atomic():
        Item.objects.filter(pk=items[0].pk).update(price=2)
        assert not traced.named("cache.invalidate")
    span = traced.one("cache.invalidate")
    assert span.name == "cache.invalidate app.item"
    assert span.attributes["cachepatterns.source"] == "update"
    assert span.attributes["cachepatterns.keys"] >= 2
    assert tag("catalog") not in str(span.attributes)


def test_a_warm_up_is_a_trace_of_its_own_and_reads_outside_of_any_are_none(
    items, traced, monkeypatch
):
    monkeypatch.setattr(ItemPolicy, "warm", lambda self: [Item.objects.filter(active=True)])
    Item.objects.get(pk=items[0].pk)
    assert not traced.all
    warm(site.policy_for(Item))
    root = traced.one("cache.warm app.item")
    assert root.parent is None
    assert [span.name for span in traced.within(root)] == ["cache.get app.item:list:active"]


def test_what_nobody_samples_makes_no_spans(items, traced, exporter, monkeypatch):
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    with trace.use_span(provider.get_tracer("x").start_span("job")):
        Item.objects.get(pk=items[0].pk)
    assert not traced.all


def test_an_explanation_is_no_read(items, traced):
    with trace.get_tracer("test").start_as_current_span("job"):
        Item.objects.all().explain_cache(pk=items[0].pk)
        Item.objects.all().explain_cache("in_bulk", [items[0].pk])
    assert [span.name for span in traced.all] == ["job"]


def test_a_failing_cache_marks_its_span(items, traced, settings):
    default = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "default": default}
    with trace.get_tracer("test").start_as_current_span("job"):
        Item.objects.get(pk=items[0].pk)
    span = traced.one("cache.get")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["cachepatterns.outcome"] == "error"


@pytest.fixture
def redis_instrumented(provider):
    """redis-py is instrumented too; yields what a hook of the project's hears."""
    heard = []
    instrumentor = RedisInstrumentor()
    instrumentor.instrument(
        tracer_provider=provider,
        request_hook=lambda span, client, words, options: heard.append(words[0]),
    )
    yield heard
    instrumentor.uninstrument()


def test_commands_to_redis_are_children_of_the_operation_that_sends_them(
    items, traced, redis_instrumented
):
    job = trace.get_tracer("test").start_as_current_span
    with job("miss"):
        Item.objects.get(pk=items[0].pk)
    missed, stored = traced.one("cache.get"), traced.one("cache.set")
    asked = [span.name for span in traced.within(missed) if span is not stored]
    assert asked[:2] == ["MGET", "EVALSHA"]  # looks, mints
    (kept,) = traced.within(stored)
    assert kept.name.startswith("SET")
    traced._exporter.clear()
    del redis_instrumented[:]
    with job("hit"):
        Item.objects.get(pk=items[0].pk)
    (command,) = traced.within(traced.one("cache.get"))
    assert (command.name, command.kind) == ("MGET", SpanKind.CLIENT)
    told = dict(command.attributes)
    assert told["db.system"] == "redis"
    assert set(told["db.statement"].split()) == {"MGET", "?"}
    assert told["net.peer.port"] == int(
        current_store().backend.lines._pool.connection_kwargs["port"]
    )
    assert redis_instrumented == ["MGET"]
    with job("write"), transaction.atomic():
        Item.objects.filter(pk=items[0].pk).update(price=2)
    assert [span.name for span in traced.within(traced.one("cache.invalidate"))] == ["EVALSHA"]


def test_commands_are_no_spans_where_redis_is_not_instrumented_or_nobody_traces(
    items, traced, redis_instrumented
):
    Item.objects.get(pk=items[0].pk)
    assert not traced.all
    RedisInstrumentor().uninstrument()
    with trace.get_tracer("test").start_as_current_span("job"):
        Item.objects.get(pk=items[0].pk)
    assert [span.name for span in traced.all] == ["cache.get app.item:row:pk", "job"]


def test_a_command_that_is_refused_is_a_span_that_says_so(items, traced, redis_instrumented):
    lines = current_store().backend.lines
    with trace.get_tracer("test").start_as_current_span("job"), pytest.raises(ResponseError):
        lines.call(lambda run: ("NOPE", "secret"))
    command = traced.one("NOPE")
    assert command.status.status_code is StatusCode.ERROR
    assert command.attributes["db.statement"] == "NOPE ?"


def test_flushes_of_the_statistics_are_not_traced(items, traced, redis_instrumented):
    recorder = Recorder(background=False)
    recorder.quietly = spans.recorder.quietly
    seen = []
    try:
        current_store().backend.info()
        assert traced.all, "redis is instrumented"
        traced._exporter.clear()
        backend = current_store().backend
        monkey = backend.add
        backend.add = lambda *args: (seen.append(is_instrumentation_enabled()), monkey(*args))
        with trace.get_tracer("test").start_as_current_span("job"):
            assert recorder.flush()
    finally:
        backend.__dict__.pop("add", None)
    assert seen
    assert not any(seen)
    assert [span.name for span in traced.all] == ["job"]


def test_without_a_provider_nothing_is_called_and_one_that_comes_later_is_noticed(
    monkeypatch, provider, exporter, items
):
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    opentelemetry.connect()
    assert around.hooks == ()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    try:
        Client().get("/page/")  # notices, at its beginning
        assert around.hooks == (spans.trace_operation,)
        assert not request_started.disconnect(dispatch_uid=opentelemetry._UID)
    finally:
        spans.end()
        request_started.disconnect(dispatch_uid=opentelemetry._UID)


def test_tracing_can_be_switched_off(settings, monkeypatch, provider):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "TRACING": False}
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    opentelemetry.connect()
    assert around.hooks == ()
