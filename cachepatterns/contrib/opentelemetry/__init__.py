"""Spans of what the cache does: ``cache.get shop.product:by_category`` within the request's span.

Nothing is to be installed or set: where the project has set a tracer provider, every operation of
the cache within a span that is recorded gets a span of its own, and what the operation does (the
statement that loads, the commands to Redis) belongs to it. ``CACHEPATTERNS["TRACING"] = False``
leaves it.
"""

from __future__ import annotations

from typing import Any

from cachepatterns.conf import config


def connect(**kwargs: Any) -> None:
    """Trace from now on, if there is anybody who takes spans. Called when the process has started
    up, and again with each request until there is: providers are set at any time, in the workers
    of a forking server after the fork. Afterwards, and where tracing is off, nothing is called.
    """
    from django.core.signals import request_started

    if not config().TRACING:
        return
    from opentelemetry import trace

    if isinstance(
        trace.get_tracer_provider(), (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    ):
        request_started.connect(connect, dispatch_uid=_UID)
        return
    from cachepatterns.contrib.opentelemetry.spans import begin

    request_started.disconnect(dispatch_uid=_UID)
    begin()


_UID = "cachepatterns.opentelemetry"
