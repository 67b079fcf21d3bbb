"""The demo from start to finish."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from django.apps import apps

from shop import home
from shop.demo.check import check_pages
from shop.demo.patterns.performance import perform
from shop.demo.patterns.stage import Stage
from shop.demo.site import Site, site
from shop.demo.web import free_port_from, watch, workers
from shop.processes import Program
from shop.servers.base import free_port

Say = Callable[[str], object]


class StepFailed(Exception):
    """A child of the demo left with an error, which it has printed itself."""


def serve(*, port: int, count: int, say: Say) -> None:
    """Run the demo until somebody stops it."""
    with site(home.home(), durable=True, say=say) as running:
        _prepare(running)
        running.env["SHOP_FLUSH"] = "1"
        chosen = free_port_from(port)
        with workers(running, port=chosen, count=count) as process:
            if chosen != port:
                say(f"Port {port} is taken.")
            say(_welcome(chosen))
            # Only from here on does Ctrl-C mean success: it is how the demo ends.
            with contextlib.suppress(KeyboardInterrupt):
                watch(process, running)
            say("\nStopping ...")


def check(*, count: int, say: Say) -> bool:
    """Run it in a folder that is removed afterwards; return whether every page is well."""
    with (
        tempfile.TemporaryDirectory(prefix="cachepatterns-check-") as folder,
        site(Path(folder), durable=False, say=say) as running,
    ):
        _prepare(running, "--products", "1500", "--reviews", "3000")
        port = free_port()
        with workers(running, port=port, count=count):
            pages_are_well = check_pages(f"http://127.0.0.1:{port}", say)
            return _nothing_is_stale(running, say) and pages_are_well


def show_patterns(
    *, count: int, say: Say, only: Sequence[str] = (), without: Sequence[str] = ()
) -> dict[str, str]:
    """Play the scene of each pattern, of `only` these if any are named; return what is wrong, by
    pattern. Those in `without` the shop does without: theirs must fail."""
    with (
        tempfile.TemporaryDirectory(prefix="cachepatterns-patterns-") as folder,
        site(Path(folder), durable=False, say=say) as running,
    ):
        running.env["SHOP_WITHOUT"] = ",".join(without)
        say("Filling the shop ...")
        _prepare(running, "--products", "600", "--reviews", "1200", log=Path(folder) / "log")
        # From here on somebody relays.
        running.env.update(SHOP_OUTBOX="1", SHOP_FLUSH="1", SHOP_THREADS="32", SHOP_STAGE="1")
        port = free_port()
        with (
            workers(running, port=port, count=count),
            Stage(running, f"http://127.0.0.1:{port}", processes=count) as stage,
        ):
            return perform(stage, say, only=only, without=without)


def _nothing_is_stale(running: Site, say: Say) -> bool:
    """Compare what the visits have left in the cache with the database."""
    if not apps.is_installed("cachepatterns"):
        return True
    command = [sys.executable, str(home.BASE_DIR / "manage.py"), "cache_verify", "--json"]
    done = subprocess.run(command, env=running.env, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise StepFailed(f"cache_verify failed:\n{done.stderr}")
    found = json.loads(done.stdout)
    for finding in found["findings"]:
        say(f"STALE  {finding['key']}: {finding['difference']}")
    say(
        f"{found['checked']} entries compared with the database, {found['stale']} stale, "
        f"{found['unknown']} unknown."
    )
    return found["checked"] > 0 and not found["stale"]


def _prepare(running: Site, *arguments: str, log: Path | None = None) -> None:
    manage = str(home.BASE_DIR / "manage.py")
    program = Program(
        command=[sys.executable, manage, "demo_prepare", *arguments], env=running.env, log=log
    )
    with program.running() as process:
        code = process.wait()
    if code:
        told = f"\n{log.read_text(errors='replace')}" if log else ""
        raise StepFailed(f"The shop could not be prepared.{told}")


def _short(path: Path) -> str:
    """Relative to where the user stands, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _welcome(port: int) -> str:
    url = f"http://127.0.0.1:{port}"
    return f"""
  Shop      {url}/
  Admin     {url}/admin/     staff / staff
  Customer  {url}/login/     ada / customer
  Metrics   {url}/metrics

  Ctrl-C stops everything; the data stays in {_short(home.home())}/.
"""
