"""Threads that are held where a test wants them."""

import threading
from contextlib import contextmanager

from django.db import connections

from cachepatterns.backends.store import current_store


class Gate:
    """Holds a thread at a named point until it is let through."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def wait(self):
        self.reached.set()
        assert self.open.wait(20)


def hold_first_store(monkeypatch, gate):
    """Whoever is the first about to store something waits at the gate."""
    store, first = current_store(), threading.Lock()
    original = store.store

    def held(*args, **kwargs):
        if first.acquire(blocking=False):
            gate.wait()
        original(*args, **kwargs)

    monkeypatch.setattr(store, "store", held)


@contextmanager
def running(function):
    """`function()` in a thread with connections of its own; yields a way to get its answer."""
    answers = []

    def run():
        try:
            answers.append(function())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()

    def answer():
        thread.join(20)
        assert answers, "the thread did not end well"
        return answers[0]

    yield answer
    thread.join(20)
