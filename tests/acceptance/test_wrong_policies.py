"""The shop with two policies that are wrong on purpose: the advisor finds them by its traffic."""

import importlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from cachepatterns.backends.store import current_store
from cachepatterns.registry import site
from cachepatterns.stats import verdicts
from cachepatterns.stats.recorder import recorder
from shop import caching
from shop.models import Country, Order, Product

ROOT = Path(__file__).resolve().parents[2]
ORDERS, PRICES, PAGES = 205, 35, 3


@pytest.fixture
def wrong_policies(shop, monkeypatch):
    # On a busy machine times say nothing; what is to be found does not hang on them.
    monkeypatch.setattr(verdicts, "MEASURED", 10**9)
    sys.modules.pop("shop.wrong", None)
    importlib.import_module("shop.wrong")
    recorder.forget()
    yield
    current_store().near.close()
    site.unregister(Order)
    site.unregister(Product)
    site.register(Order, caching.OrderPolicy)
    site.register(Product, caching.ProductPolicy)


def visits_of_customers() -> None:
    """Ada looks at each of her orders once."""
    ada = User.objects.get(username="ada")
    client = Client()
    client.force_login(ada)
    amounts = dict.fromkeys(("subtotal", "tax", "total"), 1)
    orders = Order.objects.bulk_create(
        Order(number=f"W{number}", user=ada, country=Country.objects.first(), **amounts)
        for number in range(ORDERS)
    )
    for order in orders:
        assert client.get(order.get_absolute_url()).status_code == 200


def visits_while_prices_change() -> None:
    """A few pages are visited again and again; the prices of other things change meanwhile."""
    visited = list(Product.objects.filter(is_active=True).order_by("pk")[:PAGES])
    other = Product.objects.exclude(category__in=[p.category_id for p in visited]).first()
    client = Client()
    for price in range(PRICES):
        Product.objects.filter(pk=other.pk).update(price=10 + price)
        for product in visited:
            assert client.get(product.get_absolute_url()).status_code == 200


def test_the_advisor_finds_both_and_proposes_what_mends_them(
    wrong_policies, tmp_path, monkeypatch
):
    visits_of_customers()
    visits_while_prices_change()
    assert recorder.flush()
    monkeypatch.chdir(ROOT)
    out = io.StringIO()
    call_command("cache_advise", "shop", "--since=1h", "--json", stdout=out)
    data = json.loads(out.getvalue())
    changes = {advice["label"]: advice["change"] for advice in data["advice"]}
    assert changes["shop.order"] == {"set": {"tier": "never"}, "drop": []}
    assert changes["shop.product"] == {"set": {}, "drop": ["narrow_by_only"]}
    (tmp_path / "shop").mkdir()
    shutil.copy(ROOT / "shop" / "wrong.py", tmp_path / "shop")
    done = subprocess.run(
        ["git", "apply", "--include=shop/wrong.py", "-"],
        cwd=tmp_path, input=data["diff"], text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    mended = (tmp_path / "shop" / "wrong.py").read_text()
    assert 'tier = "never"' in mended
    assert "narrow_by_only" not in mended
