"""What `cachepatterns.testing` gives to the tests of projects."""

import os
import subprocess
import sys

import pytest
from django.core.cache import caches
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase

from cachepatterns import invalidate, tag
from cachepatterns.conf import config
from cachepatterns.testing import (
    CacheTestMixin,
    assert_cache_hits,
    assert_cache_misses,
    assert_invalidates,
    cache_disabled,
    isolated_cache,
    isolated_prefix,
    testcase_commits,
)
from cachepatterns.transactions import pending_writes
from cachepatterns.write import fence as fences
from tests.app.models import Category, Item


def make(name="a", category=None):
    category = category or Category.objects.create(name="Chairs", slug=f"chairs-{name}")
    return Item.objects.create(name=name, sku=name, category=category, price=1)


class PlainTestCaseTests(TestCase):
    """What a ``TestCase`` does without us: documented, and the reason for all this."""

    def test_a_plain_testcase_sees_no_hits(self):
        with isolated_cache():
            item = make()
            Item.objects.get(pk=item.pk)
            with assert_cache_hits(0):
                Item.objects.get(pk=item.pk)

    def test_and_is_told_why(self):
        item = make()
        with pytest.raises(AssertionError, match="TestCase never commits it") as told:
            with assert_cache_hits(1):
                Item.objects.get(pk=item.pk)
        self.assertIn("app.item list: bypass (transaction has written)", str(told.value))
        with pytest.raises(AssertionError, match="TestCase never commits it"):
            with assert_invalidates(Item):
                Item.objects.filter(pk=item.pk).update(price=2)


class HooksInTestCaseTests(TestCase):
    """A project's own tests of its commit hooks see no others than they saw before."""

    def sees_its_own(self):
        assert pending_writes(connection) is None, "of the test before"
        seen = []
        transaction.on_commit(lambda: seen.append("earlier"))
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            item = make()
            transaction.on_commit(lambda: seen.append("mine"))
            with transaction.atomic():
                item.save()
        assert (seen, len(callbacks)) == (["mine"], 1)
        assert len(connection.run_on_commit) == 2
        assert pending_writes(connection) is not None

    test_first = test_second = sees_its_own

    def test_nothing_stays_registered(self):
        """The block around a test is kept by whoever keeps the test."""
        block = transaction.Atomic(None, savepoint=True, durable=False)
        block._from_testcase = True
        block.__enter__()
        make()
        assert pending_writes(connection) is not None
        transaction.set_rollback(True)
        block.__exit__(None, None, None)
        assert pending_writes(connection) is None
        held = [each for each in fences._open if each._guards]
        assert held == []
        make("after it")
        assert pending_writes(connection) is not None


class HooksWithDataOfTheClassTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.item = make()

    def test_what_the_class_has_written_is_read_from_the_database(self):
        assert pending_writes(connection) is not None
        with self.captureOnCommitCallbacks() as callbacks:
            self.item.save()
        assert callbacks == []


