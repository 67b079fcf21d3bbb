"""A save that leaves its row in the lists that it is in closes no others.

What must not happen: the row is in another list after all (the instance was old, another writer
has moved it, a trigger moves it), and that list is served, or stored, as it was before.
"""

import json
import threading
import uuid

import pytest
from django.db import connection, connections, transaction

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.entry import pack, unpack
from cachepatterns.core.guard import EVERYTHING, STAYING, is_open
from cachepatterns.core.key import guard_key, row_key
from cachepatterns.core.witness import witness
from cachepatterns.registry import site
from cachepatterns.transactions import database_id, source_id
from cachepatterns.write.appending import tells_old
from cachepatterns.write.fence import Fence, settle
from tests.app.models import Category, Everything, Label
from tests.events import outcome_of
from tests.integration.threads import running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lists(transactional_db, empty_cache, settings):
    """Two lists, each with a row, all of it cached; and a connection that knows the text."""
    if not tells_old(connection):
        pytest.skip("before PostgreSQL 18 and Django 6.0 texts of UPDATEs are not kept")
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": False}
    a, b = (Category.objects.create(name=name, slug=name) for name in "ab")
    row = Category.objects.create(name="row", slug="row", parent=a)
    other = Category.objects.create(name="other", slug="other", parent=b)
    for _ in range(2):
        row.save()
    current_store().settle()
    Category.objects.get(pk=row.pk), below(a), below(b)
    return a, b, row, other


def below(parent):
    return sorted(c.name for c in Category.objects.filter(parent=parent))


def guard():
    """The guard of the categories, as Redis holds it."""
    key = guard_key(config().PREFIX, f"app.category@{database_id(connection)}")
    return key, current_store().backend._client().get(key)


def registered():
    """How each writer has registered."""
    raw = guard()[1]
    return [] if raw[:1] == b"o" else [fence[1] for fence in json.loads(raw)["f"].values()]


def elsewhere(job):
    """What `job` gives in another thread, on a connection of its own."""
    with running(job) as answer:
        return answer()


def saved(row, *jobs):
    """Save `row`; what each of `jobs` gives elsewhere when it is registered, before it is sent."""
    found = []

    def look(execute, sql, *rest):
        if sql.startswith("UPDATE") and not found:
            found.extend([registered(), *(elsewhere(job) for job in jobs)])
        return execute(sql, *rest)

    with connection.execute_wrapper(look):
        row.save()
    current_store().settle()
    return found


def test_a_list_that_it_is_not_in_is_served_meanwhile(lists):
    a, b, row, other = lists
    Category.objects.get(slug="other"), Category.objects.get(pk=other.pk)
    row.name = "new"
    how, *outcomes = saved(
        row,
        lambda: outcome_of(lambda: below(b)),
        lambda: outcome_of(lambda: Category.objects.get(slug="other")),
        lambda: outcome_of(lambda: Category.objects.get(pk=other.pk)),
        lambda: outcome_of(lambda: below(a)),
        lambda: outcome_of(lambda: Category.objects.count()),
        lambda: outcome_of(lambda: Category.objects.get(pk=row.pk)),
    )
    assert how == [STAYING]
    assert outcomes == ["hit", "hit", "hit", "miss", "miss", "miss"]
    assert below(a) == ["new"]
    assert registered() == []


def test_what_is_not_cached_yet_is_not_stored_meanwhile(lists):
    _, b, row, _ = lists
    Category.objects.create(name="more", slug="more", parent=b)  # outdates the list
    how, first, second = saved(row, *[lambda: outcome_of(lambda: below(b))] * 2)
    assert (how, first, second) == ([STAYING], "miss", "miss")


def evicted(a, b, row):
    source, policy = source_id(connection), site.policy_for(Category)
    key = row_key(config().PREFIX, "app.category", policy.fingerprint, source, str(row.pk))
    assert current_store().backend._client().delete(key) == 1
    return row


