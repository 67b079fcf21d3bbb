"""The relay as a thread of each web process: ``CACHEPATTERNS["RELAY"] = "thread"``.

Started by the first request that a process serves: so in web workers, after they were forked, and
never in management commands.
"""

from __future__ import annotations

import os
import threading

from cachepatterns.conf import config
from cachepatterns.registry import site
from cachepatterns.transactions import aliases_by_database
from cachepatterns.write.relay import Relay

THREAD = "thread"

_relays: dict[str, tuple[Relay, threading.Thread]] = {}
_lock = threading.Lock()


def ensure_running(**kwargs: object) -> None:
    """Receiver of ``request_started``: see to it that the outboxes of this site are relayed."""
    if config().RELAY != THREAD or not config().OUTBOX:
        return
    if _relays and all(thread.is_alive() for _, thread in _relays.values()):
        return
    with _lock:
        for alias, *_ in aliases_by_database(site.databases()).values():
            known = _relays.get(alias)
            if known is None or not known[1].is_alive():
                relay = Relay(alias)
                name = f"cachepatterns-relay-{alias}"
                thread = threading.Thread(target=relay.run, name=name, daemon=True)
                _relays[alias] = relay, thread
                thread.start()


def stop() -> None:
    """Stop the threads of this process, and wait for them."""
    with _lock:
        running = list(_relays.values())
        _relays.clear()
    for relay, _ in running:
        relay.stop()
    for _, thread in running:
        thread.join()


def _after_fork() -> None:
    """The threads did not come along, and their connections are the parent's."""
    global _lock
    _lock = threading.Lock()
    _of_parents.extend(_relays.values())
    _relays.clear()


_of_parents: list[object] = []
"""Kept, so that nobody closes the parent's sockets."""

os.register_at_fork(after_in_child=_after_fork)
