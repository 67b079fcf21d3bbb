"""For the tests of projects that use the cache.

A ``TestCase`` wraps each test in a transaction that is never committed, and from its first write
on a transaction reads nothing through the cache: so in a plain ``TestCase`` there are no hits.
Within `testcase_commits` that outer transaction counts for none, and the cache works as in
production. `CacheTestMixin` does so for each test of a class; for pytest there is the fixture
``cachepatterns_cache``. Each test has a cache of its own, empty at its beginning.

::

    class PriceTests(CacheTestMixin, TestCase):
        def test_a_changed_price_is_shown(self):
            with self.assertCacheHits(0), self.assertCacheMisses(1):
                Product.objects.get(pk=1)
            with self.assertInvalidates(Product):
                Product.objects.filter(pk=1).update(price=2)

Longer than most, since it is one public module: what a project's tests import stands in one place.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

from django.conf import settings
from django.db import connections, models
from django.test.utils import override_settings

from cachepatterns import observe, transactions
from cachepatterns.backends.store import current_store
from cachepatterns.conf import config
from cachepatterns.core import outcome
from cachepatterns.core.tag import label_of
from cachepatterns.exceptions import BackendError, ConfigurationError
from cachepatterns.observe import Event, InvalidationEvent, ReadEvent
from cachepatterns.quarantine import declare_no_writers, guard_keys
from cachepatterns.registry import concrete_model, find_model

__all__ = [
    "CacheTestMixin",
    "assert_cache_hits",
    "assert_cache_misses",
    "assert_does_not_invalidate",
    "assert_invalidates",
    "cache_disabled",
    "isolated_cache",
    "isolated_prefix",
    "testcase_commits",
]

LOOKED_AT = 20_000
"""Keys that are looked at to delete a test's own; what is left expires."""
LOOKED_AT_LAST = 1_000_000
"""Those that are looked at when a run ends, once: its guards, which have no TTL, would stay."""

Target = type[models.Model] | models.Model | str
"""What is invalidated: a model (or its label), a row, or a tag made by `cachepatterns.tag`."""

_numbers = itertools.count()


# -- a cache of one's own -----------------------------------------------------------------


@contextmanager
def isolated_prefix() -> Iterator[None]:
    """Keys of this process's own: it shares no entry with the site or other test processes, and
    leaves none.

    ``with isolated_prefix(): …``, around a whole run.
    """
    with _overridden(PREFIX=_prefix()), _cleared(LOOKED_AT_LAST):
        yield


@contextmanager
def isolated_cache(**more: Any) -> Iterator[None]:
    """An empty cache of the test's own, with the outbox and all threads that deliver off; `more`
    are settings in ``CACHEPATTERNS``.

    Raises `BackendError` if Redis does not answer.
    """
    given = {"PREFIX": _prefix(), "OUTBOX": False, "RELAY": "", "FLUSH": "", **more}
    with _overridden(**given):
        declare_no_writers()  # nobody else knows the prefix
        with _cleared(LOOKED_AT):
            yield


@contextmanager
def testcase_commits(**more: Any) -> Iterator[None]:
    """`isolated_cache`, in which the transaction that ``TestCase`` wraps around a test counts for
    none.

    What the test writes outside of atomic blocks of its own counts as committed at once, what it
    writes within them when the outermost has ended. It is rolled back all the same; the cache of
    its own goes with it.
    """
    with isolated_cache(**more):
        before = transactions.ignores_testcase
        transactions.ignores_testcase = True
        try:
            yield
        finally:
            _deliver()
            transactions.ignores_testcase = before


testcase_commits.__test__ = False  # type: ignore[attr-defined]  # its name begins with "test"


def cache_disabled() -> AbstractContextManager[None]:
    """Every read goes to the database; writes still invalidate. A decorator too."""
    return _overridden(ENABLED=False)


# -- assertions --------------------------------------------------------------------------------


