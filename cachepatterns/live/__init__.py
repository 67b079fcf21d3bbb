"""Live checks: what the servers themselves say. For `check --deploy` and `cache_doctor`."""

from __future__ import annotations

from cachepatterns.live.finding import Finding, State

__all__ = ["Finding", "State"]
