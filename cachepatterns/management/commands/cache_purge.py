"""``manage.py cache_purge``: throw an object, a model, an app, a tag or all of it out."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cachepatterns.exceptions import BackendError, CachePatternsError
from cachepatterns.management.console import (
    FAILURE,
    OK,
    PARTIAL,
    leave,
    require_server,
    unreachable,
    usage,
)
from cachepatterns.purging import (
    Target,
    everything,
    named_target,
    pattern_target,
    preview,
    purge,
    tag_target,
)


class Command(BaseCommand):
    help = (
        "Purges entries from the cache: never anything outside of our own prefix. "
        "Exit codes: 0 done, 1 failed, 2 usage, 3 partly done, 4 Redis unreachable."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("targets", nargs="*", help="shop, shop.Product or shop.Product:7")
        parser.add_argument("--tag", action="append", default=[], help="a tag, e.g. catalog:5")
        parser.add_argument(
            "--pattern", action="append", default=[], help="a glob of keys, after the prefix"
        )
        parser.add_argument("--all", action="store_true", help="everything under our prefix")
        parser.add_argument("--dry-run", action="store_true", help="say what would be purged")
        parser.add_argument(
            "--noinput", "--no-input", action="store_false", dest="interactive", help="do not ask"
        )
        parser.add_argument("--json", action="store_true", help="the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            targets = _targets(options)
        except CachePatternsError as error:
            usage(str(error))
        require_server()
        found: list[dict[str, Any]] = []
        interrupted = False
        try:
            if options["dry_run"]:
                for target in targets:
                    count = preview(target).count
                    found.append({"target": target.title, "keys": count})
            else:
                if options["interactive"]:
                    self._ask(targets)
                for target in targets:
                    done = purge(target, "command")
                    found.append(
                        {
                            "target": target.title,
                            "keys": done.keys,
                            "tags": done.tags,
                            "delivered": done.delivered,
                        }
                    )
        except KeyboardInterrupt:
            interrupted = True
            self.stderr.write("Interrupted; what was done until then:")
        except BackendError as error:
            self._tell(found, options)
            unreachable(error)
        self._tell(found, options)
        late = any(not line.get("delivered", True) for line in found)
        leave(PARTIAL if interrupted else FAILURE if late else OK)

    def _ask(self, targets: list[Target]) -> None:
        for target in targets:
            self.stderr.write(f"{target.title}: {preview(target).count} keys")
        try:
            answer = input("Purge? Type 'yes' to continue: ")
        except EOFError:
            usage("Nobody can be asked here; give --noinput to purge without asking.")
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was purged.")

    def _tell(self, found: list[dict[str, Any]], options: Any) -> None:
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], "purged": found}))
            return
        for line in found:
            if options["dry_run"]:
                self.stdout.write(f"{line['target']}: {line['keys']} keys would be deleted")
                continue
            self.stdout.write(
                f"{line['target']}: {line['tags']} tags bumped, {line['keys']} keys deleted"
            )
            if not line["delivered"]:
                self.stderr.write(f"{line['target']}: Redis did not answer; nothing is purged yet")


def _targets(options: Any) -> list[Target]:
    given = [options["targets"], options["tag"], options["pattern"]]
    if not any(given) and not options["all"]:
        usage("Name what to purge: an app, a model, app.Model:pk, --tag, --pattern or --all.")
    if any(given) and options["all"]:
        usage("--all leaves nothing for the other targets.")
    if options["all"]:
        return [everything()]
    found = [named_target(name) for name in options["targets"]]
    found += [tag_target(tag) for tag in options["tag"]]
    found += [pattern_target(pattern) for pattern in options["pattern"]]
    return found
