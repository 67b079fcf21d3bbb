"""``manage.py cache_inspect``: one entry, and why it is valid or dead."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand

from cachepatterns.exceptions import BackendError, CorruptEntry
from cachepatterns.inspecting import Inspected, NotFound, inspect_named
from cachepatterns.management.console import (
    FAILURE,
    OK,
    leave,
    require_server,
    table,
    unreachable,
    usage,
)
from cachepatterns.templatetags.cachepatterns_numbers import duration, milliseconds


class Command(BaseCommand):
    help = (
        "Shows one entry: what it holds, on which tags it rests, the stamps it holds beside those "
        "that stand, and so why it is valid or dead. Exit codes: 0 it would be served, 1 it would "
        "not (or nothing is stored), 2 usage, 4 Redis unreachable."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="app.Model:pk, or a Redis key with its prefix")
        parser.add_argument("--values", action="store_true", help="the decoded rows too")
        parser.add_argument("--json", action="store_true", help="as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        require_server()
        try:
            found = inspect_named(options["name"])
        except NotFound as error:
            usage(str(error))
        except BackendError as error:
            unreachable(error)
        if options["json"]:
            data = [each.as_dict(values=options["values"]) for each in found]
            self.stdout.write(json.dumps(data, default=str))
        else:
            for each in found:
                self._show(each, options["values"])
        leave(FAILURE if any(each.is_valid is False for each in found) else OK)

    def _show(self, found: Inspected, values: bool) -> None:
        seen, entry = found.seen, found.seen.entry
        verdict = {True: "valid", False: "dead", None: "its tags are not known"}[found.is_valid]
        if entry is None and not seen.trouble:
            verdict = "not stored"
        self.stdout.write(f"{found.name} ({found.using or 'no database'}): {verdict}")
        for reason in found.why_not:
            self.stdout.write(f"  {reason}")
        self.stdout.write(f"\nkey     {seen.key}")
        current = "" if found.is_current else " (the present one is another)"
        self.stdout.write(f"schema  {found.schema}{current}")
        if found.sql:
            self.stdout.write(f"answers {found.sql}")
        if entry is not None:
            assert seen.age is not None
            left = entry.ends_at - seen.at
            soft = f"{duration(left)} left" if left > 0 else f"over for {duration(-left)}"
            hard = (
                "no end" if seen.ttl_left is None else f"{duration(seen.ttl_left)} left in Redis"
            )
            self.stdout.write(f"ttl     {duration(entry.ttl)}, {soft} ({hard})")
            self.stdout.write(f"age     {duration(seen.age)}")
            self.stdout.write(
                f"size    {seen.stored_bytes} bytes stored, {seen.raw_bytes} raw, "
                f"{entry.rows} rows"
            )
            self.stdout.write(f"load    {milliseconds(entry.load_seconds)}")
        if seen.tags:
            rows = [
                [each.tag, _short(each.held), _short(each.standing), each.state]
                for each in seen.tags
            ]
            self.stdout.write("\n" + table(["tag", "holds", "stands", ""], rows))
        elif entry is not None:
            self.stdout.write(
                f"\nIt holds {len(entry.stamps)} stamps. Of which tags, nobody has kept: "
                "explain_cache() on its queryset names them, and VERIFY_SHARE keeps more."
            )
        for guard in seen.guards:
            self.stdout.write(f"guard   {guard.name}: {guard.state}")
        if values:
            self._show_values(found)

    def _show_values(self, found: Inspected) -> None:
        self.stdout.write("")
        try:
            for row in found.values():
                self.stdout.write(json.dumps(row, default=str, ensure_ascii=False))
        except CorruptEntry as error:
            self.stderr.write(f"The rows can not be decoded: {error}")


def _short(stamp: str | None) -> str:
    return "-" if stamp is None else stamp[:12]
