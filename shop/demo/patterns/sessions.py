"""Sessions: each request is told who asks without asking the database, until the logout.

The interleaving: a request has read the session from the database; its owner logs out; the request
stores what it has read. Whoever has a copy of the cookie must be nobody after that.
"""

import copy
from typing import Any

from shop.demo.actor import Pause, after_each_query
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage
from shop.demo.visitor import Visitor

ENTRY = "sessions.session row:pk"
PAGE = "/profile/"
VISITS = 5


def stores_late(pause: Pause, key: str) -> bool:
    """A request that finds nothing cached, and pauses when the database has told it the session;
    returns whether it belonged to somebody."""
    from importlib import import_module

    from django.conf import settings
    from django.core.cache import caches

    cache: Any = caches["default"]
    client = cache.client.get_client()
    for pattern in ("*:row:sessions.session*", "sessions:*"):  # ours, and Django's own engine's
        for name in client.scan_iter(pattern):
            client.delete(name)
    engine: Any = import_module(settings.SESSION_ENGINE)
    with after_each_query(pause, "loaded"):
        return "_auth_user_id" in engine.SessionStore(key).load()


def perform(stage: Stage) -> Played:
    ada = stage.visitor("ada")
    stage.settle()
    visits = [ada.get(PAGE) for _ in range(VISITS)]
    cookies = [copy.copy(cookie) for cookie in ada._cookies]
    (key,) = [cookie.value for cookie in cookies if cookie.name == "sessionid"]
    with stage.actor(f"{__name__}.stores_late", key) as request:
        request.until("loaded")
        ada.post("/logout/", {})
        request.go_on()
        require(request.result(), "the session was gone before the logout")
    thief = Visitor(stage.base)
    for cookie in cookies:
        thief._cookies.set_cookie(cookie)
    for _ in range(2):
        body = thief.get(PAGE).body
        require('name="password"' in body, "a copy of the cookie still opens the profile")
    hits = sum(visit.outcomes[ENTRY]["hit"] for visit in visits if ENTRY in visit.outcomes)
    require(hits >= VISITS - 1, f"{hits} of {VISITS} requests found their session in the cache")
    return Played(
        counters={"requests": VISITS, "sessions from the cache": hits},
        sql_saved=hits,
        interleaving="A logout came between a request's read of the session and its store:"
        " nobody gets in.",
    )


PATTERN = Pattern(
    number=11,
    name="sessions",
    title="Sessions",
    without="a copy of the cookie still opens the profile",
    perform=perform,
)