def written_since(a, b, row):
    elsewhere(lambda: Category.objects.filter(pk=row.pk).update(name="since"))
    return row


def moved_since(a, b, row):
    elsewhere(lambda: Category.objects.filter(pk=row.pk).update(parent=b))
    elsewhere(lambda: [Category.objects.get(pk=row.pk), below(b)])
    return row


def moves(a, b, row):
    row.parent = b
    return row


def slug_changes(a, b, row):
    row.slug = "another"
    return row


@pytest.mark.parametrize("case", [evicted, written_since, moved_since, moves, slug_changes])
def test_where_the_entry_does_not_vouch_for_it_all_lists_are_closed(lists, case):
    a, b, row, _ = lists
    row = case(a, b, row)
    below(b)
    how, outcome = saved(row, lambda: outcome_of(lambda: below(b)))
    assert (how, outcome) == ([EVERYTHING], "miss")
    by_list = {parent.name: below(parent) for parent in (a, b)}
    expected = {"a": ["row"], "b": ["other"]}
    if case is moves:
        expected = {"a": [], "b": ["other", "row"]}
    assert by_list == expected


def test_another_writer_moves_the_row_and_the_save_moves_it_back(lists, monkeypatch):
    """The interleaving of the model (`docs/protocol-model.md`): what is loaded in between must not
    be stored, or it is served when the save is committed."""
    a, b, row, _ = lists
    told, backend = [], current_store().backend
    release = backend.release

    def moves_it():
        with transaction.atomic():
            Category.objects.filter(pk=row.pk).update(parent=b)
        current_store().settle()
        told.append(below(b))

    def after_commit(token, guards, *args, **more):
        if threading.current_thread() is threading.main_thread():
            told.append(elsewhere(lambda: below(b)))
        return release(token, guards, *args, **more)

    monkeypatch.setattr(backend, "release", after_commit)
    how, _ = saved(row, moves_it)
    assert how == [STAYING]
    assert told == [["other", "row"], ["other"]]
    assert below(b) == ["other"]
    assert below(a) == ["row"]


@pytest.mark.parametrize("kind", ["BEFORE", "AFTER"])
def test_a_trigger_may_move_it(lists, kind):
    """One that fires before an UPDATE gives the row other values than the statement."""
    _, b, row, _ = lists
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$"
            f" BEGIN NEW.parent_id := {b.pk}; RETURN NEW; END $$"
        )
        cursor.execute(
            f"CREATE TRIGGER stay {kind} UPDATE ON app_category"
            " FOR EACH ROW EXECUTE FUNCTION stay()"
        )
    try:
        vars(connections["default"]).pop("_cachepatterns_updates")  # as on another connection
        for _ in range(3):
            Category.objects.get(pk=row.pk)
            row = Category.objects.uncached().get(pk=row.pk)
            (how,) = saved(row)
        assert how == [EVERYTHING if kind == "BEFORE" else STAYING]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION stay CASCADE")


def test_a_save_that_opens_the_connection_asks_about_triggers_all_the_same(lists, caplog):
    *_, row, _ = lists
    vars(connections["default"]).pop("_cachepatterns_updates")
    row.save()
    Category.objects.get(pk=row.pk)
    connections["default"].close()
    assert saved(row) == [[STAYING]]
    assert caplog.records == []


def test_in_a_transaction_nothing_is_closed_but_the_lists_themselves(lists):
    *_, row, _ = lists
    with transaction.atomic():
        row.save()
        assert [how for how in registered() if how in {EVERYTHING, STAYING}] == []


def test_an_interrupted_save_outdates_all(lists, monkeypatch):
    """Nobody knows what it has written: when its registration expires, the model is bumped."""
    _, b, row, _ = lists

    def interrupt(execute, sql, *rest):
        if sql.startswith("UPDATE"):
            raise KeyboardInterrupt
        return execute(sql, *rest)

    with connection.execute_wrapper(interrupt), pytest.raises(KeyboardInterrupt):
        row.save()
    settle()
    assert registered() == [STAYING]
    assert outcome_of(lambda: below(b)) == "hit"
    expire()
    assert registered() == []
    assert outcome_of(lambda: below(b)) == "miss"


