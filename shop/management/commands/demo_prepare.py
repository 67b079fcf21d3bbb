"""`manage.py demo_prepare`: the demo's child that fills the database and warms the cache."""

from argparse import ArgumentParser

from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand

from cachepatterns import no_invalidation
from shop.progress import Progress
from shop.seed import is_seeded, seed


class Command(BaseCommand):
    help = "Migrate, fill an empty shop, and warm the cache; `demo` runs this by itself."
    # The tables that checks may look at are made here.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--products", type=int, default=5200)
        parser.add_argument("--reviews", type=int, default=9000)

    def handle(self, *, products: int, reviews: int, **options: object) -> None:
        self.stdout.write("Migrating ...")
        call_command("migrate", verbosity=0, interactive=False)
        if is_seeded():
            self.stdout.write("The shop is filled already.")
        else:
            # An import: nobody need be told of it row by row.
            with no_invalidation(), Progress("Filling the shop", self.stdout) as progress:
                seed(products=products, reviews=reviews, progress=progress)
        if "cache_warm" in get_commands():
            self.stdout.write("Warming the cache ...")
            # Nothing serves yet: nobody but us can have written.
            call_command(
                "cache_warm", all=True, no_writers=True, stdout=self.stdout, stderr=self.stderr
            )
