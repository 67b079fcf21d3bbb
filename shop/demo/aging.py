"""What actors do to entries: make them older than they are, and tell how long they will live.

No scene waits for time to pass.
"""

from collections.abc import Iterator
from typing import Any

from shop.demo.actor import Pause


def grow_older(pause: Pause, label: str, seconds: str) -> int:
    """Every list of the model was stored so many seconds earlier; returns how many there are."""
    import msgspec

    client, count = _client(), 0
    for key in _lists(label):
        payload, left = client.get(key), client.pttl(key)
        if payload is None or left <= 0:
            continue
        entry = _unpacked(payload)
        older = msgspec.structs.replace(entry, stored_at=entry.stored_at - int(seconds))
        left -= int(seconds) * 1000
        if left > 0:
            client.set(key, msgspec.msgpack.encode(older), px=left)
        else:
            client.delete(key)
        count += 1
    return count


def life_of(key: str) -> float:
    """Seconds that an entry has left."""
    left: int = _client().pttl(key)
    return left / 1000


def count_keys(pause: Pause) -> int:
    """How many entries and stamps there are."""
    return sum(1 for kind in ("q", "row", "tag") for _ in _client().scan_iter(_keys(kind)))


def _lists(label: str) -> Iterator[bytes]:
    return iter(list(_client().scan_iter(_keys(f"q:{label}."))))


def _keys(of: str) -> str:
    from cachepatterns.conf import config

    return f"{config().PREFIX}:{of}*"


def _client() -> Any:
    from django_redis import get_redis_connection

    return get_redis_connection("default")


def _unpacked(payload: bytes) -> Any:
    from cachepatterns.core.entry import unpack

    return unpack(payload)
