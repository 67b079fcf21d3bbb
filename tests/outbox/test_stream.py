"""Events from other services by Redis: one documented XADD, by whoever the ACL lets add."""

import json
from urllib.parse import urlsplit

import pytest
import redis

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import stream_key
from cachepatterns.write import stream
from cachepatterns.write.delivery import Delivery
from tests.events import eventually, seen
from tests.outbox.conftest import relaying
from tests.outbox.test_relay import price, unseen


def client():
    return current_store().backend._client()


@pytest.fixture
def billing(outbox, redis_url):
    """A client that may do no more than the documented rule says."""
    key, place = stream_key(config().PREFIX), urlsplit(redis_url)
    name = f"billing{place.path.strip('/')}"
    client().execute_command(
        "ACL", "SETUSER", name, "reset", "on", ">secret", f"~{key}", "+xadd", "+select"
    )
    url = place._replace(netloc=f"{name}:secret@{place.hostname}:{place.port}").geturl()
    found = redis.Redis.from_url(url)
    yield found
    found.close()
    client().execute_command("ACL", "DELUSER", name)


def publish(who, payload, source="billing"):
    who.xadd(stream_key(config().PREFIX), {"source": source, "payload": json.dumps(payload)})


def test_what_is_added_is_bumped_once(goods, relay, billing):
    pk = goods[1][0].pk
    relay.round()
    price(pk)
    unseen("UPDATE app_item SET price = 9 WHERE id = %s", pk)
    publish(billing, {"model": "app.item"})
    with seen() as found:
        relay.round()
        relay.round()
    assert price(pk) == 9
    assert [event.source for event in found.invalidations] == ["billing"]


def test_two_relays_deal_with_each_entry_between_them(goods, billing):
    with relaying(2), seen() as found:
        for _ in range(20):
            publish(billing, {"model": "app.item"})
        eventually(lambda: len(found.invalidations) >= 20)
    assert len(found.invalidations) == 20


def test_what_a_relay_that_died_was_given_another_one_takes_over(
    goods, relay, billing, monkeypatch
):
    """The interleaving: it is killed between reading and bumping."""
    pk = goods[1][0].pk
    relay.round()
    price(pk)
    unseen("UPDATE app_item SET price = 9 WHERE id = %s", pk)
    publish(billing, {"model": "app.item"})
    with monkeypatch.context() as patch:
        patch.setattr(stream.Stream, "_bump", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Delivery("default").round()
    assert price(pk) == 0
    monkeypatch.setattr(stream, "TAKE_OVER_SECONDS", 0.01)
    eventually(lambda: relay.round() and price(pk) == 9)


@pytest.mark.parametrize(
    "entry", [{"what": "?"}, {"payload": b"\xff"}, {"payload": '{"model": "app.itme"}'}]
)
def test_what_is_malformed_is_parked_says_why_is_counted_and_leaves_nothing_stale(
    goods, relay, billing, entry
):
    pk = goods[1][0].pk
    relay.round()
    price(pk)
    unseen("UPDATE app_item SET price = 9 WHERE id = %s", pk)
    billing.xadd(stream_key(config().PREFIX), entry)
    with seen() as found:
        relay.round()
    assert price(pk) == 9
    ((_, parked),) = client().xrange(stream_key(config().PREFIX, "malformed"))
    assert parked[b"error"]
    assert [(error.operation, error.kind) for error in found.errors] == [("stream", "malformed")]


def test_who_may_only_publish_can_do_nothing_else(billing):
    with pytest.raises(redis.exceptions.NoPermissionError):
        billing.get("anything")
    with pytest.raises(redis.exceptions.NoPermissionError):
        billing.xrange(stream_key(config().PREFIX))


def test_old_entries_are_deleted_once_every_database_has_them(goods, relay, billing, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX_RETENTION_SECONDS": -1.0}
    key = stream_key(config().PREFIX)
    client().xgroup_create(key, "relays:another database", id="0", mkstream=True)
    publish(billing, {"model": "app.item"})
    relay.round()
    Delivery("default").forget_old()
    assert client().xlen(key) == 1
    client().xgroup_destroy(key, "relays:another database")
    Delivery("default").forget_old()
    assert client().xlen(key) == 0
