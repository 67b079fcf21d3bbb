"""The stage: the running shop as a scene sees it, and what it may do there."""

from __future__ import annotations

import contextlib
import html
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeVar

import psycopg
import redis

from shop.demo.actor import Actor
from shop.demo.forms import form_fields
from shop.demo.nursery import Done, Nursery
from shop.demo.patterns.pattern import Failed
from shop.demo.site import Site
from shop.demo.visitor import Visit, Visitor

T = TypeVar("T")

PATIENCE_SECONDS = 15.0
"""How long what the pattern brings about may take."""
WITHOUT_SECONDS = 4.0
"""How long it is waited for where the shop does without."""
PAUSE_SECONDS = 0.02
PRICE = re.compile(r'data-price="([\d.]+)"')


@dataclass(frozen=True, kw_only=True)
class Article:
    """A product that nobody else on the stage touches."""

    pk: int
    slug: str
    sku: str
    name: str
    price: Decimal

    @property
    def path(self) -> str:
        return f"/product/{self.slug}/"


class Stage(contextlib.ExitStack):
    """A shop that is served at `base`, by several processes. A context manager: at its end all
    actors have left."""

    def __init__(self, site: Site, base: str, *, processes: int = 2) -> None:
        super().__init__()
        self.site = site
        self.base = base
        self.processes = processes
        """How many serve."""
        self.patience = PATIENCE_SECONDS
        self._taken = 0
        self._nurseries: dict[tuple[tuple[str, str], ...], Nursery] = {}

    # -- visitors ---------------------------------------------------------------------------

    def visitor(self, login: str = "") -> Visitor:
        """Somebody with cookies of their own; `login` is a user of the demo, ``ada`` say."""
        visitor = Visitor(self.base)
        if login:
            visitor.login(login, "staff" if login == "staff" else "customer")
        return visitor

    @cached_property
    def staff(self) -> Visitor:
        return self.visitor("staff")

    def get(self, path: str) -> Visit:
        """A page, for a stranger; raises `Failed` unless it is answered with 200."""
        visit = Visitor(self.base).get(path)
        if visit.status != 200:
            raise Failed(f"{path} answered {visit.status}")
        return visit

    def change(self, path: str, form: str, **fields: str) -> Visit:
        """Change fields of a form of the admin, as a browser would; `path` is the form's page."""
        given = form_fields(self.staff.get(path).body, form)
        visit = self.staff.post(path, {**given, **fields})
        if "was changed successfully" not in html.unescape(visit.body):
            raise Failed(f"{path} did not take {fields}: status {visit.status}")
        return visit

    # -- products ---------------------------------------------------------------------------

    def product(self) -> Article:
        """The next product that no scene has taken yet."""
        with self.database() as connection:
            found = connection.execute(
                "SELECT id, slug, sku, name, price FROM shop_product"
                " WHERE is_active AND stock >= 50 ORDER BY id LIMIT 1 OFFSET %s",
                [self._taken],
            ).fetchone()
        self._taken += 1
        assert found is not None
        return Article(**dict(zip(("pk", "slug", "sku", "name", "price"), found, strict=True)))

    def set_price(self, product: Article, price: Decimal | str) -> None:
        """Change it in the admin, over HTTP."""
        path = f"/admin/shop/product/{product.pk}/change/"
        self.change(path, "product_form", price=str(price))

    def shown_price(self, product: Article) -> Decimal:
        """What the product's page says it costs, to a stranger."""
        found = PRICE.search(self.get(product.path).body)
        if found is None:
            raise Failed(f"{product.path} shows no price")
        return Decimal(found.group(1))

    # -- beside the shop --------------------------------------------------------------------

    @contextlib.contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """The shop's database for somebody who knows nothing of Django; autocommit."""
        with psycopg.connect(self.site.env["DATABASE_URL"], autocommit=True) as connection:
            yield connection

    def actor(self, function: str, *arguments: object, **env: str) -> Actor:
        """One more process of the shop that runs `function` (see `shop.demo.actor`); a context
        manager."""
        return self._nursery(env).actor(function, *arguments)

    def ask(self, function: str, *arguments: object, **env: str) -> Any:
        """What such a process returns that never pauses."""
        with self.actor(function, *arguments, **env) as actor:
            return actor.result()

    def manage(self, *arguments: str) -> Done:
        """Run ``manage.py`` with `arguments`; its output is kept, its exit code not judged."""
        return self._nursery({}).manage(*arguments)

    def _nursery(self, env: dict[str, str]) -> Nursery:
        different = tuple(sorted(env.items()))
        if different not in self._nurseries:
            nursery = Nursery({**self.site.env, **env})
            self._nurseries[different] = self.enter_context(nursery)
        return self._nurseries[different]

    def stats(self) -> dict[str, Any]:
        """What ``cache_stats --json`` says of the last hour."""
        done = self.manage("cache_stats", "--since", "1h", "--json")
        if done.returncode:
            raise Failed(f"cache_stats failed: {done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def settle(self) -> None:
        """Return when no write of products is under way any more: what was killed in the midst of
        one keeps readers away until its registration expires, and relays may bump once more."""
        done = self.manage("flush_counters")  # lest servers write them when somebody reads
        if done.returncode:
            raise Failed(f"flush_counters failed: {done.stderr}")
        self.until("earlier writes have ended", self._is_quiet, patience=PATIENCE_SECONDS)

    def _is_quiet(self) -> bool:
        self.get("/")  # who finds a guard closed looks after it
        with self.database() as connection:
            waiting = connection.execute(
                "SELECT count(*) FROM cachepatterns_invalidationevent WHERE delivered_at IS NULL"
            ).fetchone()
        with redis.Redis.from_url(self.site.env["CACHE_URL"]) as client:
            guards = [client.get(key) for key in client.scan_iter("*:guard:shop.product@*")]
        return waiting == (0,) and all(guard and guard[:1] == b"o" for guard in guards)

    def until(self, what: str, look: Callable[[], T], *, patience: float | None = None) -> T:
        """Look until there is something to see, and return it; raises `Failed` after a while."""
        patience = self.patience if patience is None else patience
        deadline = time.monotonic() + patience
        while not (found := look()):
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not within {patience:.0f} s")
            time.sleep(PAUSE_SECONDS)
        return found


def outcomes(*visits: Visit) -> Counter[str]:
    """The outcomes of all cached reads of `visits`."""
    total: Counter[str] = Counter()
    for visit in visits:
        for counts in visit.outcomes.values():
            total += counts
    return total


def statements(*visits: Visit) -> int:
    """The SQL statements of all `visits`, as the servers counted them."""
    return sum(visit.sql or 0 for visit in visits)
