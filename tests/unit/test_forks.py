"""A child of a fork waits for no thread of its parent's."""

import os
import signal
import threading

import pytest

from cachepatterns import observe
from cachepatterns.computed.learning import learnt
from cachepatterns.observe import BurstLog
from cachepatterns.read.floods import floods

HELD = {
    "the log's": (lambda: observe._lock, lambda: BurstLog().log("in a child of a fork")),
    "the floods'": (lambda: floods._lock, lambda: floods.admits("app.item")),
    "of what was learnt": (lambda: learnt._lock, lambda: learnt.learn("key", ["tag"])),
}


@pytest.mark.parametrize(("lock", "act"), HELD.values(), ids=HELD)
def test_a_lock_that_a_thread_held_at_the_fork_is_free_in_the_child(lock, act):
    """The interleaving that must not happen: a thread is about to let go of it, another one forks,
    and the child waits for ever."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with lock():
            held.set()
            done.wait(60)

    holding = threading.Thread(target=hold)
    holding.start()
    assert held.wait(20)
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            act()
        finally:
            os._exit(0)
    try:
        _, status = os.waitpid(child, 0)
    finally:
        done.set()
        holding.join()
    assert os.waitstatus_to_exitcode(status) == 0
