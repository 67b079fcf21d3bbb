"""The Lua scripts, each in its own file beside the shared prelude, run by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import redis

from cachepatterns.backends.lines import Heard, Lines

_FOLDER = files("cachepatterns.backends") / "lua"


class Script:
    """One script. Its first two arguments are the server's run id and a registration's life."""

    def __init__(self, name: str) -> None:
        self.text = "\n".join(
            (_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in ("guard", name)
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

    def send(
        self, lines: Lines, keys: Sequence[str], life: float, *arguments: Any, heard: Heard
    ) -> None:
        """Have it run without waiting for its answer; `NoScriptError` too is for `heard`."""
        more, rest = (len(keys), *keys), (int(life * 1000), *arguments)
        lines.send(lambda run: (("EVALSHA", self.digest, *more, run, *rest),), heard)


MINT, FENCE, RELEASE, TEND, LEASE, DISCLAIM = map(
    Script, ("mint", "fence", "release", "tend", "lease", "disclaim")
)
PUT, TAKE, DROP, PEEK, BACKLOG = map(Script, ("put", "take", "drop", "peek", "backlog"))
