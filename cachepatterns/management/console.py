"""What the commands have in common: exit codes, progress, and the server's answer first."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NoReturn

from django.core.management.base import CommandError, OutputWrapper

from cachepatterns.backends.store import current_store
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.registry import site

OK, FAILURE, USAGE, PARTIAL, UNREACHABLE = range(5)


def usage(message: str) -> NoReturn:
    raise CommandError(message, returncode=USAGE)


def unreachable(error: Exception) -> NoReturn:
    raise CommandError(f"Redis does not answer: {error}", returncode=UNREACHABLE) from error


def require_server() -> None:
    """End the command unless the cache answers."""
    try:
        current_store().backend.ping()
    except ConfigurationError as error:
        raise CommandError(str(error), returncode=USAGE) from error
    except BackendError as error:
        unreachable(error)


def add_labels(parser: ArgumentParser) -> None:
    """The argument ``labels``, of which `chosen_policies` makes policies."""
    parser.add_argument("labels", nargs="*", help="apps or models: shop, shop.Product")


def chosen_policies(labels: Iterable[str]) -> list[ResolvedPolicy]:
    """The policies of these apps and models; all, if none is named."""
    known = site.policies()
    found = []
    for label in labels:
        wanted = label.lower()
        matching = [
            policy
            for policy in known
            if wanted in (policy.label, policy.model._meta.app_label.lower())
        ]
        if not matching:
            names = [p.label for p in known] + [p.model._meta.app_label for p in known]
            hint = did_you_mean(wanted, names)
            usage(f"{label!r} is no registered model, nor an app that has one.{hint}")
        found += [policy for policy in matching if policy not in found]
    return found or known


def did_you_mean(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, sorted(set(known)), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


class Progress:
    """A bar on a terminal, a line per tenth elsewhere; on stderr, so that stdout is data."""

    WIDTH = 30

    def __init__(self, total: int, stream: OutputWrapper, title: str) -> None:
        self.total, self.stream, self.title = max(1, total), stream, title
        self.done = 0
        self._tenth = 0
        self._started = time.monotonic()
        self._bar = stream.isatty()

    def step(self, what: str = "") -> None:
        self.done += 1
        share = min(1.0, self.done / self.total)
        if self._bar:
            full = int(self.WIDTH * share)
            bar = "█" * full + "░" * (self.WIDTH - full)
            self._write(f"\r{self.title} {bar} {self.done}/{self.total} {what[:40]:<40}")
            if share == 1.0:
                self._write("\n")
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            seconds = time.monotonic() - self._started
            self._write(f"{self.title}: {self._tenth * 10} % ({seconds:.1f} s)\n")

    def _write(self, text: str) -> None:
        self.stream.write(text, ending="")
        self.stream.flush()


def table(head: list[str], rows: list[list[str]]) -> str:
    """Text columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, rows)])


def leave(code: int) -> None:
    """End the process with an exit code; nothing for success."""
    if code != OK:
        sys.exit(code)
