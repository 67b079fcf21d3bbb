"""PostgreSQL triggers that record what is written past Django in the outbox."""

from __future__ import annotations

from cachepatterns.triggers.installing import (
    State,
    TableStatus,
    covered_tables,
    install,
    is_installed,
    keep_up,
    remove,
    status,
)

__all__ = [
    "State",
    "TableStatus",
    "covered_tables",
    "install",
    "is_installed",
    "keep_up",
    "remove",
    "status",
]
