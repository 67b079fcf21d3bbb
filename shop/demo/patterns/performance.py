"""All scenes, one after the other: what each has shown, or what went wrong."""

import re
import textwrap
import time
from collections.abc import Callable, Collection

from shop.demo.actor import ActorFailed
from shop.demo.patterns import patterns
from shop.demo.patterns.pattern import Failed, Pattern, Played
from shop.demo.patterns.stage import PATIENCE_SECONDS, WITHOUT_SECONDS, Stage

WIDTH = 100

Say = Callable[[str], object]


def perform(
    stage: Stage, say: Say, *, only: Collection[str] = (), without: Collection[str] = ()
) -> dict[str, str]:
    """Play every scene (or those of `only`), and say how it went. Those of patterns in `without`
    must fail, each with the complaint that it is for. Returns what is wrong, by pattern's name."""
    wrong: dict[str, str] = {}
    for pattern in patterns():
        if only and pattern.name not in only:
            continue
        is_off = pattern.name in without
        stage.patience = WITHOUT_SECONDS if is_off else PATIENCE_SECONDS
        began = time.perf_counter()
        try:
            stage.settle()
            played = pattern.perform(stage)
        except (Failed, ActorFailed) as error:
            complaint = str(error)
            as_it_must = is_off and re.search(pattern.without, complaint) is not None
            if not as_it_must:
                wrong[pattern.name] = complaint
            verdict = "fails without it" if as_it_must else "FAILED"
            say(_head(pattern, verdict, "", time.perf_counter() - began))
            say(_under("seen", complaint))
        else:
            if is_off:
                wrong[pattern.name] = "It holds though the shop does without it."
            verdict = "HOLDS WITHOUT IT" if is_off else "holds"
            saved = f"{played.sql_saved:,} SQL saved"
            say(_head(pattern, verdict, saved, time.perf_counter() - began))
            say(_told(played))
    return wrong


def _told(played: Played) -> str:
    seen = ", ".join(f"{count:,} {name}" for name, count in played.counters.items())
    return f"{_under('seen', seen)}\n{_under('forced', played.interleaving)}"


def _head(pattern: Pattern, verdict: str, saved: str, seconds: float) -> str:
    return f"{pattern.number:>2}  {pattern.title:<44}{verdict:<18}{saved:>18}{seconds:>10.1f} s"


def _under(word: str, text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=f"      {word:<8}", subsequent_indent=" " * 14
    )