class _Heard:
    """The events of a block."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def reads(self) -> list[ReadEvent]:
        return [event for event in self.events if isinstance(event, ReadEvent)]

    def count(self, *outcomes: str) -> int:
        return sum(read.count for read in self.reads() if read.outcome in outcomes)

    def writes(self) -> list[InvalidationEvent]:
        return [event for event in self.events if isinstance(event, InvalidationEvent)]

    def told(self) -> str:
        """The reads, for people."""
        lines = [
            f"  {read.label} {read.pattern}: {read.outcome}"
            + (f" ({read.reason})" if read.reason else "")
            + (f" × {read.count}" if read.count > 1 else "")
            for read in self.reads()
        ]
        return "\n".join(lines) or "  nothing was read through a cached manager"


@contextmanager
def assert_cache_hits(expected: int) -> Iterator[None]:
    """Fail unless so many reads are answered by the cache within the block, by all threads.

    ``in_bulk()`` of three rows is three reads.
    """
    with _heard() as heard:
        yield
    found = heard.count(*outcome.ANSWERED, outcome.SHARED)
    if found != expected:
        raise AssertionError(
            f"{found} hits, {expected} were expected:\n{heard.told()}{_hint(heard)}"
        )


@contextmanager
def assert_cache_misses(expected: int) -> Iterator[None]:
    """Fail unless so many reads ask the cache in vain within the block, by all threads.

    Reads that are no questions for the cache (bypasses) are none.
    """
    with _heard() as heard:
        yield
    found = heard.count(outcome.MISS, outcome.ERROR)
    if found != expected:
        raise AssertionError(
            f"{found} misses, {expected} were expected:\n{heard.told()}{_hint(heard)}"
        )


@contextmanager
def assert_invalidates(*targets: Target) -> Iterator[None]:
    """Fail unless each of these is invalidated by the end of the block.

    A model is, by any write to it; a row (an instance), by writes that name it or all rows of its
    model; a tag, by what names it or its family.
    """
    if not targets:
        raise ValueError("Name what is to be invalidated: a model, an instance or a tag.")
    with _heard() as heard:
        yield
    missed = [target for target in targets if not _is_hit(target, heard)]
    if missed:
        raise AssertionError(
            f"Not invalidated: {', '.join(map(_named, missed))}. Tags bumped: {_bumped(heard)}"
            f"{_pending_hint()}"
        )


@contextmanager
def assert_does_not_invalidate(*targets: Target) -> Iterator[None]:
    """Fail if any of these is invalidated within the block; without arguments, if anything is."""
    with _heard() as heard:
        yield
    found = [target for target in targets if _is_hit(target, heard)]
    if found or (not targets and heard.writes()):
        what = ", ".join(map(_named, found)) or "something"
        raise AssertionError(f"Invalidated: {what}. Tags bumped: {_bumped(heard)}")


class CacheTestMixin:
    """For ``TestCase`` and ``TransactionTestCase``: put it first among the bases.

    Each test has an empty cache of its own, and sees hits as production would.
    """

    def setUp(self) -> None:
        stack = ExitStack()
        self.addCleanup(stack.close)  # type: ignore[attr-defined]
        stack.enter_context(testcase_commits())
        super().setUp()  # type: ignore[misc]

    assertCacheHits = staticmethod(assert_cache_hits)  # noqa: N815 - as unittest names them
    assertCacheMisses = staticmethod(assert_cache_misses)  # noqa: N815
    assertInvalidates = staticmethod(assert_invalidates)  # noqa: N815
    assertDoesNotInvalidate = staticmethod(assert_does_not_invalidate)  # noqa: N815


# -- how ----------------------------------------------------------------------------------------


def _prefix() -> str:
    return f"{config().PREFIX.partition('-test-')[0]}-test-{os.getpid()}-{next(_numbers)}"


def _overridden(**changed: Any) -> Any:
    now = dict(getattr(settings, "CACHEPATTERNS", {}))
    return override_settings(CACHEPATTERNS={**now, **changed})


@contextmanager
def _cleared(looked_at: int) -> Iterator[None]:
    """Nothing is left of the block's keys, if Redis answers at its end."""
    try:
        yield
    finally:
        with suppress(BackendError, ConfigurationError):
            backend, prefix = current_store().backend, config().PREFIX
            backend.delete(guard_keys())
            for page in backend.scan(f"{prefix}:*", limit=looked_at):
                if page:
                    backend.delete(page)


def _deliver() -> None:
    """What a test's own atomic blocks have left to be bumped."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            transactions.pending_writes(connection)


@contextmanager
def _heard() -> Iterator[_Heard]:
    _deliver()  # what was written before the block
    heard = _Heard()
    observe.subscribe(heard)
    try:
        yield heard
        _deliver()
    finally:
        observe.unsubscribe(heard)


def _is_hit(target: Target, heard: _Heard) -> bool:
    tags = {tag for write in heard.writes() for tag in write.tags}
    labels = {label for write in heard.writes() for label in write.labels}
    if isinstance(target, models.Model):
        label = _label(type(target))
        mine = [tag for tag in tags if label_of(tag) == label]
        return any(":" not in tag or tag.endswith(f":pk={target.pk}") for tag in mine)
    if isinstance(target, str) and target.startswith("#"):
        return bool({target, target.partition(":")[0], "#"} & tags)
    if isinstance(target, str):
        model = find_model(target)
        if model is None:
            raise ValueError(f"{target!r} is no model's label, nor a tag made by tag(…).")
        target = model
    return _label(target) in labels


def _label(model: type[models.Model]) -> str:
    return concrete_model(model)._meta.label_lower


def _named(target: Target) -> str:
    if isinstance(target, models.Model):
        return f"{target._meta.label}:{target.pk}"
    return target if isinstance(target, str) else target._meta.label


def _bumped(heard: _Heard) -> str:
    found: Iterable[str] = sorted({tag for write in heard.writes() for tag in write.tags})
    return ", ".join(found) or "none"


def _hint(heard: _Heard) -> str:
    if any(read.reason == "transaction has written" for read in heard.reads()):
        return _OUTER
    return ""


def _pending_hint() -> str:
    pending = any(
        connection.in_atomic_block and transactions.pending_writes(connection) is not None
        for connection in connections.all(initialized_only=True)
    )
    return _OUTER if pending else ""


_OUTER = (
    "\nThe test is in a transaction that has written. TestCase never commits it: use "
    "CacheTestMixin, the fixture cachepatterns_cache, or `with testcase_commits():`."
)
