"""Purging from the admin: seen first, confirmed, logged, and only by those who may."""

import pytest
from django.contrib.admin.models import LogEntry
from django.core.cache import caches
from django.db import connection

from cachepatterns.backends.store import current_store
from tests.app.models import Category, Item, Secret
from tests.events import outcome_of

pytestmark = pytest.mark.urls("tests.admin.urls")
PURGE = "/admin/cachepatterns/cachedashboard/purge/"
MAY = ("cachepatterns.purge_cache", "cachepatterns.view_cachedashboard", "app.change_item")


def keys(pattern: str) -> list[str]:
    found = current_store().backend.scan(pattern, limit=100_000)
    return [key for page in found for key in page]


def outcome(pk) -> str:
    return outcome_of(lambda: Item.objects.get(pk=pk))


def test_one_object_goes_and_its_neighbour_stays(login, item):
    neighbour = Item.objects.get(sku="b").pk
    Item.objects.get(pk=neighbour)
    client = login(*MAY)
    target = f"app.Item:{item.pk}"
    preview = client.get(PURGE, {"target": target}).content.decode()
    assert f":{item.pk}</code>" in preview
    assert outcome(item.pk) == "hit"
    answer = client.post(PURGE, {"target": target})
    assert outcome(neighbour) == "hit"
    assert outcome(item.pk) == "miss"
    assert "was purged" in client.get(answer["Location"]).content.decode()


def test_the_lists_an_object_stands_in_go_too(login, item):
    client = login(*MAY)
    assert outcome_of(lambda: list(Item.objects.filter(category=item.category_id))) == "hit"
    client.post(PURGE, {"target": f"app.item:{item.pk}"})
    assert outcome_of(lambda: list(Item.objects.filter(category=item.category_id))) == "miss"


def test_what_another_client_wrote_is_seen_after_a_purge(login, item):
    Item.objects.get(pk=item.pk)
    with connection.cursor() as cursor:
        wrappers, connection.execute_wrappers = connection.execute_wrappers, []
        cursor.execute("UPDATE app_item SET price = 99 WHERE id = %s", [item.pk])
        connection.execute_wrappers = wrappers
    assert Item.objects.get(pk=item.pk).price == 1
    login(*MAY).post(PURGE, {"target": f"app.Item:{item.pk}"})
    assert Item.objects.get(pk=item.pk).price == 99


def test_it_stands_in_the_objects_own_history(login, item):
    login(*MAY).post(PURGE, {"target": f"app.Item:{item.pk}"})
    (entry,) = LogEntry.objects.all()
    assert entry.get_edited_object() == item
    assert "Purged from the cache" in entry.get_change_message()


def test_one_model_goes_and_others_stay(login, item, own_prefix):
    Category.objects.get(pk=item.category_id)
    login(*MAY).post(PURGE, {"target": "app.item"})
    assert keys(f"{own_prefix}:*:app.item.*") == []
    assert outcome_of(lambda: Category.objects.get(pk=item.category_id)) == "hit"
    assert outcome(item.pk) == "miss"
    assert LogEntry.objects.get().object_repr == "app.Item"


def test_everything_of_ours_goes_and_nothing_else(login, item, own_prefix):
    foreign = caches["default"].client.get_client()
    foreign.set("not-ours", "1")
    foreign.set(f"{own_prefix}x:row:app.item.1:2:3", "1")
    client = login("*")
    page = client.get(PURGE, {"target": "*"}).content.decode()
    assert "purge everything" in page
    client.post(PURGE, {"target": "*", "confirmation": "Purge everything "})
    for kind in ("row", "q", "tag"):
        assert keys(f"{own_prefix}:{kind}:*") == []
    assert foreign.delete("not-ours", f"{own_prefix}x:row:app.item.1:2:3") == 2
    assert outcome(item.pk) == "miss"


@pytest.mark.parametrize("typed", ["", "yes", "purge"])
def test_everything_must_be_confirmed_in_writing(login, item, typed):
    answer = login("*").post(PURGE, {"target": "*", "confirmation": typed})
    assert "to confirm" in answer.content.decode()
    assert outcome(item.pk) == "hit"


