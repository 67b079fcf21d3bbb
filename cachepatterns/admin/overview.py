"""What the overview and model pages show: a report, put into words."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cachepatterns.admin.charts import latency_chart, outcomes_chart, rate_chart, sparkline
from cachepatterns.admin.links import object_link
from cachepatterns.advising import Proposals, advise, proposals
from cachepatterns.stats.buckets import DEFAULT_PERIOD, PERIODS, Period
from cachepatterns.stats.callsites import CallSite
from cachepatterns.stats.invalidations import Invalidation
from cachepatterns.stats.outboxes import Outbox
from cachepatterns.stats.report import ModelReport, Report
from cachepatterns.stats.verdicts import Level, level_of
from cachepatterns.templatetags.cachepatterns_numbers import (
    amount,
    bytes_size,
    duration,
    milliseconds,
    percent,
    rate,
)

SHOWN_INVALIDATIONS = 15
SHOWN_ATTENTION = 8
SHOWN_CALL_SITES = 10


def period_of(request: HttpRequest) -> Period:
    """The period the URL names; the default for none or an unknown one."""
    return PERIODS.get(request.GET.get("period", ""), DEFAULT_PERIOD)


def overview(request: HttpRequest, admin_site: Any, found: Report) -> dict[str, Any]:
    """The context of the overview page."""
    return {
        **common(found),
        "cards": _cards(found),
        "models": [(model, sparkline(model.series)) for model in found.models],
        "call_sites": _call_sites(found.models)[:SHOWN_CALL_SITES],
        "attention": found.attention[:SHOWN_ATTENTION],
        "invalidations": [
            _line(request, admin_site, doc) for doc in found.invalidations[:SHOWN_INVALIDATIONS]
        ],
        "charts": (
            outcomes_chart(found.series),
            rate_chart(found.series),
            latency_chart(found.series),
        ),
    }


def model_page(
    request: HttpRequest, admin_site: Any, found: Report, model: ModelReport
) -> dict[str, Any]:
    """The context of one model's page."""
    own = [doc for doc in found.invalidations if model.label in doc.labels]
    return {
        **common(found),
        "model": model,
        "call_sites": _call_sites([model]),
        "policy_lines": _policy(model),
        "earned": _earned(model),
        "proposed": _proposed(model),
        "invalidations": [_line(request, admin_site, doc) for doc in own[:SHOWN_INVALIDATIONS]],
        "charts": (
            outcomes_chart(model.series),
            rate_chart(model.series),
            latency_chart(model.series),
        ),
    }


def common(found: Report) -> dict[str, Any]:
    """What both pages show: the state, the period, and how sure one can be of it."""
    return {
        "report": found,
        "state_text": _state(found),
        "as_of": datetime.datetime.fromtimestamp(found.at, tz=datetime.UTC),
        "periods": list(PERIODS.values()),
    }


def _state(found: Report) -> str:
    if found.state == "down":
        return _("Redis does not answer. The site reads the database; nothing stale is served.")
    if found.state == "disabled":
        return _("The cache is switched off (ENABLED). Every read goes to the database.")
    if found.state == "unleased":
        return _(
            "No relay delivers the outbox, so every read goes to the database. Start "
            "manage.py relay_invalidations."
        )
    if found.state == "degraded":
        return _("The cache works, with errors in the last minutes.")
    if found.state == "idle":
        return _("No reads yet in this period.")
    return _("The cache works.")


def _cards(found: Report) -> list[dict[str, str]]:
    """The figures at the top: title, value, a note, and a level to colour it by."""
    totals, server = found.totals, found.server
    hit_rate = totals.hit_rate
    judged = hit_rate is not None and totals.asked >= 200
    level = level_of(hit_rate) if judged and hit_rate is not None else Level.UNKNOWN
    memory = _("of %(max)s") % {"max": bytes_size(server.maxmemory)} if server.maxmemory else ""
    return [
        _card(
            _("Hit rate"),
            percent(hit_rate),
            _("%(n)s questions") % {"n": amount(totals.asked)},
            level.value,
        ),
        _card(_("Reads per second"), rate(found.reads_per_second), _("now, the whole fleet")),
        _card(
            _("A hit takes (p95)"),
            milliseconds(totals.hit_latency.p95),
            _("a load %(load)s") % {"load": milliseconds(totals.load_latency.p95)},
        ),
        _card(
            _("Database spared"),
            duration(totals.database_seconds_avoided) if totals.queries_avoided else "–",
            _("%(n)s queries (estimated)") % {"n": amount(totals.queries_avoided)},
        ),
        _card(_("Memory"), bytes_size(server.used_memory), memory or server.version),
        _card(
            _("Evictions per minute"),
            rate(server.evictions_per_minute),
            server.maxmemory_policy,
            "investigate" if server.evictions_per_minute else "",
        ),
        *(_outbox_card(outbox, alone=len(found.outboxes) == 1) for outbox in found.outboxes),
    ]


