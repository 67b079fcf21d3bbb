"""A transaction's BEGIN goes out with its first write, and nobody sees a difference.

What must not happen: a statement runs outside of the transaction that it belongs to; the answer to
BEGIN is taken for its; a write is lost behind something that answers one statement a message.
"""

import contextlib
import socket
import socketserver
import threading

import psycopg
import pytest
from django.db import (
    IntegrityError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext
from psycopg import IsolationLevel
from psycopg._connection_base import BaseConnection
from psycopg.client_cursor import ClientCursorMixin

from cachepatterns.write import beginning as begun
from tests.app.models import Category, Item, Note
from tests.integration.test_strict import price

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "connection.vendor != 'postgresql'", reason="BEGIN is kept back by psycopg alone"
    ),
]


@pytest.fixture(autouse=True)
def without_outbox(settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "OUTBOX": False}


@pytest.fixture
def item(goods):
    with transaction.atomic():  # the database has been asked whether it takes two statements
        goods[2][0].save()
    return goods[2][0]


@contextlib.contextmanager
def sent():
    """The messages that go to the database, each by its words."""
    found = []
    send, command = psycopg.ClientCursor._execute_send, psycopg.Connection._exec_command

    def execute_send(self, query, **options):
        found.append(query.query.decode().split())
        return send(self, query, **options)

    def exec_command(self, words, *args, **options):
        found.append(words.decode().split())
        return command(self, words, *args, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ClientCursorMixin, "_execute_send", execute_send)
        patched.setattr(BaseConnection, "_exec_command", exec_command)
        yield found


def heads(found):
    return [" ".join(words[:2]) if words[0] == "BEGIN;" else words[0] for words in found]


WRITES = {
    "save": lambda item: item.save(),
    "save of some fields": lambda item: item.save(update_fields=["price"]),
    "update": lambda item: Item.objects.filter(pk=item.pk).update(price=3),
    "update of many": lambda item: Item.objects.filter(price__gte=0).update(price=3),
    "create": lambda item: Note.objects.create(item=item, text="x").pk > 0,
    "delete": lambda item: Note.objects.filter(item=item).delete(),
}
FIRST = {"create": "INSERT", "delete": "DELETE"}


@pytest.mark.parametrize("write", WRITES)
def test_it_is_one_message_with_the_first_write(item, write):
    for _ in range(3):  # a kept text is wanted before it is made
        with contextlib.suppress(Item.DoesNotExist), transaction.atomic():
            WRITES["save"](item)
    with sent() as found, transaction.atomic():
        WRITES[write](item)
    assert heads(found)[0] == f"BEGIN; {FIRST.get(write, 'UPDATE')}"
    assert heads(found).count("BEGIN") == 0
    assert heads(found)[-1] == "COMMIT"


@pytest.mark.parametrize("write", WRITES)
def test_what_is_answered_is_what_is_answered_apart(item, settings, write):
    answers = []
    for shortcuts in (False, True, True, True):
        settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": shortcuts}
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            answers.append(WRITES[write](item))
            assert connection.connection.info.transaction_status == 2
            transaction.set_rollback(True)
        assert not any("BEGIN;" in query["sql"] for query in queries)
    assert answers == answers[:1] * 4
    assert connection.connection.info.transaction_status == 0


def test_only_the_first_statement_takes_it_along(item):
    with sent() as found, transaction.atomic():
        item.save()
        item.save()
    assert heads(found) == ["BEGIN; UPDATE", "UPDATE", "COMMIT"]


def test_a_read_begins_as_ever(item):
    with sent() as found, transaction.atomic():
        Category.objects.using("default").raw("SELECT * FROM app_category")[0]
        item.save()
    assert heads(found) == ["BEGIN", "SELECT", "UPDATE", "COMMIT"]


def test_in_autocommit_there_is_none(item):
    with sent() as found:
        item.save()
    assert heads(found) == ["UPDATE"]


