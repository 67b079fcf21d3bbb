"""A registration is carried out after one that the same writer has sent later.

Its line was lost, or the server did not know the script, and it is sent again; or its sender has
given it up, and it arrives all the same. What must not happen: it takes back what the later one
has named, a reader stores what the COMMIT outdates, and if the writer dies nobody bumps it.
"""

import json

import pytest
from django.db import transaction

from cachepatterns.backends.redis import RedisBackend
from cachepatterns.backends.store import current_store
from cachepatterns.write import fence as fences
from tests.app.models import Item
from tests.events import eventually
from tests.integration.test_strict import listed, price, writers
from tests.integration.test_transactions import in_thread

pytestmark = pytest.mark.django_db(transaction=True)
GUARD, MODEL = "late:guard:m", "late:tag:m"
ONE, TWO, LIST = f"{MODEL}:pk=1", f"{MODEL}:pk=2", f"{MODEL}:c=1"


@pytest.fixture(autouse=True)
def without_outbox(settings):
    """Its event would be a write of its own."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": False}


def nothing(client):
    pass


def lines_are_cut(client):
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def scripts_are_forgotten(client):
    client.script_flush()


@pytest.mark.parametrize("fault", [nothing, lines_are_cut, scripts_are_forgotten])
def test_what_was_foreseen_takes_nothing_back_from_what_was_told(
    goods, monkeypatch, settings, fault
):
    """The row moves from list a: foreseen is list b alone · the UPDATE tells of a · the writer is
    killed after its COMMIT, and what it has registered is purged."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 1.0}
    a, b, items = goods
    price(items[0].pk), listed(a), listed(b)
    client, backend = current_store().backend._client(), current_store().backend
    monkeypatch.setattr(backend, "release", lambda *args, **kwargs: fences._open.clear())
    with transaction.atomic():
        item = Item.objects.uncached().get(pk=items[0].pk)
        item.category = b
        fault(client)
        item.save()
        named = {key for entry in writers().values() for key in entry[1:]}
        assert {f"category={a.pk}", f"category={b.pk}"} <= {key.split(":")[-1] for key in named}
        in_thread(lambda: listed(a))  # the old list: it must not be kept
        fences._open.clear()
    assert in_thread(lambda: len(listed(a))) == 1
    eventually(lambda: listed(b) and not writers())  # who misses purges what has expired
    assert in_thread(lambda: len(listed(a))) == 1


@pytest.fixture
def backend(empty_cache):
    found = RedisBackend("default")
    found.tend([GUARD], life=60.0, no_writers=True)
    return found


LATER = {
    "fewer tags": ([ONE], [ONE, LIST], [ONE, LIST]),
    "other tags": ([ONE, TWO], [ONE, LIST], [ONE, LIST, TWO]),
    "rows, after all was closed": ([ONE], ["*", MODEL], ["*", MODEL]),
    "rows, after others were closed": ([ONE], ["*", MODEL, TWO], ["*", MODEL, TWO, ONE]),
    "all, after rows": (["*", MODEL], [ONE], ["*", MODEL]),
}


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("case", LATER)
def test_a_late_command_takes_nothing_back(backend, case, others):
    late, known, registered = LATER[case]
    if others:
        backend.fence("another", {GUARD: [TWO]}, life=60.0)
    backend.fence("w", {GUARD: known}, life=60.0)
    backend._client().set(ONE, b"a reader's")
    backend.fence("w", {GUARD: late}, life=60.0)
    assert json.loads(backend.get_many([GUARD])[0])["f"]["w"][1:] == registered
    assert backend.get_many([ONE]) == [None if ONE in late else b"a reader's"]
    backend.release("w", [GUARD], [ONE, TWO, LIST], life=60.0)
    left = backend.get_many([GUARD])[0]
    assert set(json.loads(left)["f"]) == {"another"} if others else left[:1] == b"o"
