"""Shows, on every page, what the cache did for it. For development.

Put it high in ``MIDDLEWARE``, above what reads models::

    MIDDLEWARE = ["cachepatterns.middleware.CacheBarMiddleware", ...]

Every response gets two headers, ``Server-Timing`` and ``X-Cache-Outcomes``; HTML pages,
except the admin's, also a bar at their foot. It uses a style sheet of its own, so it
works under a strict Content-Security-Policy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.db import connections
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from cachepatterns import observe
from cachepatterns.core import outcome
from cachepatterns.pagelog import PageLog, begin_log, end_log, hear, watch_statements

_END = b"</body>"


class CacheBarMiddleware:
    """Counts what one request asks of cache and database, under WSGI and ASGI alike."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
        observe.subscribe(hear)
        connection_created.connect(watch_statements, dispatch_uid="cachepatterns.pagelog")

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._acall(request)
        log = PageLog()
        token = begin_log(log)
        try:
            # Connections that this thread opened before the middleware was there.
            for connection in connections.all(initialized_only=True):
                watch_statements(connection=connection)
            response = cast(HttpResponseBase, self.get_response(request))
        finally:
            end_log(token)
        return finish(request, response, log)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        log = PageLog()
        token = begin_log(log)
        try:
            response = cast(HttpResponseBase, await self.get_response(request))
        finally:
            end_log(token)
        return await sync_to_async(finish)(request, response, log)


def finish(request: HttpRequest, response: HttpResponseBase, log: PageLog) -> HttpResponseBase:
    """Put the headers on, and the bar where there is a page to put it on.

    A streamed body is left alone: its headers tell what had happened when it began.
    """
    response.headers["Server-Timing"] = _joined(response, log.server_timing())
    response.headers["X-Cache-Outcomes"] = log.outcomes_json()
    if isinstance(response, HttpResponse) and _wants_bar(request, response):
        head, end, tail = response.content.rpartition(_END)
        if end:
            bar = render_to_string("cachepatterns/bar.html", {"log": log, "lines": lines(log)})
            response.content = head + bar.encode(response.charset) + end + tail
            if response.has_header("Content-Length"):
                response.headers["Content-Length"] = str(len(response.content))
    return response


def lines(log: PageLog) -> list[dict[str, Any]]:
    """What the bar lists: a line per pattern, those that asked the database first."""
    found = [
        {
            "name": name,
            "outcomes": sorted(counts.items()),
            "reasons": ", ".join(log.reasons.get(name, ())),
            "asked": sum(n for how, n in counts.items() if how not in outcome.ANSWERED),
        }
        for name, counts in log.outcomes.items()
    ]
    return sorted(found, key=lambda line: (-line["asked"], line["name"]))


def _wants_bar(request: HttpRequest, response: HttpResponse) -> bool:
    match = getattr(request, "resolver_match", None)
    return (
        request.method != "HEAD"
        and response.headers.get("Content-Type", "").partition(";")[0].strip() == "text/html"
        and not response.has_header("Content-Encoding")
        and not (match is not None and "admin" in match.app_names)
    )


def _joined(response: HttpResponseBase, timing: str) -> str:
    said = response.headers.get("Server-Timing")
    return f"{said}, {timing}" if said else timing
