"""Responses as what can be kept: whether one may be, its parts, and one made of them again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response

Parts = dict[str, Any]
_REFUSING = frozenset({"private", "no-store", "no-cache"})


class Before:
    """What a view had not done yet when it was called, to be compared with what it has done."""

    def __init__(self, request: HttpRequest, brings_session: bool) -> None:
        self._request, self._brings_session = request, brings_session
        session = getattr(request, "session", None)
        self._had_accessed = getattr(session, "accessed", False)
        if session is not None and hasattr(session, "accessed"):
            session.accessed = False

    def why_not_kept(self, response: HttpResponseBase, covered: Collection[str]) -> str:
        """Why nobody else may be shown `response`; empty if all may be."""
        reason = self._why_visitor() or _why_response(response, covered)
        session = getattr(self._request, "session", None)
        if session is not None and self._had_accessed:
            session.accessed = True
        return reason

    def _why_visitor(self) -> str:
        request = self._request
        if request.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
            return "holds a token for forms"
        messages = getattr(request, "_messages", None)
        if messages is not None and (messages.used or messages.added_new):
            return "holds messages"
        session = getattr(request, "session", None)
        if getattr(session, "modified", False):
            return "sets a cookie"
        # Of visitors without one, all have the same: an empty one.
        if self._brings_session and getattr(session, "accessed", False):
            return "uses the session"
        return ""


def _why_response(response: HttpResponseBase, covered: Collection[str]) -> str:
    if response.status_code != 200:
        return f"status {response.status_code}"
    if response.streaming:
        return "streaming"
    if response.cookies or response.has_header("Set-Cookie"):
        return "sets a cookie"
    control = _words(response, "Cache-Control")
    if refused := control & _REFUSING:
        return f"says {min(refused)}"
    if further := _words(response, "Vary") - {*covered}:
        return f"varies on {min(further)}"
    return ""


def _words(response: HttpResponseBase, header: str) -> set[str]:
    found = response.headers.get(header, "").lower().split(",")
    return {word.partition("=")[0].strip() for word in found if word.strip()}


def etag(key: str, stamps: Sequence[bytes]) -> str:
    """The name of what rests on these stamps; empty where nothing is kept under them.

    Who shows it has what would be shown. What was not kept may be older than its stamps, so it
    must not have their name.
    """
    if not stamps:
        return ""
    digest = blake2b(b"\x00".join((key.encode(), *stamps)), digest_size=12).hexdigest()
    return f'W/"{digest}"'


def parts_of(response: HttpResponse, name: str) -> Parts:
    """What is kept of a response, with its ETag, unless it has one of its own."""
    headers = [[key, value] for key, value in response.headers.items()]
    if name and not response.has_header("ETag"):
        headers.append(["ETag", name])
    reason = response._reason_phrase  # type: ignore[attr-defined]
    return {"headers": headers, "body": response.content, "reason": reason}


def add_headers(response: HttpResponseBase, parts: Parts) -> None:
    """Give the response that was kept the headers it was kept with."""
    for name, value in parts["headers"]:
        response.headers[name] = value


def response_of(parts: Parts) -> HttpResponse:
    """A response made of what was kept."""
    made = HttpResponse(parts["body"], reason=parts["reason"])
    del made.headers["Content-Type"]
    add_headers(made, parts)
    return made


def conditional(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """A 304 where the visitor has just this already, else `response`."""
    name = response.headers.get("ETag")
    if name is None or response.status_code != 200:
        return response
    given: Any = response
    found: Any = get_conditional_response(request, etag=name, response=given)
    return found
