"""What readers need not know yet: the versions that were written quietly."""

from __future__ import annotations

from tests.protocol.setting import Setting
from tests.protocol.state import BOUNDLESS


class Versions:
    """What each list has returned, and for how many ticks its past may still be told."""

    def __init__(self, setting: Setting) -> None:
        self._lease = setting.protocol.lease if setting.protocol.outbox else BOUNDLESS
        self.contents: list[dict[int, int]] = []
        self._left: list[int] = []
        self._writers: list[str] = []

    def see(self, content: dict[int, int], *, by: str, quietly: bool) -> None:
        """What the database says now; if that is new, `by` whom it was committed."""
        if not self.contents or content != self.contents[-1]:
            self.contents.append(content)
            self._left.append(self._lease if quietly else 0)
            self._writers.append(by)

    def oldest(self) -> int:
        """The oldest version that a reader may be told who begins now."""
        version = len(self.contents) - 1
        while self._left[version]:
            version -= 1
        return version

    def know(self, writer: str) -> None:
        """What he has written must be known from now on."""
        self._left = [
            0 if by == writer else left for by, left in zip(self._writers, self._left, strict=True)
        ]

    def know_delivered(self, delivered: tuple[bool, ...]) -> None:
        """Events stand in the order of their commits."""
        for number, done in enumerate(delivered, start=1):
            if done and number < len(self._left):
                self._left[number] = 0

    def know_all(self) -> None:
        """Time has passed, and relays have delivered."""
        self._left = [0] * len(self._left)

    def tick(self) -> None:
        self._left = [left if left == BOUNDLESS else max(0, left - 1) for left in self._left]
