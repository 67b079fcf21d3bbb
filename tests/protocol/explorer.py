"""A breadth-first explorer of all interleavings: it knows nothing of caches.

States are hashable values. Breadth first, so that the first violation found is a shortest one.
There is no depth limit: the model keeps its states finite, so a search that ends without a
violation has seen every behaviour of any length.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Label = Any
"""What a step is called: printed, and else only kept."""

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Found(Generic[S]):
    """What a search saw: how much, and the shortest way to a violation if there is one."""

    states: int
    transitions: int
    depth: int
    violation: str
    steps: tuple[Label, ...]
    last: S | None

    def __str__(self) -> str:
        if not self.violation:
            return f"holds: {self.states} states, {self.transitions} transitions"
        lines = [f"{number:3}. {step}" for number, step in enumerate(self.steps)]
        return "\n".join([*lines, f"  => {self.violation}"])


class TooLarge(Exception):
    """The search was ended by its limit: nothing is proved, so nobody may pass on it."""


def explore(
    starts: Iterable[tuple[Label, S]],
    successors: Callable[[S], Iterator[tuple[Label, S]]],
    violated: Callable[[S], str],
    *,
    key: Callable[[S], Hashable],
    limit: int,
) -> Found[S]:
    """Every state reachable from `starts`, or the shortest way to one that is `violated`.

    `key` names what is the same up to symmetry. The state itself, not its key, is expanded, so
    that "reader 2" is the same reader in every step of a printed way.
    """
    came: dict[Hashable, tuple[Hashable, Label]] = {}
    layer: list[tuple[Hashable, S]] = []
    transitions = depth = 0

    def found(violation: str, at: Hashable, last: S | None) -> Found[S]:
        return Found(len(came), transitions, depth, violation, _way(came, at), last)

    for label, state in starts:
        name = key(state)
        if name not in came:
            came[name] = (None, label)
            layer.append((name, state))
            if violation := violated(state):
                return found(violation, name, state)
    while layer:
        depth += 1
        following: list[tuple[Hashable, S]] = []
        for name, state in layer:
            for label, after in successors(state):
                transitions += 1
                reached = key(after)
                if reached in came:
                    continue
                came[reached] = (name, label)
                if violation := violated(after):
                    return found(violation, reached, after)
                following.append((reached, after))
        if len(came) > limit:
            raise TooLarge(f"{len(came)} states at depth {depth}, {len(following)} open")
        layer = following
    return found("", None, None)


def _way(came: dict[Hashable, tuple[Hashable, Label]], at: Hashable) -> tuple[Label, ...]:
    steps: list[Label] = []
    while at is not None:
        at, label = came[at]
        steps.append(label)
    return tuple(reversed(steps))