class CachedTests(CacheTestMixin, TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.item = make()

    def test_hits_are_seen(self):
        with self.assertCacheMisses(1), self.assertCacheHits(0):
            Item.objects.get(pk=self.item.pk)
        with self.assertCacheHits(1), self.assertCacheMisses(0), self.assertNumQueries(0):
            Item.objects.get(pk=self.item.pk)

    def test_nothing_of_another_test_is_there(self):
        with self.assertCacheMisses(1):
            Item.objects.get(pk=self.item.pk)

    def test_a_write_is_seen_at_once(self):
        Item.objects.get(pk=self.item.pk)
        with self.assertInvalidates(self.item, Item, "app.Item"):
            Item.objects.filter(pk=self.item.pk).update(price=7)
        self.assertEqual(Item.objects.get(pk=self.item.pk).price, 7)

    def test_so_is_one_in_a_block_of_the_test_s_own_once_it_has_ended(self):
        Item.objects.get(pk=self.item.pk)
        with transaction.atomic():
            Item.objects.filter(pk=self.item.pk).update(price=7)
            with self.assertCacheHits(0), self.assertCacheMisses(0):  # keeps to the database
                self.assertEqual(Item.objects.get(pk=self.item.pk).price, 7)
            with self.assertDoesNotInvalidate():
                pass
        self.assertEqual(Item.objects.get(pk=self.item.pk).price, 7)
        with self.assertCacheHits(1):
            Item.objects.get(pk=self.item.pk)

    def test_a_block_that_is_rolled_back_leaves_nothing_in_the_cache(self):
        Item.objects.get(pk=self.item.pk)
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            Item.objects.filter(pk=self.item.pk).update(price=7)
            Item.objects.get(pk=self.item.pk)
            raise ZeroDivisionError
        self.assertEqual(Item.objects.get(pk=self.item.pk).price, 1)
        self.assertEqual(Item.objects.get(pk=self.item.pk).price, 1)

    def test_nested_blocks_end_with_the_outermost(self):
        with transaction.atomic():
            with transaction.atomic():
                Item.objects.filter(pk=self.item.pk).update(price=7)
            with self.assertCacheHits(0), self.assertCacheMisses(0):
                Item.objects.get(pk=self.item.pk)
        with self.assertCacheMisses(1):
            Item.objects.get(pk=self.item.pk)

    def test_blocks_without_savepoints_too(self):
        with self.assertInvalidates(Item), transaction.atomic(savepoint=False):
            Item.objects.filter(pk=self.item.pk).update(price=7)

    def test_what_is_not_written_is_not_invalidated(self):
        other = make("b", self.item.category)
        with self.assertDoesNotInvalidate(other, Category, tag("catalog", 999)):
            Item.objects.filter(pk=self.item.pk).update(price=7)
        with self.assertDoesNotInvalidate():
            Item.objects.get(pk=self.item.pk)

    def test_named_tags_are_told_by_their_name_or_their_family(self):
        with self.assertInvalidates(tag("catalog", 5)):
            invalidate(tag("catalog", 5))
        with self.assertInvalidates(tag("catalog", 5)):
            invalidate(tag("catalog"))
        with self.assertInvalidates(tag("catalog", self.item.category_id)):
            self.item.delete()

    def test_coarse_writes_invalidate_every_row(self):
        with self.assertInvalidates(self.item), connection.cursor() as cursor:
            cursor.execute("UPDATE app_item SET price = 9")
        self.assertEqual(Item.objects.get(pk=self.item.pk).price, 9)

    def test_the_cache_can_be_switched_off_while_writes_still_invalidate(self):
        Item.objects.get(pk=self.item.pk)
        with cache_disabled():
            with self.assertCacheHits(0), self.assertNumQueries(1):
                Item.objects.get(pk=self.item.pk)
            Item.objects.filter(pk=self.item.pk).update(price=7)
        self.assertEqual(Item.objects.get(pk=self.item.pk).price, 7)

    def test_failures_say_what_was_read_and_what_was_bumped(self):
        with pytest.raises(AssertionError, match=r"app\.item row:pk: miss") as told:
            with self.assertCacheHits(1):
                Item.objects.get(pk=self.item.pk)
        self.assertIn("0 hits, 1 were expected", str(told.value))
        with pytest.raises(AssertionError, match=r"Not invalidated: app\.Category"):
            with self.assertInvalidates(Category):
                Item.objects.filter(pk=self.item.pk).update(price=7)
        with pytest.raises(AssertionError, match=rf"Invalidated: app\.Item:{self.item.pk}"):
            with self.assertDoesNotInvalidate(self.item):
                Item.objects.filter(pk=self.item.pk).update(price=8)
        with pytest.raises(ValueError, match="no model's label"):
            with self.assertInvalidates("nonsense"):
                pass
        with pytest.raises(ValueError, match="Name what"), self.assertInvalidates():
            pass


class CommittingTests(CacheTestMixin, TransactionTestCase):
    def test_it_serves_tests_that_commit_too(self):
        item = make()
        with self.assertCacheMisses(1):
            Item.objects.get(pk=item.pk)
        with self.assertCacheHits(1):
            Item.objects.get(pk=item.pk)
        with transaction.atomic():
            Item.objects.filter(pk=item.pk).update(price=3)
            self.assertEqual(Item.objects.get(pk=item.pk).price, 3)
        self.assertEqual(Item.objects.get(pk=item.pk).price, 3)


def test_a_pytest_test_in_a_transaction_sees_hits_too(db):
    with testcase_commits():
        item = make()
        with assert_cache_misses(1):
            Item.objects.get(pk=item.pk)
        with assert_cache_hits(1):
            Item.objects.get(pk=item.pk)


def test_each_cache_has_keys_of_its_own_and_leaves_none(transactional_db):
    client = caches["default"].client.get_client()
    outer = config().PREFIX
    with isolated_prefix():
        first = config().PREFIX
        with isolated_cache():
            second = config().PREFIX
            item = make()
            Item.objects.get(pk=item.pk)
            assert list(client.scan_iter(f"{second}:*"))
        assert not list(client.scan_iter(f"{second}:*"))
    assert len({outer, first, second}) == 3
    assert str(os.getpid()) in first
    assert second.count("-test-") == 1
    assert outer == config().PREFIX


def test_a_run_s_keys_are_its_own_and_go_with_it(transactional_db):
    item, client = make(), caches["default"].client.get_client()
    with isolated_prefix():
        own = f"{config().PREFIX}:*"
        assert client.keys(own) == []
        Item.objects.get(pk=item.pk)
        assert any(b":guard:" in key for key in client.keys(own))
    assert client.keys(own) == []


def test_out_of_its_block_a_test_s_transaction_counts_again(db):
    with testcase_commits():
        item = make()
    Item.objects.filter(pk=item.pk).update(price=2)
    with assert_cache_hits(0), assert_cache_misses(0):
        Item.objects.get(pk=item.pk)


SETTINGS = """
from tests.settings import *
DATABASES["default"]["TEST"] = {}  # as by default: SQLite in memory
"""
PROJECT_TEST = """
import os
import pytest
from cachepatterns.conf import config
from tests.app.models import Category, Item

def test_hits_are_seen(db, cachepatterns_cache):
    category = Category.objects.create(name="c", slug="c")
    item = Item.objects.create(name="a", sku="a", category=category, price=1)
    with cachepatterns_cache.misses(1):
        Item.objects.get(pk=item.pk)
    with cachepatterns_cache.hits(1):
        Item.objects.get(pk=item.pk)
    with cachepatterns_cache.invalidates(item), cachepatterns_cache.does_not_invalidate(category):
        Item.objects.filter(pk=item.pk).update(price=2)
    with cachepatterns_cache.disabled(), cachepatterns_cache.hits(0):
        Item.objects.get(pk=item.pk)

def test_every_process_has_a_prefix():
    assert config().PREFIX.startswith(f"shop-cp-test-{os.getpid()}-")
"""


def test_the_plugin_gives_its_fixtures_to_a_project(tmp_path):
    (tmp_path / "test_project.py").write_text(PROJECT_TEST)
    (tmp_path / "project_settings.py").write_text(SETTINGS)
    command = [
        *(
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n0",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
        ),
        *("-o", "addopts=", "-p", "cachepatterns.pytest_plugin", "-p", "no:cachepatterns"),
        *(
            "--rootdir",
            str(tmp_path),
            "-c",
            os.devnull,
            "--ds",
            "project_settings",
            "--nomigrations",
        ),
        str(tmp_path / "test_project.py"),
    ]
    env = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}",
        # Another one's test database, beside that of this worker.
        "TESTS_FOLDER": str(tmp_path),
    }
    env.pop("PYTEST_XDIST_WORKER", None)
    env["DATABASE_URL"] = f"sqlite:///{tmp_path}/site.db"
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
