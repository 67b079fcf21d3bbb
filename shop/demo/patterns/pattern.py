"""What a pattern's scene is, and what it has to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shop.demo.patterns.stage import Stage


class Failed(Exception):
    """The pattern did not do what it is for; the message says what was seen instead."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """What a scene has shown.

    `counters` are numbers that the shop's servers reported, `sql_saved` the statements that
    pages did without, `interleaving` says in a sentence which one was forced and came to nothing.
    """

    counters: Mapping[str, int]
    sql_saved: int
    interleaving: str


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A pattern of the list in docs/patterns, and its scene."""

    number: int
    name: str
    """By which `--without` and ``SHOP_WITHOUT`` switch it off."""
    title: str
    without: str
    """A regular expression: the complaint of its scene where the shop does without it. Another one
    does not count: it would tell of a scene that does not get as far as the pattern."""
    perform: Callable[[Stage], Played]


def require(condition: object, complaint: str) -> None:
    """Raise `Failed` with `complaint` unless `condition` holds."""
    if not condition:
        raise Failed(complaint)
