"""Imports: many writes at once, of which readers need to hear only when all are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cachepatterns.read.options import uncached
from cachepatterns.write.wholesale import import_block


@contextmanager
def no_invalidation() -> Iterator[None]:
    """Within this block writes invalidate nothing; when it ends, everything of their models goes,
    by one bump::

        with no_invalidation():
            import_products(file)

    For imports, which would invalidate most of a model anyway. Nothing stale is served: from
    its first write on, readers of a model are sent to the database until the block ends, also
    of an eventual one; so is what the block itself reads. Where a transaction outlasts the
    block, there is a second bump after its commit. Holds for the current thread or async task.

    Raises `WriteRefused`, before anything is written, where that is the policy.
    """
    with uncached("import"), import_block():
        yield
