"""Buffers: what is written behind, kept until a flusher has it in the database.

A buffer is counts (amounts by field) or events (in their order). A flusher takes a *batch* out of
it, by one atomic step that also notes the batch among the open ones, and drops it when it is
written. Whatever is put meanwhile waits for the next batch. Nothing of it ever expires.

All keys of a buffer begin alike; the part in braces puts them into one slot of a cluster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WRITER_SECONDS = 60.0
"""How long a writer's last number is remembered: a command is sent twice within that, or never."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a buffer holds: how many counts or events wait, the open batches, and for how many
    seconds the oldest of all has been there (0 where there is nothing)."""

    waiting: int
    batches: int
    seconds: float


class Buffers(ABC):
    """The part of a backend that holds buffers."""

    @abstractmethod
    def put_counts(
        self, buffer: str, writer: str, number: int, amounts: Mapping[str, int]
    ) -> None:
        """Add to the fields of a buffer. A writer's commands are numbered: one that comes twice,
        since its answer was lost, is carried out once."""

    @abstractmethod
    def put_event(self, buffer: str, writer: str, number: int, event: bytes) -> None:
        """Append an event to a buffer; numbered alike."""

    @abstractmethod
    def take_batch(self, buffer: str, batch: str, most: int) -> bool:
        """Make about `most` of what waits a batch of that name; returns whether there is one."""

    @abstractmethod
    def open_batches(self, buffer: str) -> list[str]:
        """The batches that were taken and not dropped, the oldest first."""

    @abstractmethod
    def batch_counts(self, buffer: str, batch: str) -> dict[str, int]:
        """What a batch of counts holds; nothing once it was dropped."""

    @abstractmethod
    def batch_events(self, buffer: str, batch: str) -> list[bytes]:
        """The same of events, in their order."""

    @abstractmethod
    def drop_batch(self, buffer: str, batch: str) -> None:
        """Forget a batch; idempotent."""

    @abstractmethod
    def waiting_counts(
        self, buffer: str, fields: Sequence[str]
    ) -> tuple[list[int], dict[str, list[int]]]:
        """What waits under each of the fields, and what each open batch holds of them; seen at one
        instant."""

    @abstractmethod
    def backlog(self, buffer: str) -> Backlog:
        """What the buffer holds."""


def waiting_key(buffer: str) -> str:
    return f"{buffer}:waiting"


def since_key(buffer: str) -> str:
    """Since when something waits."""
    return f"{buffer}:since"


def batches_key(buffer: str) -> str:
    return f"{buffer}:batches"


def batch_key(buffer: str, batch: str) -> str:
    return f"{buffer}:batch:{batch}"


def writer_key(buffer: str, writer: str) -> str:
    return f"{buffer}:by:{writer}"