def test_a_savepoint_comes_before_the_write(item):
    with sent() as found, transaction.atomic(), transaction.atomic():
        item.save()
    assert heads(found) == ["BEGIN", "SAVEPOINT", "UPDATE", "RELEASE", "COMMIT"]


def test_a_wrapper_s_own_statement_begins_the_transaction_that_ours_is_in(item):
    """Ours has been announced; it is the wrapper's that is sent first."""
    looked = []

    def looks_first(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and not looked:
            looked.append(True)
            with context["connection"].cursor() as cursor:
                cursor.execute("SELECT txid_current_if_assigned(), 1")
                assert connection.connection.info.transaction_status == 2
        return execute(sql, params, many, context)

    with sent() as found, connection.execute_wrapper(looks_first), transaction.atomic():
        item.save()
    assert heads(found) == ["BEGIN", "SELECT", "UPDATE", "COMMIT"]


@pytest.mark.parametrize("times", [1, 4])
def test_a_first_statement_that_fails_is_rolled_back_with_its_transaction(goods, times):
    item, other = goods[2][:2]
    for _ in range(times - 1):
        item.save()
    item.sku, item.price = other.sku, 77
    with pytest.raises(IntegrityError), transaction.atomic():
        item.save()
    assert connection.connection.info.transaction_status == 0
    assert price(item.pk) != 77
    assert "_start_query" not in vars(connection.connection)


@pytest.mark.parametrize("shortcuts", [True, False])
def test_a_statement_that_is_no_sql_ends_a_transaction_by_hand(goods, settings, shortcuts):
    """Of a message that can not be parsed the BEGIN is not carried out either: what follows would
    be in no transaction, and committed at once."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": shortcuts}
    transaction.set_autocommit(False)
    try:
        with pytest.raises(ProgrammingError):
            Item.objects.filter(pk=goods[2][0].pk).update(price=RawSQL("price )( 3", []))
        assert connection.connection.info.transaction_status == 3
        with pytest.raises(InternalError):
            Category.objects.create(name="later", slug="later")
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert not Category.objects.uncached().filter(slug="later").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("isolation_level", IsolationLevel.SERIALIZABLE), ("read_only", False), ("deferrable", True)],
)
def test_a_begin_that_says_more_is_sent_alone(item, option, value):
    driver = connection.connection
    setattr(driver, option, value)
    try:
        with sent() as found, transaction.atomic():
            item.save()
    finally:
        setattr(driver, option, None)
    assert heads(found)[1:] == ["UPDATE", "COMMIT"]
    assert heads(found)[0].startswith("BEGIN")


def test_one_setting_has_it_sent_alone(item, settings):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": False}
    with sent() as found, transaction.atomic():
        item.save()
    assert heads(found) == ["BEGIN", "UPDATE", "COMMIT"]


def test_other_classes_of_connections_and_cursors_are_left_alone(item):
    class Traced(psycopg.Connection):
        pass

    driver = connection.connection
    driver.__class__ = Traced
    try:
        with sent() as found, transaction.atomic():
            item.save()
    finally:
        driver.__class__ = psycopg.Connection
    assert heads(found) == ["BEGIN", "UPDATE", "COMMIT"]


def test_in_a_pipeline_it_is_sent_alone(item):
    with transaction.atomic(), connection.cursor() as cursor:
        with connection.connection.pipeline():
            assert begun.beginning(connection, cursor) is None
        assert begun.beginning(connection, cursor) is not None


# -- what stands between -------------------------------------------------------------------------


class OneStatement(socketserver.BaseRequestHandler):
    """A pooler that takes one statement a message: others it refuses, or it carries out the first
    of them alone."""

    def handle(self):
        with socket.create_connection(self.server.behind) as behind:
            threading.Thread(target=self._answers, args=(behind,), daemon=True).start()
            reader = self.request.makefile("rb")
            length = reader.read(4)
            behind.sendall(length + reader.read(int.from_bytes(length) - 4))
            while kind := reader.read(1):
                length = reader.read(4)
                body = reader.read(int.from_bytes(length) - 4)
                if kind == b"Q" and b";" in body:
                    self.server.refused.append(body)
                    if self.server.hangs_up:
                        break
                    if self.server.refuses:
                        error = b"SERROR\0C0A000\0Mone statement a message\0\0"
                        size = (4 + len(error)).to_bytes(4)
                        self.request.sendall(b"E" + size + error + b"Z\0\0\0\x05I")
                        continue
                    body = body.partition(b";")[0] + b"\0"
                    length = (4 + len(body)).to_bytes(4)
                behind.sendall(kind + length + body)
            with contextlib.suppress(OSError):  # the thread that listens has it open too
                behind.shutdown(socket.SHUT_RDWR)

    def _answers(self, behind):
        with contextlib.suppress(OSError):
            while data := behind.recv(65536):
                self.request.sendall(data)


@pytest.fixture
def pooler():
    place = connection.connection.info

    class Pooler(socketserver.ThreadingTCPServer):
        daemon_threads = allow_reuse_address = True
        behind = place.host, place.port
        refuses, hangs_up = True, False
        refused: list

    with Pooler(("127.0.0.1", 0), OneStatement) as server:
        server.refused = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def behind_it(item, pooler):
    """The connection, by way of the pooler."""
    own = connections["default"]
    place = dict(own.settings_dict)
    own.close()
    own.settings_dict.update(HOST="127.0.0.1", PORT=pooler.server_address[1])
    plainly = {"sslmode": "disable", "gssencmode": "disable"}
    own.settings_dict["OPTIONS"] = {**place["OPTIONS"], **plainly}
    yield pooler
    own.close()
    own.settings_dict.update(place)


@pytest.mark.parametrize("refuses", [True, False])
def test_behind_a_pooler_that_takes_one_statement_a_message_it_is_sent_alone(
    item, behind_it, refuses
):
    behind_it.refuses = refuses
    for value in (71, 72, 73):
        item.price = value
        with sent() as found, transaction.atomic():
            item.save()
        assert heads(found)[-3:] == ["BEGIN", "UPDATE", "COMMIT"]
        assert Item.objects.uncached().get(pk=item.pk).price == value
    assert len(behind_it.refused) == 1  # it was asked once


def test_who_takes_two_is_known_by_where_libpq_has_connected(item, pooler):
    """Not by HOST and PORT: a service, or options, may lead two aliases to two places."""
    own = connections["default"]
    place = dict(own.settings_dict)
    info = connection.connection.info
    plainly = {**place["OPTIONS"], "sslmode": "disable", "gssencmode": "disable"}
    places = [(info.host, info.port), ("127.0.0.1", pooler.server_address[1])]
    try:
        for value, (host, port) in enumerate(places):
            own.close()
            options = {**plainly, "host": host, "port": str(port)}
            own.settings_dict.update(HOST="", PORT="", OPTIONS=options)
            item.price = value
            with transaction.atomic():
                item.save()
            assert Item.objects.uncached().get(pk=item.pk).price == value
    finally:
        own.close()
        own.settings_dict.update(place)
    assert len(pooler.refused) == 1


def test_a_pooler_that_hangs_up_on_it_does_so_once(item, behind_it):
    """Django says so, as of any connection that is lost; the next transaction goes its way."""
    behind_it.hangs_up = True
    item.price = 74
    with pytest.raises(OperationalError), transaction.atomic():
        item.save()
    connections["default"].close()
    with transaction.atomic():
        item.save()
    assert Item.objects.uncached().get(pk=item.pk).price == 74
    assert len(behind_it.refused) == 1


def test_an_answer_that_is_missing_is_an_error(item, monkeypatch):
    """Somebody has put a pooler in between since it was asked."""
    accepts = begun.Beginning._accepts
    monkeypatch.setattr(
        begun.Beginning, "_accepts", lambda self, results: accepts(self, results[:1])
    )
    with pytest.raises(Exception, match="SHORTCUTS"), transaction.atomic():
        item.save()
