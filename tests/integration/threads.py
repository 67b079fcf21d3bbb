"""Threads that are held where a test wants them."""

import threading
from contextlib import contextmanager

from django.db import connections


class Gate:
    """Holds a thread at a named point until it is let through."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def wait(self):
        self.reached.set()
        assert self.open.wait(20)


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
