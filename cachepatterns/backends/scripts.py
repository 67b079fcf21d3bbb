"""The Lua scripts, each in its own file beside the shared prelude, run by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import redis

from cachepatterns.backends.lines import Lines, Packed
from cachepatterns.conf import config

_FOLDER = files("cachepatterns.backends") / "lua"


class Script:
    """One script. Its first two arguments are the server's run id and a registration's life."""

    def __init__(self, name: str, *, before: Sequence[str] = ()) -> None:
        """`before` names what stands before the shared prelude."""
        self.text = "\n".join(
            (_FOLDER / f"{part}.lua").read_text(encoding="utf-8")
            for part in (*before, "guard", name)
        )
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, lines: Lines, keys: Sequence[str], life: float, *arguments: Any) -> Any:
        """The script's answer; one round trip once the server knows the script."""
        more, rest = (len(keys), *keys), (int(life * 1000), *arguments)
        try:
            return lines.call(lambda run: ("EVALSHA", self.digest, *more, run, *rest))[0]
        except redis.exceptions.NoScriptError:
            return lines.call(lambda run: ("EVAL", self.text, *more, run, *rest))[0]

    def ask(
        self, lines: Lines, keys: Sequence[str], life: float, *arguments: Any
    ) -> Callable[[], Any]:
        """Have it run, and hear its answer when what is returned is called."""
        more, rest = (len(keys), *keys), (int(life * 1000), *arguments)
        asked = lines.ask(lambda run: ("EVALSHA", self.digest, *more, run, *rest))

        def answer() -> Any:
            try:
                return asked.answer()
            except redis.exceptions.NoScriptError:
                return lines.call(lambda run: ("EVAL", self.text, *more, run, *rest))[0]

        return answer

    def packed(self, lines: Lines, keys: Sequence[str], life: float, *arguments: Any) -> Packed:
        """For `lines.send`, whose answer nobody waits for: `NoScriptError` too is for `heard`."""
        more, rest = (len(keys), *keys), (int(life * 1000), *arguments)
        return lines.packed(lambda run: (("EVALSHA", self.digest, *more, run, *rest),))


MINT, TEND, LEASE, DISCLAIM = map(Script, ("mint", "tend", "lease", "disclaim"))
PUT, TAKE, DROP, PEEK, BACKLOG = map(Script, ("put", "take", "drop", "peek", "backlog"))

PROLONG = "\n".join(
    line
    for line in (_FOLDER / "prolong.lua").read_text(encoding="utf-8").splitlines()
    if not line.startswith("--")
)
"""Sent as it is, with what nobody waits for: who would hear that the server does not know it?"""

LONG_FENCE, LONG_RELEASE = Script("fence", before=["witness"]), Script("release")
FENCE = Script("fence", before=["witness", "fence_alone"])
"""With a short way for a writer who is alone in the guard, as writers mostly are."""
RELEASE = Script("release", before=["release_alone"])


def fence() -> Script:
    """The one that the setting ``SHORTCUTS`` asks for."""
    return FENCE if config().SHORTCUTS else LONG_FENCE


def release() -> Script:
    """The one that the setting ``SHORTCUTS`` asks for."""
    return RELEASE if config().SHORTCUTS else LONG_RELEASE
