"""A test for each pattern, of what the shop gains by it: without the pattern it fails.

``SHOP_WITHOUT=herd python -m pytest tests/shop/test_each_pattern.py`` fails in
``test_herd`` and in nothing else; `python -m tests.shop.without` shows that of all.
"""

import json
import runpy
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

import shop.settings
from cachepatterns import observe
from cachepatterns.observe import ShadowEvent
from cachepatterns.read import loading
from cachepatterns.read.floods import floods
from cachepatterns.stats.recorder import Recorder
from cachepatterns.testing import testcase_commits
from cachepatterns.write.fence import settle
from cachepatterns.write.flushing import Flusher
from cachepatterns.write.relay import Relay
from shop import queries
from shop.demo import aging
from shop.models import FeatureFlag, Order, PricingRule, Product, SearchEvent
from shop.suppliers import take_over_prices
from tests.calm import nobody_writes
from tests.events import eventually, outcome_of, seen
from tests.policies import policy_of

READERS = 8


@pytest.fixture(autouse=True)
def _committed(shop):
    with testcase_commits():
        yield


@pytest.fixture
def as_served(settings, monkeypatch):
    """Settings of the shop's own, as its processes read them with `environment`; but what threads
    of theirs would do is for the test to do."""

    def read(**environment: str) -> dict[str, Any]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        own: dict[str, Any] = runpy.run_path(shop.settings.__file__)["CACHEPATTERNS"]
        settings.CACHEPATTERNS = {**own, "VERIFY_SHARE": 0, "RELAY": "", "FLUSH": ""}
        nobody_writes()
        return own

    return read


def outcomes(response) -> dict[str, dict[str, int]]:
    return json.loads(response.headers["X-Cache-Outcomes"])


def past_django(sql: str, *values: object) -> None:
    """As a program that knows nothing of Django."""
    with connection.cursor() as wrapped:
        wrapped.cursor.execute(sql, values)


def test_computed(client, product):
    path = f"/category/{product.category.slug}/"
    client.get(path)
    again = outcomes(client.get(path))
    assert again.get("computed category:prices:{category.pk}") == {"hit": 1}


def test_write_through():
    for model, field, read in (
        (FeatureFlag, "enabled", queries.flags),
        (PricingRule, "is_active", queries.pricing_rules),
    ):
        list(read())
        changed = model.objects.first()
        setattr(changed, field, not getattr(changed, field))
        changed.save()
        settle()
        found = []
        assert outcome_of(lambda read=read, found=found: found.extend(read())) == "hit"
        assert (changed in found) == getattr(changed, field)


def test_write_behind(client, product):
    with CaptureQueriesContext(connection) as asked:
        bodies = [client.get(product.get_absolute_url()).content.decode() for _ in range(3)]
        client.get("/search/?q=lamp")
    assert not [q["sql"] for q in asked if q["sql"].startswith(("UPDATE", "INSERT"))]
    assert [f'data-views="{n}"' in body for n, body in enumerate(bodies, 1)] == [True] * 3
    Flusher().everything()
    assert Product.objects.uncached().get(pk=product.pk).view_count == 3
    assert SearchEvent.objects.filter(words="lamp").count() == 1


def test_ttl_tiers(product):
    def read() -> Product:
        return queries.product(product.slug)

    read()
    assert aging.grow_older(None, "shop.product", "720")
    assert outcome_of(read) == "hit"
    key = queries.products().explain_cache("get", slug=product.slug).key
    assert aging.life_of(key) > 600


def test_explicit(client, product):
    client.get(product.get_absolute_url())
    take_over_prices({product.sku: product.price + 1})
    page = client.get(product.get_absolute_url()).content.decode()
    assert f'data-price="{product.price + 1}"' in page


