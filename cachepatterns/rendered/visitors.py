"""What tells one visit of a page from another: the address, the language, and who comes.

Unless told otherwise only strangers are answered from the cache, and what is kept is what a
stranger was shown. That somebody is a stranger can be told without a look at the session if he
has brought no cookie of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from cachepatterns.computed.identity import NoIdentityError, spelled
from cachepatterns.exceptions import NoIdentity

Vary = str | Callable[[HttpRequest], Any]
"""``"user"``, ``"cookie:NAME"``, ``"header:NAME"``, or a function of the request."""

USAGE = "'user', 'cookie:NAME', 'header:NAME' or a function of the request"


def check_vary(vary: Sequence[Vary]) -> None:
    """Raise `ValueError` for what a page can not vary on."""
    for each in vary:
        kind, _, name = each.partition(":") if isinstance(each, str) else ("", "", "")
        if callable(each) or each == "user" or (kind in ("cookie", "header") and name):
            continue
        raise ValueError(f"cached_view(vary=…) takes {USAGE}, not {each!r}.")


def why_not_asked(request: HttpRequest, vary: Sequence[Vary]) -> str:
    """Why the cache is not asked for this visit; empty if it may be."""
    if request.method not in ("GET", "HEAD"):
        return "method"
    if request.COOKIES and len(getattr(request, "_messages", ())):
        return "messages wait"
    if "user" not in vary and is_known(request):
        return "logged in"
    return ""


def is_known(request: HttpRequest) -> bool:
    """Whether the visitor is logged in, or may be."""
    if "HTTP_AUTHORIZATION" in request.META:
        return True
    if not brings_session(request) and "REMOTE_USER" not in request.META:
        return False
    return bool(getattr(getattr(request, "user", None), "is_authenticated", False))


def brings_session(request: HttpRequest) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES


def told_apart(request: HttpRequest, vary: Sequence[Vary]) -> list[str]:
    """What enters the key. Raises `NoIdentity`."""
    address = (request.scheme or "", request.get_host(), request.path, request.method or "")
    query = sorted((name, tuple(values)) for name, values in request.GET.lists())
    around = (str(get_language()), get_current_timezone_name(), str(brings_session(request)))
    return [*address, spelled(query), *around, *(_told(request, each) for each in vary)]


def _told(request: HttpRequest, each: Vary) -> str:
    if callable(each):
        name, value = getattr(each, "__qualname__", repr(each)), each(request)
    elif each == "user":
        name, value = each, getattr(request, "user", None)
    else:
        kind, _, name = each.partition(":")
        value = request.COOKIES.get(name) if kind == "cookie" else request.headers.get(name)
    try:
        return f"{name}={spelled(value)}"
    except NoIdentityError as error:
        raise NoIdentity(f"A cached view varies on {error} ({name}).") from None


def headers_told(vary: Sequence[Vary]) -> list[str]:
    """The request headers by which caches on the way must tell the answers apart as well."""
    kinds = [each.partition(":") for each in vary if isinstance(each, str)]
    return [*dict.fromkeys(name if kind == "header" else "Cookie" for kind, _, name in kinds)]


def headers_covered(vary: Sequence[Vary]) -> frozenset[str]:
    """The request headers, in lower case, on which an answer may vary that is kept."""
    named = {each[7:].lower() for each in vary if isinstance(each, str) and each[:7] == "header:"}
    return frozenset({"cookie", "accept-language", "accept-encoding"} | named)
