"""How the pages write numbers: short, with a unit, a dash where nothing is known."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils import formats
from django.utils.translation import gettext, ngettext

register = template.Library()
NOTHING = "–"


def _number(value: float, places: int) -> str:
    # Rounded first: Django would cut the further digits off.
    return str(formats.number_format(round(value, places), places, force_grouping=True))


@register.filter
def milliseconds(seconds: float | None) -> str:
    """``0.00042`` → ``0.42 ms``."""
    if seconds is None:
        return NOTHING
    value = seconds * 1000
    if value >= 10_000:
        return f"{_number(seconds, 1)} s"
    return f"{_number(value, 2 if value < 1 else 1 if value < 100 else 0)} ms"


@register.filter
def percent(share: float | None) -> str:
    """``0.912`` → ``91.2 %``; never rounded up to 100."""
    if share is None:
        return NOTHING
    value = share * 100
    return f"{_number(min(value, 99.9) if value < 100 else 100, 0 if value == 100 else 1)} %"


@register.filter
def amount(value: float | None) -> str:
    """``1234567`` → ``1.2 M``; small numbers in full."""
    if value is None:
        return NOTHING
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            shown = value / (1e3 if unit == "k" else limit)
            return f"{_number(shown, 1 if shown < 100 else 0)} {unit}"
    return _number(value, 0 if value == int(value) else 1)


@register.filter
def rate(value: float | None) -> str:
    """Per second or per read: two digits that say something."""
    if value is None:
        return NOTHING
    return _number(value, 0 if value >= 100 or not value else 1 if value >= 10 else 2)


@register.filter
def bytes_size(value: float | None) -> str:
    """``123456`` → ``123 kB``."""
    if value is None:
        return NOTHING
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            shown = value / limit
            return f"{_number(shown, 1 if shown < 100 else 0)} {unit}"
    return f"{_number(value, 0)} B"


@register.filter
def duration(seconds: float | None) -> str:
    """``900`` → ``15 min``."""
    if seconds is None:
        return NOTHING
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            value = seconds / size
            return f"{_number(value, 0 if value == int(value) else 1)} {unit}"
    return f"{_number(seconds, 0 if seconds >= 10 or seconds == int(seconds) else 1)} s"


@register.filter
def ago(at: float, now: float) -> str:
    """How long before `now` (both Unix time) `at` was."""
    seconds = max(0, int(now - at))
    if seconds < 60:
        return ngettext("%(n)d second ago", "%(n)d seconds ago", seconds) % {"n": seconds}
    if seconds < 3600:
        minutes = seconds // 60
        return ngettext("%(n)d minute ago", "%(n)d minutes ago", minutes) % {"n": minutes}
    if seconds < 86400:
        hours = seconds // 3600
        return ngettext("%(n)d hour ago", "%(n)d hours ago", hours) % {"n": hours}
    days = seconds // 86400
    return ngettext("%(n)d day ago", "%(n)d days ago", days) % {"n": days}


@register.filter
def tier_title(policy: Any) -> str:
    """A policy's tier and TTL: ``static · 1 d``."""
    if policy is None:
        return gettext("not registered")
    tier = policy.tier
    return f"{tier.name} · {duration(tier.ttl)}" if tier.caches else tier.name
