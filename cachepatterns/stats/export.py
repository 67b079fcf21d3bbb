"""A report as plain data, for JSON: the names are the ones of `Numbers` and are kept stable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cachepatterns.stats.numbers import Latency, Numbers
from cachepatterns.stats.report import ModelReport, Report
from cachepatterns.stats.verdicts import Verdict


def as_data(report: Report, models: Iterable[ModelReport] | None = None) -> dict[str, Any]:
    """The report, of all models or of those given. Times are seconds, sizes bytes."""
    return {
        "state": report.state,
        "trouble": report.trouble,
        "at": report.at,
        "period": report.period.name,
        "processes": report.processes,
        "reads_per_second": report.reads_per_second,
        "dropped_flushes": report.dropped_flushes,
        "errors": dict(report.errors),
        "outboxes": [
            {
                "database": outbox.alias,
                "backlog": outbox.backlog,
                "oldest_seconds": outbox.oldest_seconds,
                "relays": outbox.relays,
                "leased": outbox.leased,
            }
            for outbox in report.outboxes
        ],
        "write_behind": [
            {
                "label": behind.label,
                "kind": behind.kind,
                "database": behind.alias,
                "waiting": behind.waiting,
                "open_batches": behind.batches,
                "oldest_seconds": behind.oldest_seconds,
            }
            for behind in report.behinds
        ],
        "totals": numbers_data(report.totals),
        "models": [
            {
                "label": model.label,
                "tier": model.policy.tier.name if model.policy else None,
                **numbers_data(model.numbers),
                "coarse_call_sites": [
                    {"source": call.source, "site": call.site, "times": times}
                    for call, times in model.numbers.call_sites.items()
                ],
                "verdict": verdict_data(model.verdict),
                "patterns": [
                    {
                        "pattern": pattern.pattern,
                        **numbers_data(pattern.numbers),
                        "verdict": verdict_data(pattern.verdict),
                    }
                    for pattern in model.patterns
                ],
            }
            for model in (report.models if models is None else models)
        ],
    }


def numbers_data(n: Numbers) -> dict[str, Any]:
    return {
        "reads": n.reads,
        "hits": n.hits,
        "negatives": n.negatives,
        "near": n.near,
        "stale": n.stale,
        "misses": n.misses,
        "shared": n.shared,
        "bypasses": n.bypasses,
        "errors": n.failures,
        "hit_rate": n.hit_rate,
        "bypass_reasons": dict(n.bypass_reasons),
        "unstored_reasons": dict(n.unstored_reasons),
        "hit_seconds": _latency(n.hit_latency),
        "load_seconds": _latency(n.load_latency),
        "mean_load_seconds": n.mean_load,
        "queries_avoided": n.queries_avoided,
        "database_seconds_avoided": n.database_seconds_avoided,
        "net_seconds": n.net_seconds,
        "invalidations": n.invalidations,
        "invalidation_sources": dict(n.sources),
        "coarse_invalidations": n.coarse,
        "tags_bumped": n.tags,
        "writes_per_read": n.writes_per_read,
        "done": dict(n.done),
        "stored_entries": n.stored_entries,
        "mean_entry_bytes": n.mean_size,
    }


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    return {
        "level": verdict.level.value,
        "reasons": [
            {"code": reason.code, "seen": reason.seen, "fix": reason.fix}
            for reason in verdict.reasons
        ],
    }


def _latency(latency: Latency) -> dict[str, float | None]:
    return {"p50": latency.p50, "p95": latency.p95, "p99": latency.p99}
