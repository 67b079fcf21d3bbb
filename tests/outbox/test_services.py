"""Events from other services: one documented INSERT, by whoever the database lets insert."""

import json

import psycopg
import pytest

from cachepatterns import cached, tag
from cachepatterns.live.outbox import outbox_findings
from cachepatterns.models import InvalidationEvent
from cachepatterns.write.delivery import Delivery
from tests.app.models import Category
from tests.events import eventually, outcome_of, seen
from tests.integration.test_announces import a_client
from tests.outbox.conftest import relaying, waiting
from tests.outbox.test_relay import listed, price, row, unseen

INSERT = "INSERT INTO cachepatterns_invalidationevent (source, payload) VALUES (%s, %s)"


@pytest.fixture
def billing(outbox):
    """A client that may do no more than the documented grant says."""
    with a_client() as client:
        client.execute("CREATE ROLE billing")
        client.execute(
            "GRANT INSERT (source, payload) ON cachepatterns_invalidationevent TO billing"
        )
        client.execute("SET ROLE billing")
        yield client
        client.execute("RESET ROLE")
        client.execute("DROP OWNED BY billing")
        client.execute("DROP ROLE billing")


def publish(client, payload, source="billing"):
    client.execute(INSERT, [source, json.dumps(payload, default=str)])


def page():
    query = Category.objects.filter(slug="a")
    return outcome_of(lambda: list(cached(query, tags=[tag("page", 5)])))


def test_a_model_said_by_another_service_is_read_anew_at_once(goods, relay, billing):
    pk = goods[1][0].pk
    relay.round()
    assert price(pk) == 0
    unseen("UPDATE app_item SET price = 9 WHERE id = %s", pk)
    with relaying(), seen() as found:
        publish(billing, {"model": "app.item"})
        eventually(lambda: waiting() == 0)
    assert price(pk) == 9
    assert [event.source for event in found.invalidations] == ["billing"]


def test_rows_and_named_tags_go_by_themselves(goods, relay, billing):
    category, (one, two) = goods
    relay.round()
    for _ in range(2):
        price(one.pk), price(two.pk), listed(category), page()
    unseen("UPDATE app_item SET price = 9 WHERE id = %s", one.pk)
    rows = [{"old": row(one), "new": row(one)}]
    publish(billing, {"model": "app.item", "rows": rows, "named": [["page", 6]]})
    relay.round()
    assert (price(one.pk), listed(category)[0]) == (9, 9)
    assert outcome_of(lambda: price(two.pk)) == "hit"
    assert page() == "hit"
    publish(billing, {"named": [["page", 5]]})
    relay.round()
    assert page() == "miss"
    assert outcome_of(lambda: price(two.pk)) == "hit"


def test_who_may_only_publish_can_not_pretend_that_it_is_delivered(billing):
    for column, value in (("token", "x"), ("delivered_at", "2026-01-01"), ("error", "x")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            billing.execute(
                f"INSERT INTO cachepatterns_invalidationevent (payload, {column}) "
                "VALUES ('{}', %s)",
                [value],
            )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        billing.execute("SELECT 1 FROM cachepatterns_invalidationevent")


MALFORMED = {
    "no object": ([1], "The payload is no object"),
    "nothing said": ({"modle": "app.item"}, 'neither "model"'),
    "no such model": ({"model": "app.itme"}, "There is no model 'app.itme'"),
    "rows that are none": ({"model": "app.item", "rows": [5]}, '"rows" is null or a list'),
    "sides that are none": (
        {"model": "app.item", "rows": [{"old": 1, "new": None}]},
        '"rows" is null or a list',
    ),
    "a tag that is none": ({"named": ["catalog"]}, '"named" is a list of tags'),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_malformed_is_parked_says_why_is_counted_and_leaves_nothing_stale(
    goods, relay, billing, what
):
    payload, why = MALFORMED[what]
    pk = goods[1][0].pk
    relay.round()
    price(pk)
    unseen("UPDATE app_item SET price = 9 WHERE id = %s", pk)
    publish(billing, payload)
    with seen() as found:
        assert relay.round().leased
    assert price(pk) == 9
    (parked,) = InvalidationEvent.objects.exclude(error="")
    assert why in parked.error
    assert [(error.operation, error.kind) for error in found.errors] == [("relay", "malformed")]
    with seen() as found:
        relay.round()
    assert found.invalidations == []  # once


def test_what_is_parked_is_kept_and_the_doctor_points_at_it(goods, relay, billing, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX_RETENTION_SECONDS": 0.0}
    publish(billing, {"model": "app.itme"})
    publish(billing, {"model": "app.item"})
    relay.round()
    eventually(lambda: Delivery("default").forget_old() or InvalidationEvent.objects.count() == 1)
    (parked,) = InvalidationEvent.objects.all()
    assert parked.error
    texts = [finding.text for finding in outbox_findings()]
    assert any("1 events were not understood" in text and "app.itme" in text for text in texts)
