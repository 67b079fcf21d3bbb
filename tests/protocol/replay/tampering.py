"""How the real code is changed for a replay: a line of a script, a function in place of another.

What is to be replaced must be there, so that no mutation silently does nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from cachepatterns.backends import scripts

Sabotage = Callable[[], AbstractContextManager[Any]]
SCRIPTS = {
    "mint": scripts.MINT,
    "fence": scripts.FENCE,
    "release": scripts.RELEASE,
    "tend": scripts.TEND,
}


@contextmanager
def script(name: str, *places: tuple[str, str]) -> Iterator[None]:
    """Some places of one script are others; `guard` stands before all of them."""
    with ExitStack() as stack:
        for each, found in SCRIPTS.items():
            if name in ("guard", each):
                text = found.text
                for old, new in places:
                    assert text.count(old) == 1, f"{name}.lua has changed: {old!r}"
                    text = text.replace(old, new)
                digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
                stack.enter_context(patch.object(found, "text", text))
                stack.enter_context(patch.object(found, "digest", digest))
        yield


def in_script(name: str, *places: tuple[str, str]) -> Sabotage:
    return lambda: script(name, *places)


def replaced(target: Any, attribute: str, new: Any) -> Sabotage:
    return lambda: patch.object(target, attribute, new)