def expire():
    """Bring the deadlines of all registrations into the past, and have them purged."""
    client, (key, raw) = current_store().backend._client(), guard()
    found = json.loads(raw)
    for fence in found["f"].values():
        fence[0] = 1
    client.set(key, json.dumps(found))
    # Not by the store, which looks after a guard once in a while only.
    current_store().backend.tend([key], life=60)


@pytest.mark.parametrize("lost", [False, True])
def test_a_renewal_leaves_it_as_it_was_and_closes_all_if_it_was_lost(lists, lost):
    _, b, row, _ = lists
    fences, renewed = [], []
    original = Fence.stand

    def stand(fence):
        original(fence)
        fences.append(fence)

    def renew():
        if lost:
            expire()
        for fence in fences:
            fence.renew()
        renewed.extend(registered())
        return outcome_of(lambda: below(b))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Fence, "stand", stand)
        how, outcome = saved(row, renew)
    assert how == [STAYING]
    assert (renewed, outcome) == (([EVERYTHING], "miss") if lost else ([STAYING], "hit"))


# -- the script -----------------------------------------------------------------------------

GUARD, MODEL, ROW, LIST = "s:guard:m", "s:tag:m", "s:tag:m:pk=1", "s:tag:m:c=1"
WITNESS = b"12345678"


@pytest.fixture
def backend(empty_cache):
    backend = current_store().backend
    backend.tend([GUARD], life=60, no_writers=True)
    return backend


def entry(stamps, told=WITNESS, body=b""):
    return pack(
        stamps=stamps, stored_at=0, load_seconds=0, ttl=9, row_count=0, signature="", body=body,
        witness=told,
    )  # fmt: skip


VOUCHERS = {
    "valid": ((b"m" * 16, b"r" * 16), entry([b"m" * 16, b"r" * 16]), True),
    "no entry": ((b"m" * 16, b"r" * 16), None, False),
    "the row was bumped": ((b"m" * 16, None), entry([b"m" * 16, b"r" * 16]), False),
    "the model was bumped": ((None, b"r" * 16), entry([b"m" * 16, b"r" * 16]), False),
    "both were, and minted anew": ((b"n" * 16, b"s" * 16), entry([b"m" * 16, b"r" * 16]), False),
    "the row was, and minted anew": ((b"m" * 16, b"s" * 16), entry([b"m" * 16, b"r" * 16]), False),
    "it is elsewhere": ((b"m" * 16, b"r" * 16), entry([b"m" * 16, b"r" * 16], b"87654321"), False),
    "a text of the row says it": (
        (b"m" * 16, b"r" * 16), entry([b"m" * 16, b"r" * 16], b"87654321", WITNESS),
        False,
    ),
    "a text of the row has the stamps": (
        (b"m" * 16, b"r" * 16),
        entry([b"n" * 16, b"s" * 16], WITNESS, b"\xc4\x10" + b"m" * 16 + b"\xc4\x10" + b"r" * 16),
        False,
    ),
    "what stands is no stamp": ((b"m" * 999, b"r" * 16), entry([b"m" * 999, b"r" * 16]), False),
    "it does not say": ((b"m" * 16, b"r" * 16), entry([b"m" * 16, b"r" * 16], b""), False),
}  # fmt: skip


@pytest.mark.parametrize("name", VOUCHERS)
def test_only_a_valid_entry_vouches(backend, name):
    stamps, payload, vouches = VOUCHERS[name]
    client = backend._client()
    for key, value in zip((MODEL, ROW, "s:row:m:1"), (*stamps, payload), strict=True):
        if value is not None:
            client.set(key, value)
    named = [STAYING, MODEL, ROW, LIST]
    backend.fence_ahead("w", {GUARD: named}, life=60, witnessed=("s:row:m:1", WITNESS))()
    (fence,) = json.loads(client.get(GUARD))["f"].values()
    assert fence[1] == (STAYING if vouches else EVERYTHING)
    assert client.mget(MODEL, ROW) == list(stamps), "it deletes none"


