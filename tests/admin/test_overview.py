"""The overview shows what the fleet counted, to those who may see it, with nothing inline."""

import re

import pytest

from cachepatterns.observe import ErrorEvent, InvalidationEvent, ReadEvent
from cachepatterns.stats.callsites import CallSite
from cachepatterns.stats.recorder import Recorder
from cachepatterns.write.coarse import WRITERS

pytestmark = pytest.mark.urls("tests.admin.urls")
OVERVIEW = "/admin/cachepatterns/cachedashboard/"
VIEW = "cachepatterns.view_cachedashboard"


@pytest.fixture
def counted():
    recorder = Recorder(background=False)
    for _ in range(950):
        recorder(ReadEvent("app.item", "list:category", "hit", 0.0004))
    for _ in range(50):
        recorder(ReadEvent("app.item", "list:category", "miss", 0.005, 0.0045, 900))
    for _ in range(300):
        recorder(ReadEvent("app.note", "list", "miss", 0.005, 0.0045, 900))
    recorder(ReadEvent("app.item", "list", "bypass", reason="extra()"))
    recorder(
        InvalidationEvent(
            ("app.item",), ("app.item@ab:pk=7",), "save", object_pk="7", object_label="app.item"
        )
    )
    recorder.flush()
    return recorder


def text(response) -> str:
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_it_stands_in_the_list_of_apps_and_shows_the_numbers(login, counted):
    client = login(VIEW)
    assert OVERVIEW in client.get("/admin/").content.decode()
    page = text(client.get(OVERVIEW))
    assert "The cache works." in page
    assert "1 process reporting" in page
    assert "73.1 %" in page  # of all questions
    assert "95 %" in page or "95.0 %" in page  # of the items'
    assert "healthy" in page
    assert "app.item 7" in page


def test_what_needs_attention_says_why_and_what_to_do(login, counted):
    page = text(login(VIEW).get(OVERVIEW))
    assert "Needs attention" in page
    assert "probably hurting" in page
    assert ".uncached()" in page


def test_the_period_is_in_the_address(login, counted):
    client = login(VIEW)
    for period in ("1h", "6h", "24h", "7d"):
        page = client.get(OVERVIEW, {"period": period}).content.decode()
        assert f'href="?period={period}" aria-current="true"' in page
    assert client.get(OVERVIEW, {"period": "nonsense"}).status_code == 200


def test_who_may_not_see_it_is_turned_away(login, client):
    assert login().get(OVERVIEW).status_code == 403
    assert login().get(f"{OVERVIEW}data/").status_code == 403
    assert login().get(f"{OVERVIEW}model/app.item/").status_code == 403
    assert client.get(OVERVIEW).status_code == 302


@pytest.mark.parametrize("address", ["", "model/app.item/", "purge/", "purge/?target=*"])
def test_no_page_of_ours_needs_inline_script_or_style(login, counted, address):
    page = login("*").get(OVERVIEW + address).content.decode()
    assert "<style" not in page
    assert not re.search(r"\sstyle=", page)
    assert not re.search(r"\son\w+=\"", page)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))


def test_the_live_part_comes_as_json(login, counted):
    answer = login(VIEW).get(f"{OVERVIEW}data/", {"period": "6h"})
    assert answer["Content-Type"] == "application/json"
    assert "no-store" in answer["Cache-Control"]
    assert answer.json()["state"] == "ok"
    assert "app.item" in answer.json()["html"]


def test_the_charts_are_there_without_javascript_and_as_tables(login, counted):
    page = login(VIEW).get(OVERVIEW).content.decode()
    assert page.count("<svg") >= 3
    assert page.count("As a table") == 3
    assert "<polyline" in page


def test_before_any_read_it_says_so(login):
    assert "No reads yet" in text(login(VIEW).get(OVERVIEW))


def test_errors_make_it_degraded(login, counted):
    counted(ErrorEvent("read", "timeout"))
    counted.flush()
    page = text(login(VIEW).get(OVERVIEW))
    assert "with errors" in page
    assert "read: timeout" in page


def test_switched_off_it_says_so(login, counted, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "ENABLED": False}
    assert "switched off" in text(login(VIEW).get(OVERVIEW))


def test_with_redis_down_the_page_still_comes(login, counted, settings):
    client = login(VIEW)
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    default = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "default": default}
    client = login(VIEW)
    assert "Redis does not answer" in text(client.get(OVERVIEW))


def test_a_models_page_tells_patterns_policy_and_reasons(login, counted):
    page = text(login(VIEW).get(f"{OVERVIEW}model/app.item/"))
    for said in ("list:category", "semi_static", "15 min", "ItemPolicy", "extra()", "category"):
        assert said in page


def test_a_models_page_tells_how_old_an_answer_may_be_and_what_came_from_memory(login):
    recorder = Recorder(background=False)
    for _ in range(7):
        recorder(ReadEvent("shop.country", "list", "near", 0.00001))
    recorder.flush()
    page = text(login(VIEW).get(f"{OVERVIEW}model/shop.country/"))
    assert "7 (7 in memory)" in page
    assert "accepts_staleness 1 s" in page


COARSE = InvalidationEvent(
    ("app.item",), ("app.item@ab",), "raw SQL", coarse=True, site="shop.<b>jobs</b>:12"
)


@pytest.mark.parametrize("address", ["", "model/app.item/"])
def test_writes_seen_only_by_their_table_say_where_and_what_to_do(login, counted, address):
    client = login(VIEW)
    assert "seen only by their table" not in text(client.get(OVERVIEW + address))
    for _ in range(3):
        counted(COARSE)
    counted.flush()
    response = client.get(OVERVIEW + address)
    assert "app.item raw SQL shop.&lt;b&gt;jobs&lt;/b&gt;:12 3 Write through Django" in text(
        response
    )
    assert "<b>jobs" not in response.content.decode()


def test_each_kind_of_coarse_write_has_an_advice_of_its_own():
    sources = [*dict.fromkeys(WRITERS.values()), "raw SQL", "other"]
    assert len({CallSite(source, "").advice for source in sources}) == len(sources)


def test_a_model_nobody_knows_is_not_found(login):
    assert login(VIEW).get(f"{OVERVIEW}model/app.nothing/").status_code == 404


def test_a_site_of_ones_own_keeps_its_own_links(login, counted):
    page = login("*").get("/office/cachepatterns/cachedashboard/").content.decode()
    assert "Back office" in page
    assert "/office/cachepatterns/cachedashboard/purge/" in page
    assert 'href="/admin/' not in page


def test_what_people_wrote_is_escaped(login, counted):
    counted(InvalidationEvent(("app.item",), ("<b>",), "<script>alert(1)</script>"))
    counted(ReadEvent("app.item", "<i>x</i>", "hit", 0.001))
    counted.flush()
    page = login(VIEW).get(OVERVIEW).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_a_models_page_proposes_the_change_and_says_what_caching_it_earns(login, counted):
    """Notes are read once, if at all: 300 misses."""
    page = text(login(VIEW).get(f"{OVERVIEW}model/app.note/"))
    assert "in an hour (estimated)" in page
    assert "Proposed change" in page
    assert "class NotePolicy(Plain):" in page
    assert "Proposed change" not in text(login(VIEW).get(f"{OVERVIEW}model/app.item/"))
