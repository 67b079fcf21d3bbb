"""What a transaction has written is its own, in whatever form it is held and however it ends:
durable blocks, savepoints in savepoints, hooks that fail, threads, tasks, forks."""

import asyncio
import os
import queue
import signal
import sys
import threading
import warnings
from contextlib import ExitStack, contextmanager, nullcontext, suppress

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import IntegrityError, connection, connections, transaction

from cachepatterns.transactions import database_id, pending_writes
from cachepatterns.write.fence import Fence, settle
from tests.app.models import Item
from tests.events import eventually, outcome_of, seen
from tests.integration.test_strict import writers
from tests.integration.test_transactions import price
from tests.integration.threads import Gate, running


@pytest.fixture
def patient(settings):
    """Registrations that nobody's waiting ends."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 3600}


def set_price(pk, value):
    Item.objects.filter(pk=pk).update(price=value)


def test_durable_blocks_share_nothing(goods):
    pk, other = goods[2][0].pk, goods[2][1].pk
    price(pk), price(other)
    with transaction.atomic(durable=True):
        set_price(pk, 9)
    with transaction.atomic(durable=True):
        assert pending_writes(connection) is None
        assert outcome_of(lambda: price(other)) == "hit"
        assert price(pk) == 9


def test_a_durable_block_that_django_refuses_costs_the_outer_one_nothing(goods, patient):
    pk = goods[2][0].pk
    price(pk)
    with transaction.atomic():
        set_price(pk, 9)
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic(durable=True):
            pass
    assert writers() == {}
    assert price(pk) == 9


def test_the_first_write_may_be_rolled_back_with_its_savepoint(goods, patient):
    """What is written after it counts, and nobody's registration outlasts the transaction."""
    pk, other = goods[2][0].pk, goods[2][1].pk
    price(pk), price(other)
    with transaction.atomic():
        with transaction.atomic():
            with transaction.atomic():
                set_price(pk, 8)
            transaction.set_rollback(True)
        assert price(pk) == 0
        set_price(other, 9)
    assert writers() == {}
    assert (price(pk), price(other)) == (0, 9)
    assert outcome_of(lambda: price(pk)) == "hit"


def test_savepoints_are_kept_and_undone_one_by_one(goods, patient):
    pks = [item.pk for item in goods[2]]
    before = [price(pk) for pk in pks]
    with transaction.atomic():
        with transaction.atomic():
            set_price(pks[0], 9)
            undone = connection.savepoint()
            set_price(pks[1], 9)
            connection.savepoint_rollback(undone)
            kept = connection.savepoint()
            set_price(pks[2], 9)
            connection.savepoint_commit(kept)
        with transaction.atomic():
            set_price(pks[3], 9)
            transaction.set_rollback(True)
    assert writers() == {}
    assert [price(pk) for pk in pks] == [9, before[1], 9, before[3]]


def test_a_users_hook_that_fails_stops_no_bump(goods, patient):
    pk = goods[2][0].pk
    price(pk)

    def fail():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"), transaction.atomic():  # noqa: PT012
        transaction.on_commit(fail)
        set_price(pk, 9)
    assert writers() == {}
    assert price(pk) == 9


def test_one_threads_transaction_is_not_anothers(goods):
    pk, other = goods[2][0].pk, goods[2][1].pk
    price(pk), price(other)
    gate = Gate()

    def write():
        with transaction.atomic():
            set_price(pk, 9)
            gate.wait()
            transaction.set_rollback(True)
        return True

    with running(write) as answer:
        assert gate.reached.wait(20)
        with transaction.atomic():
            assert outcome_of(lambda: price(other)) == "hit"
            set_price(other, 9)
            gate.open.set()
            assert answer()  # its rollback takes nothing of ours along
            assert len(pending_writes(connection).events) == 1
    assert (price(pk), price(other)) == (0, 9)