@pytest.mark.parametrize(
    ("keys", "opened"),
    [
        ([MODEL, "s:tag:m:c=2"], True),
        ([MODEL, "s:tag:m:pk=2"], True),
        ([MODEL, "s:tag:n:c=1"], False),  # of this model it rests on all
        ([MODEL], False),
        ([MODEL, LIST], False),
        ([MODEL, "s:tag:m:c=2", LIST], False),
        ([MODEL, ROW], False),
        (["s:tag:mm", "s:tag:mm:c=1"], False),
    ],
)
def test_what_is_served_meanwhile(keys, opened):
    raw = json.dumps({"r": "x", "q": 0, "f": {"w": [1, STAYING, MODEL, ROW, LIST]}}).encode()
    assert is_open(raw, "x", keys) is opened


def test_of_rows_by_primary_key_others_are_minted_for(backend):
    client = backend._client()
    payload = entry([b"m" * 16, b"r" * 16])
    client.mset({MODEL: b"m" * 16, ROW: b"r" * 16, "s:row:m:1": payload})
    named = [STAYING, MODEL, ROW, LIST]
    backend.fence_ahead("w", {GUARD: named}, life=60, witnessed=("s:row:m:1", WITNESS))()

    def mint(*keys):
        return backend.mint([GUARD], [MODEL, *keys], [b"x" * 16] * (len(keys) + 1), ttl=9, life=60)

    assert mint("s:tag:m:pk=2") == [b"m" * 16, b"x" * 16]
    for key in (ROW, LIST, "s:tag:m:c=2"):
        assert mint(key) is None


# -- the witness ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (lambda: Category(name="c", slug="c"), None),
        (lambda: Category(slug="c", parent=Category.objects.create(slug="p")), None),
        (lambda: Category(name="ü" * 50, slug="ü"), None),
        (lambda: Label(name="l" * 50), None),
        (lambda: Everything(key=uuid.UUID(int=9)), ["unique_or_null"]),
        (lambda: Everything(key=uuid.UUID(int=9), unique_or_null="1"), ["unique_or_null", "big"]),
    ],
)
def test_writers_and_readers_mean_the_same_by_it(lists, monkeypatch, make, fields):
    """Of each kind of field that tells lists apart; the entry that the reader leaves is found."""
    row = make()
    row.save(force_insert=True)
    for _ in range(2):
        row.save(update_fields=fields)
    type(row).objects.get(pk=row.pk)
    how, backend = [], current_store().backend
    ahead = backend.fence_ahead

    def fence_ahead(token, guards, **more):
        alone = ahead(token, guards, **more)()
        (raw,) = backend._client().mget(*guards)
        how.extend(fence[1] for fence in json.loads(raw)["f"].values())
        return lambda: alone

    monkeypatch.setattr(backend, "fence_ahead", fence_ahead)
    row.save(update_fields=fields)
    assert how == [STAYING]


def test_only_entries_by_primary_key_have_one(lists):
    row = lists[2]
    Category.objects.get(slug="row")
    client = current_store().backend._client()
    keys = [key for key in client.keys("*:app.category.*") if not key.endswith(b":")]
    found = {key: unpack(client.get(key)).witness for key in keys}
    have = [key for key, told in found.items() if told]
    assert [key for key in have if not key.endswith(f":{row.pk}".encode())] == []
    assert len(have) == 1 < len(found)


def test_values_without_one_form_convince_nobody():
    assert witness([object()]) == b""
    assert witness([2**70]) == b""
    assert witness([1, "1"]) != witness(["1", 1])
    assert len(witness([None, True])) == 8