def _outbox_card(outbox: Outbox, *, alone: bool) -> dict[str, str]:
    """How many events wait, for how long, and who looks after them."""
    relays = ngettext("%(n)d relay", "%(n)d relays", outbox.relays) % {"n": outbox.relays}
    notes = [_("waiting"), relays, _("lease stands") if outbox.leased else _("no lease")]
    if outbox.oldest_seconds is not None:
        notes[0] = _("waiting for %(age)s") % {"age": duration(outbox.oldest_seconds)}
    title = _("Outbox") if alone else _("Outbox of %(alias)s") % {"alias": outbox.alias}
    return _card(
        title,
        "–" if outbox.backlog is None else amount(outbox.backlog),
        " · ".join(notes),
        "" if outbox.leased else "hurting",
    )


def _card(title: str, value: str, note: str = "", level: str = "") -> dict[str, str]:
    return {"title": title, "value": value, "note": note, "level": level}


def _line(request: HttpRequest, admin_site: Any, doc: Invalidation) -> dict[str, Any]:
    more = doc.tag_count - len(doc.tags)
    hidden = ngettext("and %(n)d more", "and %(n)d more", more) % {"n": more} if more > 0 else ""
    return {
        "doc": doc,
        "at": datetime.datetime.fromtimestamp(doc.at, tz=datetime.UTC),
        "link": object_link(request, admin_site, doc.object_label, doc.object_pk),
        "hidden": hidden,
    }


def _call_sites(models: Iterable[ModelReport]) -> list[tuple[str, CallSite, int]]:
    """Where coarse writes of these models come from, the most frequent first."""
    found = [
        (model.label, call, times)
        for model in models
        for call, times in model.numbers.call_sites.items()
    ]
    return sorted(found, key=lambda line: -line[2])


def _earned(model: ModelReport) -> str:
    """What caching it spares and costs in an hour; empty where nothing is known."""
    earned = model.benefit
    if earned is None:
        return ""
    said = _("spares %(spared)s of database time and costs %(paid)s in an hour (estimated)") % {
        "spared": duration(earned.spared),
        "paid": duration(earned.paid),
    }
    if not earned.memory:
        return said
    return f"{said} · " + _("holds %(size)s at most") % {"size": bytes_size(earned.memory)}


def _proposed(model: ModelReport) -> Proposals:
    """The change of its policy that the advisor proposes."""
    return proposals(each.change for each in advise([model]) if each.change is not None)


def _policy(model: ModelReport) -> list[tuple[str, str, str]]:
    """The policy in force: setting, value, and where the value comes from."""
    resolved = model.policy
    if resolved is None:
        return []
    policy, lines = resolved.policy, []
    own = {name for cls in type(policy).__mro__[:-2] for name in vars(cls)}

    def line(name: str, value: str) -> None:
        origin = resolved.origin if name in own else _("default")
        lines.append((name, value, origin))

    line("tier", resolved.tier.name)
    ttl = duration(resolved.tier.ttl) if resolved.tier.caches else _("not cached")
    tier = _("tier %(name)s") % {"name": resolved.tier.name}
    lines.append(("ttl", ttl, resolved.origin if policy.ttl is not None else tier))
    soft = resolved.tier
    for option, seconds in (
        ("max_age", soft.max_age),
        ("stale_for", soft.stale_for),
        ("stale_if_error", soft.stale_if_error),
    ):
        if seconds:
            lines.append((option, duration(seconds), tier))
    if soft.early_refresh:
        lines.append(("early_refresh", f"{soft.early_refresh:g}", tier))
    if soft.serves_invalidated:
        line("serve_invalidated", duration(soft.serves_invalidated))
    name = "narrow_by_only" if policy.narrow_by_only is not None else "narrow_by"
    line(name, ", ".join(n.name for n in resolved.narrowing) or "–")
    line("affects", _("rules of its own") if resolved.has_rules else _("none"))
    line("consistency", policy.consistency)
    if resolved.tier.local:
        line(
            "accepts_staleness", duration(resolved.tier.accepts) if resolved.tier.accepts else "–"
        )
    line("version", str(policy.version))
    line("databases", ", ".join(sorted(resolved.databases)))
    return lines
