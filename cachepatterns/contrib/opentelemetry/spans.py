"""From an operation to a span, and from the events within it to the span's attributes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from cachepatterns import __version__, around, observe
from cachepatterns.around import Operation
from cachepatterns.contrib.opentelemetry import commands
from cachepatterns.core import outcome
from cachepatterns.observe import ErrorEvent, Event, ReadEvent
from cachepatterns.registry import find_model, site
from cachepatterns.stats.recorder import recorder

PREFIX = "cachepatterns."
ALONE = frozenset({"warm"})
"""What is traced even where nobody traces what it is a part of: a command of its own."""
READS = frozenset({"get", "get_many"})

_open: ContextVar[_Open | None] = ContextVar("cachepatterns_span", default=None)


class _Open:
    """A span that has not ended, and what is known of its operation."""

    __slots__ = ("answered", "name", "span")

    def __init__(self, name: str, span: Span) -> None:
        self.name, self.span = name, span
        self.answered = True
        """Whether the cache has had all answers so far."""


def begin() -> None:
    """Trace the operations of this process; asking twice changes nothing."""
    around.add(trace_operation)
    observe.subscribe(note)
    recorder.quietly = suppress_instrumentation
    commands.begin()


def end() -> None:
    """Trace none any more."""
    around.remove(trace_operation)
    observe.unsubscribe(note)
    recorder.quietly = nullcontext
    commands.end()


def trace_operation(operation: Operation, proceed: Callable[[], Any]) -> Any:
    """A hook of `cachepatterns.around`: `proceed` within a span.

    Only within a span that is recorded: what nobody has sampled costs next to nothing, and there
    are no traces that consist of one read.
    """
    name = operation.name
    if not trace.get_current_span().is_recording() and name not in ALONE:
        return proceed()
    what = f"{operation.label}:{operation.pattern}" if operation.pattern else operation.label
    with _tracer().start_as_current_span(
        f"cache.{name} {what}",
        kind=SpanKind.INTERNAL,
        attributes=_attributes(operation),
        record_exception=False,  # the statement's own span has it
        set_status_on_exception=False,
    ) as span:
        token = _open.set(_Open(name, span))
        try:
            return proceed()
        finally:
            _open.reset(token)


def note(event: Event) -> None:
    """A listener of `cachepatterns.observe`: what becomes of the operation under way."""
    here = _open.get()
    if here is None:
        return
    if type(event) is ReadEvent and here.name in READS:
        _tell_read(here, event)
    elif type(event) is ErrorEvent:
        here.span.set_status(Status(StatusCode.ERROR, f"{event.operation}: {event.kind}"))


def _tell_read(here: _Open, event: ReadEvent) -> None:
    here.answered = here.answered and event.outcome in outcome.ANSWERED
    told: dict[str, Any] = {f"{PREFIX}outcome": event.outcome, f"{PREFIX}hit": here.answered}
    if here.name == "get_many":
        told[f"{PREFIX}keys.{event.outcome}"] = event.count
    if event.reason:
        told[f"{PREFIX}reason"] = event.reason
    if event.stored_bytes:
        told[f"{PREFIX}stored_bytes"] = event.stored_bytes
    here.span.set_attributes(told)


def _attributes(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {f"{PREFIX}model": operation.label}
    if operation.pattern:
        found[f"{PREFIX}pattern"] = operation.pattern
    if operation.keys:
        found[f"{PREFIX}keys"] = operation.keys
    if operation.source:
        found[f"{PREFIX}source"] = operation.source
    if operation.ttl is not None:
        found[f"{PREFIX}ttl"] = operation.ttl
    tier = _tier(operation.label)
    if tier:
        found[f"{PREFIX}tier"] = tier
    return found


def _tier(label: str) -> str:
    model = find_model(label) if "," not in label else None
    policy = site.policy_for(model) if model is not None else None
    return policy.tier.name if policy is not None else ""


def _tracer() -> trace.Tracer:
    return trace.get_tracer("cachepatterns", __version__)
