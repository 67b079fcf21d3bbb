"""A report in Prometheus' text format, for what takes files: node_exporter's textfile collector.

Gauges over the report's period, of the whole fleet; the counters that a scraper wants are those of
`cachepatterns.contrib.prometheus`, process by process. The format:
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cachepatterns.core import outcome
from cachepatterns.stats.numbers import Numbers
from cachepatterns.stats.report import ModelReport, Report

Sample = tuple[dict[str, str], float]

_HELP = {
    "up": "1 if the cache answers and is not degraded.",
    "processes": "Processes that have reported within the last seconds.",
    "reads": "Reads, by how they ended.",
    "hit_ratio": "Of the questions for the cache, those answered without the database.",
    "hit_seconds": "What a hit took, by quantile.",
    "load_seconds": "What a load from the database took, by quantile.",
    "invalidations": "Writes that have outdated entries.",
    "stored_entries": "Entries that were stored.",
    "queries_avoided": "Queries that the database was spared, estimated.",
    "outbox_pending": "Invalidations that wait in the outbox.",
    "outbox_oldest_seconds": "How long the oldest of them has been waiting.",
}


def exposition(report: Report, models: Iterable[ModelReport]) -> str:
    """The lines, each family with its help and type."""
    samples: dict[str, list[Sample]] = {name: [] for name in _HELP}
    samples["up"].append(({}, float(report.state in {"ok", "idle"})))
    samples["processes"].append(({}, report.processes))
    for model in models:
        for name, labels, value in _of(model.numbers):
            samples[name].append(({"model": model.label, **labels}, value))
    for outbox in report.outboxes:
        database = {"database": outbox.alias}
        if outbox.backlog is not None:
            samples["outbox_pending"].append((database, outbox.backlog))
            samples["outbox_oldest_seconds"].append((database, outbox.oldest_seconds or 0.0))
    lines: list[str] = []
    for name, found in samples.items():
        if found:
            family = f"cachepatterns_fleet_{name}"
            lines += [f"# HELP {family} {_HELP[name]}", f"# TYPE {family} gauge"]
            lines += [_line(family, labels, value, report.period.name) for labels, value in found]
    return "\n".join(lines) + "\n"


def _of(n: Numbers) -> Iterator[tuple[str, dict[str, str], float]]:
    plain = n.hits - n.negatives - n.near - n.stale
    told = {
        outcome.HIT: plain,
        outcome.NEAR: n.near,
        outcome.NEGATIVE: n.negatives,
        outcome.STALE: n.stale,
        outcome.MISS: n.misses,
        outcome.SHARED: n.shared,
        outcome.BYPASS: n.bypasses,
        outcome.ERROR: n.failures,
    }
    yield from (("reads", {"result": how}, count) for how, count in told.items())
    if n.hit_rate is not None:
        yield "hit_ratio", {}, n.hit_rate
    for name, latency in (("hit_seconds", n.hit_latency), ("load_seconds", n.load_latency)):
        for quantile, value in (
            ("0.5", latency.p50),
            ("0.95", latency.p95),
            ("0.99", latency.p99),
        ):
            if value is not None:
                yield name, {"quantile": quantile}, value
    yield "invalidations", {}, n.invalidations
    yield "stored_entries", {}, n.stored_entries
    yield "queries_avoided", {}, n.queries_avoided


def _line(family: str, labels: dict[str, str], value: float, period: str) -> str:
    pairs = {**labels, "over": period}.items()
    told = ",".join(f'{name}="{_escaped(text)}"' for name, text in pairs)
    return f"{family}{{{told}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
