"""A running primary that gets its first replica becomes another incarnation, and loses nothing.

    early        asks who is there: A
                 the replica attaches: the server is B from now on
    late         asks who is there: B; makes the guard anew, in quarantine, on B
    early        takes it for a lost server's, makes it anew, in quarantine, on A
    late         takes it for a lost server's …

That must not happen: the cache would stay closed until the last connection has asked again, and
one quarantine longer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import redis

from cachepatterns.backends import incarnation
from cachepatterns.backends.redis import RedisBackend
from cachepatterns.core.guard import EVERYTHING
from shop.servers import EmbeddedValkey
from tests.events import eventually

GUARD, TAG = "test:guard:a@d", "test:tag:a@d"


def run_of(backend: RedisBackend) -> str:
    return backend.lines.call(lambda run: ("PING",))[1]


class Scene:
    """A primary without a replica, and two processes that have it as their cache."""

    def __init__(self, primary: EmbeddedValkey, folder, settings) -> None:
        self._primary, self._folder = primary, folder
        cache = {**settings.CACHES["default"], "LOCATION": primary.url}
        # By another address it is another pool, as another process has one.
        late = {**cache, "LOCATION": primary.url.replace("127.0.0.1", "localhost")}
        settings.CACHES = {"default": cache, "early": cache, "late": late}
        self.early, self.late = RedisBackend("early"), RedisBackend("late")
        self.before = run_of(self.early)

    @contextmanager
    def first_replica(self) -> Iterator[None]:
        options = ["--replicaof", "127.0.0.1", str(self._primary.port)]
        with (
            closing(redis.Redis.from_url(self._primary.url)) as direct,
            EmbeddedValkey(self._folder, options=options),
        ):
            eventually(lambda: not self.before.endswith(replication_id(direct)))
            yield


def replication_id(direct: redis.Redis) -> str:
    return direct.info("replication")["master_replid"][: incarnation.ID_LENGTH]


@pytest.fixture
def scene(tmp_path, settings):
    with EmbeddedValkey(tmp_path / "a") as primary:
        yield Scene(primary, tmp_path / "b", settings)


def test_connections_agree_in_the_end_on_who_is_there(scene):
    with scene.first_replica():
        now = run_of(scene.late)
        assert now != scene.before
        eventually(lambda: run_of(scene.early) == now)


WRITES = {
    "fence": lambda backend: backend.fence("t", {GUARD: [TAG]}, life=60.0),
    "renew": lambda backend: backend.fence("t", {GUARD: [EVERYTHING, TAG]}, life=60, renew=True),
    "release": lambda backend: backend.release("t", [GUARD], [TAG], life=60.0),
    "mint": lambda backend: backend.mint([GUARD], [TAG], [b"s"], ttl=60.0, life=60.0),
    "tend": lambda backend: backend.tend([GUARD], life=60.0),
}


def test_who_has_asked_too_early_closes_nobody_s_guard(scene, never_by_itself):
    with scene.first_replica():
        for script, run in WRITES.items():
            scene.late.tend([GUARD], life=60.0, no_writers=True)
            assert scene.late.read([GUARD], []).is_open == [True]
            run(scene.early)
            scene.late.release("t", [GUARD], [], life=60.0)
            assert scene.late.read([GUARD], []).is_open == [True], script


def test_who_has_asked_too_early_makes_no_guard_that_others_do_not_believe(scene, never_by_itself):
    with scene.first_replica():
        scene.early.tend([GUARD], life=60.0)
        (made,) = scene.late.get_many([GUARD])
        assert json.loads(made)["r"] == run_of(scene.late)


def test_who_meets_a_guard_of_another_incarnation_asks_again(scene, never_by_itself, monkeypatch):
    monkeypatch.setattr(incarnation, "DOUBT_SECONDS", 0.0)
    with scene.first_replica():
        scene.late.tend([GUARD], life=60.0, no_writers=True)
        assert scene.early.read([GUARD], []).is_open == [False]
        assert scene.early.read([GUARD], []).is_open == [True]
