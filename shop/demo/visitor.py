"""Somebody who visits pages over HTTP and reads what the server says they cost."""

import http.cookiejar
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What one visit brought. `sql` is None if the server did not say."""

    status: int
    seconds: float
    body: str
    sql: int | None = None
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)

    def total(self, outcome: str) -> int:
        return sum(each[outcome] for each in self.outcomes.values())


class Visitor:
    """A browser without the picture: it keeps cookies and never goes through a proxy."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._cookies = http.cookiejar.CookieJar()
        # Not by build_opener(): it has every opener read the certificates of HTTPS, which takes
        # longer than a page.
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.HTTPHandler(),
            urllib.request.HTTPCookieProcessor(self._cookies),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        self._open = opener.open

    def get(self, path: str) -> Visit:
        return self._visit(urllib.request.Request(self.base + path))

    def post(self, path: str, data: dict[str, str]) -> Visit:
        """Send a form of the shop's. The page at `path` was got before, for its CSRF cookie."""
        token = next(c.value for c in self._cookies if c.name == "csrftoken")
        form = urllib.parse.urlencode({**data, "csrfmiddlewaretoken": token}).encode()
        return self._visit(urllib.request.Request(self.base + path, form))

    def login(self, username: str, password: str) -> Visit:
        self.get("/login/")
        return self.post("/login/", {"username": username, "password": password})

    def _visit(self, request: urllib.request.Request) -> Visit:
        began = time.perf_counter()
        try:
            response = self._open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            body = response.read().decode(errors="replace")
            seconds = time.perf_counter() - began
            return Visit(
                status=response.status,
                seconds=seconds,
                body=body,
                sql=_statements(response.headers.get("Server-Timing", "")),
                outcomes=_outcomes(response.headers.get("X-Cache-Outcomes", "")),
            )


def _statements(server_timing: str) -> int | None:
    found = re.search(r'\bsql;(?:[^,]*;)?desc="?(\d+)', server_timing)
    return int(found.group(1)) if found else None


def _outcomes(header: str) -> dict[str, Counter[str]]:
    return {name: Counter(counts) for name, counts in json.loads(header or "{}").items()}
