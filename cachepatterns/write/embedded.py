"""Relay and flusher as threads of each web process: ``CACHEPATTERNS["RELAY"] = "thread"``, and
``FLUSH`` likewise.

Started by the first request that a process serves: so in web workers, after they were forked, and
never in management commands.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from cachepatterns.behind import buffers
from cachepatterns.conf import config
from cachepatterns.registry import site
from cachepatterns.transactions import aliases_by_database
from cachepatterns.write.flushing import Flusher
from cachepatterns.write.relay import Relay

THREAD = "thread"


class Worker(Protocol):
    """What runs until it is stopped, from whatever thread."""

    def run(self) -> None: ...

    def stop(self) -> None: ...


_workers: dict[str, tuple[Worker, threading.Thread]] = {}
_lock = threading.Lock()
_began = False, False
"""Whether relays, and whether a flusher, were started in this process."""


def ensure_running(**kwargs: object) -> None:
    """Receiver of ``request_started``: see to it that the outboxes of this site are relayed, and
    what is written behind is flushed."""
    global _began
    relays = config().RELAY == THREAD and config().OUTBOX
    flushes = config().FLUSH == THREAD
    if not relays and not flushes:
        return
    if _began == (relays, flushes) and all(thread.is_alive() for _, thread in _workers.values()):
        return
    with _lock:
        if relays:
            for alias, *_ in aliases_by_database(site.databases()).values():
                _start(f"relay-{alias}", partial(Relay, alias))
        if flushes and buffers():
            _start("flusher", Flusher)
        _began = relays, flushes


def _start(name: str, make: Callable[[], Worker]) -> None:
    known = _workers.get(name)
    if known is None or not known[1].is_alive():
        worker = make()
        thread = threading.Thread(target=worker.run, name=f"cachepatterns-{name}", daemon=True)
        _workers[name] = worker, thread
        thread.start()


def stop() -> None:
    """Stop the threads of this process, and wait for them."""
    global _began
    with _lock:
        running = list(_workers.values())
        _workers.clear()
        _began = False, False
    for worker, _ in running:
        worker.stop()
    for _, thread in running:
        thread.join()


def _after_fork() -> None:
    """The threads did not come along, and their connections are the parent's."""
    global _lock, _began
    _lock = threading.Lock()
    _of_parents.extend(_workers.values())
    _workers.clear()
    _began = False, False


_of_parents: list[object] = []
"""Kept, so that nobody closes the parent's sockets."""

os.register_at_fork(after_in_child=_after_fork)
