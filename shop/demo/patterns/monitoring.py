"""Monitoring: what Prometheus scrapes is what the visitors were served, and what is hot is known.

The interleaving: a web process is killed between two scrapes. What it has counted must not be
missed by the next: a counter that falls looks like a restart of the site, and its rates are wrong.
"""

import json
import os
import re
import signal
from collections import Counter
from typing import Any

from shop.demo.actor import Pause
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage, outcomes, statements
from shop.processes import is_alive

VISITS = 24
"""So many that one of the processes gets several."""
SAMPLE = re.compile(
    r'^cachepatterns_requests_total\{.*?result="(\w+)".*?\} ([\d.e+]+)$', re.MULTILINE
)


def key_of(pause: Pause, slug: str) -> str | None:
    """The key of the entry that the product's page is answered from."""
    from shop import queries

    products: Any = queries.products()
    key: str | None = products.explain_cache("get", slug=slug).key
    return key


def perform(stage: Stage) -> Played:
    product = stage.product()
    cold = stage.get(product.path)
    before = _scraped(stage)
    visits = [stage.get(product.path) for _ in range(VISITS)]
    served, counted = outcomes(*visits)["hit"], _scraped(stage)["hit"] - before["hit"]
    require(served and counted >= served, f"{served} hits were served, {counted} scraped")
    text = stage.get("/metrics").body
    require(product.slug not in text and product.sku not in text, "a label holds a value")
    key = stage.ask(f"{__name__}.key_of", product.slug)
    hot = stage.until("the product's entry is hot", lambda: _hot(stage).get(key, 0))
    _kill_one(stage)
    after = _scraped(stage)
    fallen = [how for how, count in before.items() if after[how] < count]
    require(not fallen, f"counters have fallen with a process: {fallen}")
    require(after["hit"] >= before["hit"] + served, "what a killed process has counted is missed")
    return Played(
        counters={"hits served": served, "scraped": int(counted), "reads of the hot key": hot},
        sql_saved=len(visits) * statements(cold) - statements(*visits),
        interleaving="A web process was killed between two scrapes:"
        " the second has all it had counted.",
    )


def _scraped(stage: Stage) -> Counter[str]:
    """The reads of all processes by how they ended, as Prometheus would be told."""
    found: Counter[str] = Counter()
    for how, count in SAMPLE.findall(stage.get("/metrics").body):
        found[how] += int(float(count))
    return found


def _hot(stage: Stage) -> dict[str, int]:
    done = stage.manage("cache_stats", "shop.Product", "--hot", "200", "--json")
    return {each["key"]: each["reads"] for each in json.loads(done.stdout or "[]")}


def _kill_one(stage: Stage) -> None:
    """SIGKILL a web process; its parent starts another."""
    counting = (stage.site.directory / "metrics").glob("counter_*.db")
    pids = [int(path.stem.rpartition("_")[2]) for path in counting]
    alive = [pid for pid in pids if is_alive(pid)]
    require(alive, "no web process counts")
    os.kill(alive[0], signal.SIGKILL)
    stage.until("it is gone", lambda: not is_alive(alive[0]))


PATTERN = Pattern(
    number=15,
    name="monitoring",
    title="Monitoring",
    without="hits were served, 0 scraped",
    perform=perform,
)
