"""The release is made ready while the database commits, and sent when it has.

What must not happen: what was made ready for a transaction is sent for another, or before its
COMMIT is acknowledged; a registration that came later stays; a COMMIT fails because of it.
"""

import pytest
from django.db import IntegrityError, connection, connections, transaction

from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core.key import guard_key, tag_key
from cachepatterns.transactions import is_idle
from cachepatterns.write.fence import Fence, settle
from cachepatterns.write.meanwhile import at_commit
from tests.app.models import Category, Item
from tests.integration.test_strict import price, writers

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "connection.vendor != 'postgresql'", reason="only psycopg says when a COMMIT was sent"
    ),
]
ACTIVE = 1


@pytest.fixture(autouse=True)
def without_outbox(settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": False}


@pytest.fixture
def order(monkeypatch):
    """When releases are made ready and carried out: the state of the connection then."""
    found, backend = [], current_store().backend
    make, release = backend.make_release, backend.release

    def status():
        driver = connection.connection  # of this thread: the background has none
        return None if driver is None else int(driver.pgconn.transaction_status)

    def made(*args, **kwargs):
        found.append(("made", status(), args[2]))
        return make(*args, **kwargs)

    def released(*args, **kwargs):
        found.append(("released", status(), args[2]))
        return release(*args, **kwargs)

    monkeypatch.setattr(backend, "make_release", made)
    monkeypatch.setattr(backend, "release", released)
    return found


def test_it_is_made_ready_while_the_database_commits_and_sent_afterwards(goods, order):
    item = goods[2][0]
    price(item.pk)
    with transaction.atomic():
        item.price = 71
        item.save()
    assert [(what, status) for what, status, _ in order] == [("made", ACTIVE), ("released", 0)]
    assert price(item.pk) == 71
    assert "wait" not in vars(connection.connection)


def test_it_is_made_once_for_all_that_a_transaction_has_written(goods, order):
    a, _, (item, other, *_) = goods
    with transaction.atomic():
        for each in (item, other):
            each.price = 72
            each.save()
        with transaction.atomic():
            Category.objects.filter(pk=a.pk).update(name="x")
    (_, _, made_for), (_, _, released) = order
    assert list(made_for) == list(released)
    for part in (
        f"item@{database()}:pk={item.pk}",
        f"item@{database()}:pk={other.pk}",
        "category",
    ):
        assert any(part in key for key in released)
    settle()
    assert writers() == {}


def database():
    from cachepatterns.transactions import database_id

    return database_id(connection)


def test_one_setting_makes_it_when_it_is_sent(goods, order, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": False}
    with transaction.atomic():
        goods[2][0].save()
    assert [(what, status) for what, status, _ in order] == [("made", 0), ("released", 0)]


def test_a_rollback_makes_nothing_ready_and_leaves_nothing_behind(goods, order):
    item = goods[2][0]
    with transaction.atomic():
        item.save()
        transaction.set_rollback(True)
    settle()
    assert [what for what, *_ in order] == ["made", "released"]
    assert [status for _, status, _ in order] == [None, None]  # by the background
    assert "wait" not in vars(connection.connection)
    assert writers() == {}


def test_a_commit_that_fails_releases_what_was_registered(goods, order):
    """The database refuses at the COMMIT: a deferred constraint."""
    item = goods[2][0]
    before = price(item.pk)
    with pytest.raises(IntegrityError), transaction.atomic():
        Item.objects.filter(pk=item.pk).update(price=99, category=10**6)
    settle()
    assert writers() == {}
    assert price(item.pk) == before


def test_what_goes_wrong_with_it_is_logged_and_the_commit_goes_its_way(goods, monkeypatch, caplog):
    item, backend = goods[2][0], current_store().backend
    make, calls = backend.make_release, []

    def fails_once(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise ZeroDivisionError
        return make(*args, **kwargs)

    monkeypatch.setattr(backend, "make_release", fails_once)
    item.price = 73
    with transaction.atomic():
        item.save()
    assert len(calls) == 2
    assert "COMMIT" in caplog.text
    assert price(item.pk) == 73


def test_the_work_of_a_transaction_is_not_done_for_the_next(goods):
    done, driver = [], connections["default"].connection
    with transaction.atomic():
        at_commit(connection, lambda: done.append("first"))
        at_commit(connection, lambda: done.append("first, later"))
        transaction.set_rollback(True)
    with transaction.atomic():
        goods[0].save()
        at_commit(connection, lambda: done.append("second"))
    with transaction.atomic():
        Category.objects.using("default").uncached().first()
    assert done == ["second"]
    assert is_idle(driver)


# -- the registration itself ----------------------------------------------------------------------


def stamps(*names):
    store = current_store()
    return store.backend.get_many([tag_key(config().PREFIX, name) for name in names])


def registered(*guards):
    store = current_store()
    held = store.backend.get_many([guard_key(config().PREFIX, name) for name in guards])
    return [raw is not None and raw[:1] != b"o" for raw in held]


def put(*names):
    keys = [tag_key(config().PREFIX, name) for name in names]
    current_store().backend.store([(key, b"x", 60.0) for key in keys], [], 60.0)


def test_what_was_made_ready_for_other_tags_is_not_sent(fresh):
    fence = Fence()
    fence.add(["app.item@d:*"])
    put("app.item@d:pk=1")
    fence.prepare(("app.item@d:*",))
    fence.release(("app.item@d:*", "app.item@d:pk=1"))
    current_store().settle()
    assert stamps("app.item@d:pk=1") == [None]


def test_what_was_registered_since_is_released_too(fresh):
    current_store().declare_no_writers(
        [guard_key(config().PREFIX, name) for name in ("app.item@d", "app.category@d")]
    )
    fence = Fence()
    fence.add(["app.item@d:*"])
    fence.prepare(("app.item@d:*",))
    fence.add(["app.category@d:*"])
    assert registered("app.item@d", "app.category@d") == [True, True]
    fence.release(("app.item@d:*",))
    current_store().settle()
    assert registered("app.item@d", "app.category@d") == [False, False]


def test_nothing_is_made_ready_before_the_registration_was_heard_of(fresh, order):
    """It would not know whether the writer is alone."""
    fence = Fence()
    fence.add(["app.item@d:*"], ahead=True)
    fence.prepare(("app.item@d:*",))
    assert order == []
    fence.stand()
    fence.prepare(("app.item@d:*",))
    assert [what for what, *_ in order] == ["made"]
    fence.release(("app.item@d:*",))
    assert [what for what, *_ in order] == ["made", "released"]