def test_everything_needs_its_own_permission(login, item):
    client = login(*MAY)
    answer = client.post(PURGE, {"target": "*", "confirmation": "purge everything"})
    assert answer.status_code == 403
    assert "Everything" not in client.get(PURGE).content.decode()


def test_an_object_needs_the_right_to_change_it(login, item):
    client = login("cachepatterns.purge_cache")
    assert client.post(PURGE, {"target": f"app.Item:{item.pk}"}).status_code == 403
    assert outcome(item.pk) == "hit"


def test_without_permission_there_is_no_page(login, item):
    client = login("cachepatterns.view_cachedashboard", "app.change_item")
    assert client.get(PURGE).status_code == 403
    assert client.post(PURGE, {"target": "app.item"}).status_code == 403


def test_read_only_takes_every_purge_away(login, item, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "READ_ONLY": True}
    client = login("*")
    assert client.get(PURGE).status_code == 403
    assert client.post(PURGE, {"target": "app.item"}).status_code == 403
    overview = client.get("/admin/cachepatterns/cachedashboard/").content.decode()
    assert "/purge/" not in overview
    change = client.get(f"/admin/app/item/{item.pk}/change/").content.decode()
    assert "/purge/" not in change
    assert "purge_from_cache" not in client.get("/admin/app/item/").content.decode()


@pytest.mark.parametrize("target", ["app.Nothing", "nowhere", "app.Item:x", "app.Secret", "a.b.c"])
def test_a_target_that_is_none_is_explained(login, item, target):
    answer = login("*").get(PURGE, {"target": target})
    assert answer.status_code == 404
    assert 'class="errornote"' in answer.content.decode()


def test_a_row_that_is_gone_from_the_database_can_be_purged(login, item):
    assert login("*").post(PURGE, {"target": "app.Item:999999"}).status_code == 302


def test_a_get_never_purges(login, item):
    login("*").get(PURGE, {"target": "*", "confirmation": "purge everything"})
    assert outcome(item.pk) == "hit"


def test_the_action_purges_the_chosen_objects(login, item):
    client = login(*MAY)
    chosen = {"action": "purge_from_cache", "_selected_action": [item.pk]}
    answer = client.post("/admin/app/item/", chosen, follow=True)
    assert "1 object was purged" in answer.content.decode()
    assert outcome(item.pk) == "miss"
    assert LogEntry.objects.get().get_edited_object() == item


def test_the_change_page_leads_to_the_objects_purge(login, item):
    page = login(*MAY).get(f"/admin/app/item/{item.pk}/change/").content.decode()
    assert f"{PURGE}?target=app.Item%3A{item.pk}" in page
    assert "History" in page


def test_a_model_that_is_not_registered_is_offered_no_purge(login, item):
    secret = Secret.objects.create(item=item, word="x")
    client = login("*")
    assert "/purge/" not in client.get(f"/admin/app/secret/{secret.pk}/change/").content.decode()
    assert "purge_from_cache" not in client.get("/admin/app/secret/").content.decode()


def test_with_redis_down_the_page_says_so(login, item, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    default = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "default": default}
    answer = login("*").post(PURGE, {"target": "app.item"})
    assert answer.status_code == 503
    assert "Redis does not answer" in answer.content.decode()


def test_neither_flushdb_nor_keys_is_ever_sent(login, item, monkeypatch):
    import redis

    sent: list[str] = []
    original = redis.Redis.execute_command

    def spy(self, *args, **kwargs):
        sent.append(str(args[0]).upper())
        return original(self, *args, **kwargs)

    monkeypatch.setattr(redis.Redis, "execute_command", spy)
    login("*").post(PURGE, {"target": "*", "confirmation": "purge everything"})
    assert "SCAN" in sent
    assert not {"FLUSHDB", "FLUSHALL", "KEYS"} & set(sent)
