"""Racing readers and writers on hot rows, judged by an oracle that asks the database first.

Each row counts its own writes. The oracle reads the committed count on a connection that knows
nothing of the cache, and only then is the cached read begun: whatever it returns must be no
older. Prints reads, hits, writes and violations; a naive cache through the same oracle must
show violations, or the oracle proves nothing.
"""

import itertools
import os
import random
import threading
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import F

from cachepatterns import observe
from cachepatterns.observe import ReadEvent
from cachepatterns.write import dispatch
from cachepatterns.write.fence import Fence
from tests.app.models import Item

READS = int(os.environ.get("ORACLE_READS", "1500"))
READERS, WRITERS = 3, 2
ROLLED_BACK = 10**6
"""What a rolled back write adds: more than all others together, and nobody may ever see it."""


def in_autocommit(pk):
    Item.objects.filter(pk=pk).update(stock=F("stock") + 1)


def in_transaction(pk):
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(stock=F("stock") + 1)


def rolled_back(pk):
    with transaction.atomic():
        Item.objects.filter(pk=pk).update(stock=F("stock") + ROLLED_BACK)
        transaction.set_rollback(True)


def by_raw_sql(pk):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_item SET stock = stock + 1 WHERE id = %s", [pk])


WRITES = (in_autocommit, in_transaction, rolled_back, by_raw_sql)


class Oracle:
    """One run: what was read, and what should not have been."""

    def __init__(self, items, category):
        self.pks = [item.pk for item in items]
        self.category = category
        self.reads = self.hits = self.writes = 0
        self.violations = []
        self.failures = []
        self.over = threading.Event()
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def hear(self, event):
        if isinstance(event, ReadEvent) and event.outcome == "hit":
            with self._lock:
                self.hits += event.count

    def truth(self, pk):
        with connection.cursor() as cursor:
            cursor.execute("SELECT stock FROM app_item WHERE id = %s", [pk])
            return cursor.fetchone()[0]

    def read(self, dice):
        while next(self._numbers) < READS and not self.failures:
            pk = dice.choice(self.pks)
            known = self.truth(pk)
            if dice.random() < 0.5:
                got = Item.objects.get(pk=pk).stock
            else:
                rows = Item.objects.filter(category=self.category)
                got = next((i.stock for i in rows if i.pk == pk), known)
            with self._lock:
                self.reads += 1
                if got < known or got >= ROLLED_BACK:
                    self.violations.append((pk, known, got))

    def write(self, dice):
        while not self.over.wait(dice.random() * 0.05):
            dice.choice(WRITES)(dice.choice(self.pks))
            with self._lock:
                self.writes += 1

    def _guarded(self, work, seed):
        try:
            work(random.Random(seed))
        except Exception as error:
            self.failures.append(error)
        finally:
            connection.close()

    def run(self):
        observe.subscribe(self.hear)
        try:
            readers, writers = (
                [
                    threading.Thread(target=self._guarded, args=(work, f"{work.__name__}{n}"))
                    for n in range(count)
                ]
                for work, count in ((self.read, READERS), (self.write, WRITERS))
            )
            for thread in (*readers, *writers):
                thread.start()
            for thread in readers:
                thread.join(120)
            self.over.set()
            for thread in writers:
                thread.join(20)
        finally:
            observe.unsubscribe(self.hear)
        assert self.failures == []
        print(
            f"{self.reads} reads, {self.hits} hits, {self.writes} writes, "
            f"{len(self.violations)} violations"
        )
        return self


@contextmanager
def naive(monkeypatch):
    """A cache that forgets to tell of most writes."""
    with monkeypatch.context() as spoiled:
        spoiled.setattr(Fence, "add", lambda *args: None)
        spoiled.setattr(Fence, "add_everything", lambda *args: None)
        spoiled.setattr(dispatch, "deliver", lambda *args: None)
        yield


def test_no_read_that_starts_after_a_commit_is_older_than_it(goods):
    a, _, items = goods
    run = Oracle(items, a).run()
    assert run.reads == READS
    assert run.writes > 20
    assert run.hits > READS // 10, "a cache that hardly hits proves nothing"
    assert run.violations == []


def test_the_oracle_finds_a_naive_cache_out(goods, monkeypatch):
    a, _, items = goods
    with naive(monkeypatch):
        run = Oracle(items, a).run()
    assert run.violations
