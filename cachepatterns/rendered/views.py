"""`cached_view`: whole responses, kept until what they show is written."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from cachepatterns.computed.asking import Wanted, answer
from cachepatterns.computed.functions import by_arguments, several
from cachepatterns.computed.keys import function_name
from cachepatterns.computed.looping import aanswer
from cachepatterns.computed.resting import Named, Resting
from cachepatterns.computed.values import Values
from cachepatterns.core import outcome
from cachepatterns.core.tag import tag
from cachepatterns.observe import ReadEvent, emit
from cachepatterns.read.options import ReadOptions
from cachepatterns.read.within import Computation, computation, spoil
from cachepatterns.rendered.responses import (
    Before,
    add_headers,
    conditional,
    etag,
    parts_of,
    response_of,
)
from cachepatterns.rendered.visitors import (
    Vary,
    brings_session,
    check_vary,
    headers_covered,
    headers_told,
    told_apart,
    why_not_asked,
)
from cachepatterns.resolving import check_lifetime

LABEL = "view"
"""What responses stand under in the statistics, their routes being the patterns."""

View = Callable[..., Any]

BY_METHOD = "@method_decorator(cached_view(…), name=…)"


@overload
def cached_view(view: View, /) -> View: ...
@overload
def cached_view(
    *,
    tags: Iterable[Named] | Named | None = None,
    vary: Sequence[Vary] | Vary = (),
    tier: str | None = None,
    ttl: float | None = None,
    version: int = 1,
) -> Callable[[View], View]: ...
def cached_view(
    view: View | None = None,
    /,
    *,
    tags: Iterable[Named] | Named | None = None,
    vary: Sequence[Vary] | Vary = (),
    tier: str | None = None,
    ttl: float | None = None,
    version: int = 1,
) -> Any:
    """Decorates a view: its responses are kept until what they rest on is written.

    ::

        @cached_view(tier="static", tags=[Product])
        def feed(request): ...

        @cached_view  # rests on any row of the models that it reads
        def about(request): ...

    For GET and HEAD. Kept apart by the whole address, the query's arguments in whatever order,
    the language and the time zone; `vary` names more: ``"user"``, ``"cookie:theme"``,
    ``"header:Accept"``, functions of the request. Without ``"user"`` only strangers are answered
    from the cache, and logged in users by the view.

    `tags` are what the response rests on, as for `cached`; functions among them are called as
    the view is. Without, it rests on any row of the models that the view was seen to read.
    `tier`, `ttl`, `version`: as for `cached`.

    Given to whoever has asked, and kept for nobody else, is what is no 200, streams, sets a
    cookie, says ``private``, ``no-store`` or ``no-cache``, varies on further headers, holds a
    token for forms or messages, or has looked into a visitor's session.

    What is kept has an ETag made of the stamps it rests on: who shows it is told 304, without
    rendering, until one of them is bumped. A `TemplateResponse` is rendered within. Coroutine
    views, and with `method_decorator` classes, are decorated as others.
    """
    varies = (vary,) if isinstance(vary, str) or callable(vary) else tuple(vary)
    check_vary(varies)
    check_lifetime(tier, ttl)
    named, named_by = by_arguments(tags, "cached_view")
    options = ReadOptions(tier=tier, ttl=ttl)

    def decorate(view: View) -> View:
        if isinstance(view, type):
            raise TypeError(f"Classes of views are decorated by {BY_METHOD}.")
        kept = _Kept(view, named, named_by, varies, options, version, learns=tags is None)
        if iscoroutinefunction(view):

            @functools.wraps(view)
            async def awaited(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                return await kept.awaited(request, args, kwargs)

            return awaited

        @functools.wraps(view)
        def called(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not hasattr(request, "META"):
                raise TypeError(
                    f"A cached view was called with {request!r}, which is no request. Methods of "
                    f"views are decorated by {BY_METHOD}."
                )
            if _in_loop():  # the dispatch of a class whose methods are coroutines
                return kept.awaited(request, args, kwargs)
            return kept.respond(request, args, kwargs)

        return called

    if view is None:
        return decorate
    if not callable(view):
        raise TypeError(f"cached_view takes its options by name: cached_view(ttl={view!r}).")
    return decorate(view)


class _Kept:
    """A view whose responses are kept."""

    def __init__(
        self,
        view: View,
        named: list[Any],
        named_by: list[Callable[..., Any]],
        vary: Sequence[Vary],
        options: ReadOptions,
        version: int,
        *,
        learns: bool,
    ) -> None:
        self._learns = learns
        self._view, self._named, self._named_by = view, named, named_by
        self._vary, self._options = vary, options
        self._version = str(version)
        self._covered, self._told = headers_covered(vary), headers_told(vary)

    def respond(self, request: HttpRequest, args: Any, kwargs: Any) -> HttpResponseBase:
        """The response, from the cache or of the view."""
        call = functools.partial(self._view, request, *args, **kwargs)
        wanted = self._asked(request, args, kwargs)
        if wanted is None:
            return self._varied(call())
        render = _Rendering(request, wanted, self._covered)
        parts = answer(wanted, lambda: render.parts(lambda: _rendered(call())))
        return render.response(parts, self._varied)

    async def awaited(self, request: HttpRequest, args: Any, kwargs: Any) -> HttpResponseBase:
        """`respond`, for views that are coroutines."""

        async def in_loop() -> Any:
            found = self._view(request, *args, **kwargs)
            return await found if isinstance(found, Awaitable) else found

        async def rendered() -> Any:
            return await sync_to_async(_rendered)(await in_loop())

        wanted = await sync_to_async(self._asked)(request, args, kwargs)
        if wanted is None:
            return self._varied(await in_loop())
        render = _Rendering(request, wanted, self._covered)
        parts = await aanswer(lambda: wanted, rendered, through=render.parts)
        return render.response(parts, self._varied)

    def _varied(self, response: Any) -> Any:
        """`response`, which tells caches on its way what it varies on."""
        if self._told and isinstance(response, HttpResponseBase):
            patch_vary_headers(response, self._told)
        return response

    def _asked(self, request: HttpRequest, args: Any, kwargs: Any) -> Wanted | None:
        """What to ask the cache; `None`, counted, if this visit is no question for it."""
        pattern = _pattern(request, self._view)
        reason = why_not_asked(request, self._vary)
        if not reason:
            return self._wanted(request, args, kwargs, pattern)
        if reason != "method":
            emit(ReadEvent(LABEL, pattern, outcome.BYPASS, reason=reason))
        return None

    def _wanted(self, request: HttpRequest, args: Any, kwargs: Any, pattern: str) -> Wanted:
        resting = Resting()
        resting.all(self._named)
        for given_by in self._named_by:
            resting.all(several(given_by(request, *args, **kwargs)))
        name = f"view.{function_name(self._view)}"
        parts = told_apart(request, self._vary)
        own = (self._version, str(self._options.ttl), str(self._options.tier))
        return Wanted(
            name=name,
            parts=(*own, *parts),
            own_tag=tag(name, request.path),
            resting=resting,
            options=self._options,
            values=_values,
            pattern=pattern,
            label=LABEL,
            learns=self._learns,
        )


class _Rendering:
    """One visit: what the view has given for it, if it was called."""

    def __init__(self, request: HttpRequest, wanted: Wanted, covered: Collection[str]) -> None:
        self._request, self._wanted, self._covered = request, wanted, covered
        self._given: HttpResponseBase | None = None
        self._under_way: Computation | None = None

    def parts(self, view: Callable[[], Any]) -> Any:
        """What is kept of the response of `view`; nothing, if nobody else may be shown it."""
        before = Before(self._request, brings_session(self._request))
        response = self._given = view()
        under_way = self._under_way = computation()
        reason = before.why_not_kept(response, self._covered)
        if reason:
            spoil(reason)
            return None
        stamps = under_way.stamps if under_way is not None else ()
        return parts_of(response, etag(self._wanted.key, stamps))

    def response(self, parts: Any, varied: Callable[[Any], Any]) -> HttpResponseBase:
        """What to answer, with `parts` from the cache or of `parts`, through `varied`."""
        if self._given is None:
            return conditional(self._request, varied(response_of(parts)))
        if parts is not None and self._under_way is not None and not self._under_way.unfit:
            add_headers(self._given, parts)
        return conditional(self._request, varied(self._given))


_values = Values("cached view")


def _rendered(response: Any) -> Any:
    if hasattr(response, "render") and not response.is_rendered:
        response.render()
    if not isinstance(response, HttpResponseBase):
        raise TypeError(f"A cached view returns a response, not {type(response).__qualname__}.")
    return response


def _pattern(request: HttpRequest, view: View) -> str:
    route = getattr(request.resolver_match, "route", None)
    return str(route) if route else getattr(view, "__qualname__", "view")


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