def test_one_tasks_transaction_is_not_anothers(goods):
    pk, other = goods[2][0].pk, goods[2][1].pk
    price(pk), price(other)
    gate = Gate()

    def write():
        try:
            with transaction.atomic():
                set_price(pk, 9)
                gate.wait()
        finally:
            connection.close()

    async def both():
        writing = asyncio.create_task(sync_to_async(write, thread_sensitive=False)())
        await asyncio.to_thread(gate.reached.wait, 20)
        with seen() as found:
            assert (await Item.objects.aget(pk=other)).price == 1
            assert (await Item.objects.aget(pk=pk)).price == 0
        assert found.outcomes[0] == "hit"
        assert "transaction has written" not in found.reasons
        gate.open.set()
        await writing
        assert (await Item.objects.aget(pk=pk)).price == 9

    async_to_sync(both)()
    assert price(pk) == 9


def test_a_child_forked_within_a_transaction_leaves_the_parents_registration_alone(
    goods, settings
):
    """The child neither renews it (it would outlast its writer) nor takes it back, and what
    the child writes is registered, and renewed, by itself."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "FENCE_SECONDS": 2}
    pk, other = goods[2][0].pk, goods[2][1].pk
    price(pk), price(other)

    def write(may_commit):
        inherited = connections["default"]  # kept, with the hooks that are its parent's
        connections["default"] = inherited.copy()
        with transaction.atomic():
            set_price(other, 8)
            os.read(may_commit, 1)

    with ExitStack() as stack:
        with transaction.atomic():
            set_price(pk, 9)
            (mine,) = writers()
            commit, child = stack.enter_context(forked(write))
            eventually(lambda: len(writers()) == 2)
            assert mine in writers()
        (theirs,) = writers()
        assert theirs != mine
        ((registered, *_),) = writers().values()
        # It lives on for longer than one registration does; ours is never back.
        eventually(lambda: writers()[theirs][0] > registered + 2500)
        assert set(writers()) == {theirs}
        os.write(commit, b"!")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert writers() == {}
    assert (price(pk), price(other)) == (9, 8)


def test_a_forked_child_releases_what_is_rolled_back_in_it(goods, patient):
    """Whatever its parent's threads were at when it was made."""
    pk = goods[2][0].pk

    def roll_back(unused):
        connections["default"] = connections["default"].copy()
        with transaction.atomic():
            set_price(pk, 9)
            assert len(writers()) == 1
            transaction.set_rollback(True)
        signal.alarm(20)
        settle()
        assert writers() == {}

    with transaction.atomic():
        set_price(pk, 8)
        transaction.set_rollback(True)
    settle()
    with forked(roll_back) as (_, child):
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_what_was_begun_by_hand_is_released_by_a_commit_that_fails_too(goods, patient, end):
    """A deferred constraint is looked at by the COMMIT, which is a rollback then."""
    pk = goods[2][0].pk
    price(pk)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE app_item SET category_id = 987654321 WHERE id = %s", [pk])
        assert len(writers()) == 1
        with pytest.raises(IntegrityError) if end == "COMMIT" else nullcontext():
            cursor.execute(end)
    settle()
    assert writers() == {}
    price(pk)
    assert outcome_of(lambda: price(pk)) == "hit"


def test_a_transaction_may_end_in_a_finaliser_wherever_that_runs(goods, patient):
    """The interleaving: memory is collected, and with it a transaction that nobody ended, in a
    thread that is just handing over another one."""
    fences = [Fence(), Fence()]
    for fence, item in zip(fences, goods[2], strict=False):
        fence.add([f"app.item@{database_id(connection)}:pk={item.pk}"])
    assert len(writers()) == 2

    def hand_over():
        waiting = [fences[1]]

        def collect(frame, event, argument):
            if frame.f_code is queue.Queue._put.__code__ and waiting:
                waiting.pop().abandon(is_over=True)
            return collect

        sys.settrace(collect)
        try:
            fences[0].abandon(is_over=True)
        finally:
            sys.settrace(None)
        while waiting:  # no line of Python was run there
            waiting.pop().abandon(is_over=True)

    thread = threading.Thread(target=hand_over, daemon=True)
    thread.start()
    eventually(lambda: writers() == {})


@contextmanager
def forked(function):
    """A child that runs `function` with the reading end of a pipe; yields the other end and
    the child's id. Ended with the block, unless it was waited for."""
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads are the point here
        child = os.fork()
    if child == 0:
        failed = 1
        try:
            function(readable)
            failed = 0
        finally:
            os._exit(failed)
    try:
        yield writable, child
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os.close(readable)
        os.close(writable)
