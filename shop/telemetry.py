"""OpenTelemetry, switched on by the entry points before the request handler loads.

The instrumentation puts a middleware into the settings, so it must run before Django reads them
to build its handler. Without an exporter its spans cost next to nothing and go nowhere.
"""

import os

from opentelemetry import trace
from opentelemetry.instrumentation.django import DjangoInstrumentor


def instrument() -> None:
    """Trace every request; OTEL_TRACES_EXPORTER=console prints the spans."""
    if os.environ.get("OTEL_TRACES_EXPORTER") == "console":
        _print_spans()
    instrumentor = DjangoInstrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument()


def _print_spans() -> None:
    # In the extra `demo`, so only asked for when wanted.
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    trace.set_tracer_provider(provider)