def test_event_driven(as_served, client, product):
    relays = as_served(SHOP_OUTBOX="1").get("RELAY")
    assert "Sold out for now" not in client.get(product.get_absolute_url()).content.decode()
    past_django("UPDATE shop_product SET stock = 0 WHERE id = %s", product.pk)
    past_django(
        "INSERT INTO cachepatterns_invalidationevent (source, payload) VALUES ('warehouse', %s)",
        '{"model": "shop.product"}',
    )
    if relays:
        with closing(Relay("default")) as relay:
            relay.round()
    assert "Sold out for now" in client.get(product.get_absolute_url()).content.decode()


def test_stale_while_revalidate():
    list(queries.newest())
    assert aging.grow_older(None, "shop.product", "50")
    assert outcome_of(lambda: list(queries.newest())) == "stale"


def test_negative_caching(as_served):
    as_served()
    floods.forget()
    before = aging.count_keys(None)
    for _ in range(150):
        with pytest.raises(Product.DoesNotExist):
            queries.product(f"made-up-{secrets.token_hex(6)}")
    settle()
    assert aging.count_keys(None) - before < 200


def test_rendered(client):
    client.get("/sitemap.xml")
    assert outcomes(client.get("/sitemap.xml")).get("view sitemap.xml") == {"hit": 1}


def test_sessions(ada):
    assert ada.get("/profile/").status_code == 200
    Session.objects.all().delete()  # as an incident's staff would, with what they know
    assert ada.get("/profile/").status_code == 302


def test_advisor(as_served, silent_recorder, capsys):
    as_served(SHOP_WRONG_POLICIES="1")
    counter = Recorder(background=False)
    with policy_of(Order, tier="semi_static"):
        observe.subscribe(counter)
        try:
            for number in range(205):
                assert not Order.objects.filter(number=f"W{number}").exists()
        finally:
            observe.unsubscribe(counter)
        counter.flush()
        call_command("cache_advise", "shop.Order", "--since", "1h", "--json")
    advice = json.loads(capsys.readouterr().out)["advice"]
    assert [each["change"]["set"] for each in advice] == [{"tier": "never"}]


def test_warming(client):
    call_command("cache_warm", "shop", verbosity=0)
    with seen() as found:
        client.get("/")
    of_products = [e.outcome for e in found.reads if e.label == "shop.product"]
    assert of_products
    assert {*of_products} == {"hit"}


def test_debugging(as_served, product):
    as_served(SHOP_SHADOW="1")
    queries.product(product.slug)
    past_django("UPDATE shop_product SET price = price + 1 WHERE id = %s", product.pk)
    with seen() as found:
        queries.product(product.slug)
    assert [e.verdict for e in found.events if isinstance(e, ShadowEvent)] == ["stale"]


def test_monitoring(client, product):
    def scraped() -> int:
        text = client.get("/metrics").content.decode()
        lines = [line for line in text.splitlines() if "cachepatterns_requests_total{" in line]
        return sum(int(float(line.rpartition(" ")[2])) for line in lines)

    before = scraped()
    for _ in range(3):
        client.get(product.get_absolute_url())
    assert scraped() >= before + 3


@pytest.mark.django_db(transaction=True)
def test_herd(product):
    began = threading.Semaphore(0)

    def read() -> None:
        began.release()
        try:
            queries.product(product.slug)
        finally:
            connections.close_all()

    def at_the_lock() -> int:
        with connection.cursor() as cursor:
            # Of this table alone: others' tests wait for locks of theirs on the same server.
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted"
                " AND relation = 'shop_product'::regclass AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            return cursor.fetchone()[0]

    with ThreadPoolExecutor(READERS) as pool, seen() as found:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE shop_product IN ACCESS EXCLUSIVE MODE")
            readers = [pool.submit(read) for _ in range(READERS)]
            for _ in readers:
                began.acquire()
            eventually(lambda: at_the_lock() + len(loading.flights._waiting) >= READERS)
            # Whoever does not wait for the first one's answer comes to the lock himself.
            deadline = time.monotonic() + 0.5
            while at_the_lock() < READERS and time.monotonic() < deadline:
                time.sleep(0.01)
            at_once = at_the_lock()
        for reader in readers:
            reader.result()
    assert at_once == 1
    assert found.outcomes.count("miss") == 1
