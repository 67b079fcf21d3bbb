"""``manage.py cache_triggers``: PostgreSQL triggers, for writes that do not come by Django."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from cachepatterns.conf import config
from cachepatterns.exceptions import CachePatternsError
from cachepatterns.management.console import FAILURE, OK, add_labels, did_you_mean, leave, usage
from cachepatterns.triggers import State, TableStatus, install, remove, status


class Command(BaseCommand):
    help = (
        "Triggers on the tables of cached models record in the outbox what psql, other programs, "
        "COPY, functions and cascades of the database write there; relays then invalidate it. "
        "Exit codes: 0 in order, 1 something is missing, outdated or failed, 2 usage."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", choices=["install", "remove", "status"])
        add_labels(parser)
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="an alias of DATABASES")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="print the SQL that install would execute, for whoever may execute it",
        )
        parser.add_argument("--json", action="store_true", help="the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        using, labels, action = options["database"], options["labels"], options["action"]
        if using not in connections:
            usage(f"There is no database {using!r}.{did_you_mean(using, connections)}")
        try:
            if action == "remove":
                self._removed(remove(using, labels), options["json"])
            elif action == "status":
                self._tell(status(using, labels), options["json"])
            elif options["dry_run"]:
                for table in status(using, labels):
                    for statement in table.statements:
                        self.stdout.write(f"{statement};\n")
            else:
                self._require_outbox()
                done = install(using, labels)
                for table in done:
                    self.stderr.write(f"{table.table}: {', '.join(table.problems)}: mended")
                self._tell(status(using, labels), options["json"])
        except CachePatternsError as error:
            usage(str(error))
        except DatabaseError as error:
            raise CommandError(
                f"Nothing was changed: {error}\nTo have it done by somebody who may, "
                "see --dry-run; if a lock was waited for, try again.",
                returncode=FAILURE,
            ) from error

    def _require_outbox(self) -> None:
        if not config().OUTBOX:
            usage(
                'CACHEPATTERNS["OUTBOX"] is off: nobody would deliver what triggers record, and '
                "it would pile up. Turn it on and run `manage.py relay_invalidations` first."
            )

    def _removed(self, functions: list[str], as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"removed": functions}))
            return
        for name in functions:
            self.stdout.write(f"removed {name} and its triggers")
        if not functions:
            self.stdout.write("There was nothing to remove.")

    def _tell(self, tables: list[TableStatus], as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"tables": [_as_data(table) for table in tables]}))
        else:
            for table in tables:
                name = f"{table.table} ({table.label})" if table.label else table.table
                self.stdout.write(f"{name}: {table.state}")
                for problem in table.problems:
                    self.stdout.write(f"    {problem}")
        in_order = all(table.state is State.INSTALLED for table in tables)
        leave(OK if in_order else FAILURE)


def _as_data(table: TableStatus) -> dict[str, object]:
    return {
        "model": table.label,
        "table": table.table,
        "state": str(table.state),
        "problems": list(table.problems),
    }
