"""What our admin pages draw alike in every supported Django."""

from __future__ import annotations

from typing import Any

import django
from django import template
from django.utils.translation import gettext as _

register = template.Library()


@register.inclusion_tag("admin/cachepatterns/breadcrumbs.html", takes_context=True)
def cache_breadcrumbs(context: Any) -> dict[str, Any]:
    """The way to this page: a list from Django 6.1 on, as the admin's own pages have it."""
    title = context.get("title")
    return {
        "request": context.get("request"),
        "trail": "" if title == _("Cache") else title,
        "as_list": django.VERSION >= (6, 1),
    }


@register.inclusion_tag("admin/cachepatterns/chart.html", takes_context=True)
def cache_chart(context: Any, chart: Any) -> dict[str, Any]:
    return {"chart": chart, "long_period": context.get("long_period")}


@register.inclusion_tag("admin/cachepatterns/verdict.html")
def cache_verdict(verdict: Any) -> dict[str, Any]:
    return {"verdict": verdict}
