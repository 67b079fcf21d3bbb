"""From which size on it pays to compress a result: what a hit then costs, and what it spares."""

from __future__ import annotations

import random
import time
import zlib
from typing import Any

from tests.benchmarks.crew import Crew
from tests.benchmarks.scenarios.table import Table

TITLE = "Results with and without compression (zlib, level 1)"
SIZES = (1, 4, 16, 64, 256)
"""KB of the rows as they are stored."""


def run(crew: Crew, *, quick: bool) -> Table:
    found = Table(
        TITLE, ["size", "compressed", "GET and inflate", "GET as it is", "deflate, once"]
    )
    with crew.several("floor", 1) as (worker,):
        for size in SIZES:
            said = worker.tell(
                f"{__name__}.measure", size=size * 1024, times=200 if quick else 1000
            )
            found.figures[str(size)] = said
            found.add(
                f"{size} KB",
                f"{said['share']:.0%}",
                f"{said['compressed'] * 1e6:.0f} µs",
                f"{said['plain'] * 1e6:.0f} µs",
                f"{said['deflate'] * 1e6:.0f} µs",
            )
    found.notes.append("Over loopback: a network of 1 Gbit/s adds 8 µs for each KB that is sent.")
    return found


# -- in the contender's process ---------------------------------------------------------------


def measure(bench: Any, size: int, times: int) -> dict[str, float]:
    """The best seconds of `times` calls for rows of so many bytes."""
    from django.core.cache import cache

    redis = cache.client.get_client(write=True)
    plain = _rows(size)
    squeezed = zlib.compress(plain, 1)
    redis.set("plain", plain)
    redis.set("squeezed", squeezed)
    return {
        "share": len(squeezed) / len(plain),
        "plain": _best(lambda: redis.get("plain"), times),
        "compressed": _best(lambda: zlib.decompress(redis.get("squeezed")), times),
        "deflate": _best(lambda: zlib.compress(plain, 1), times // 10),
    }


def _best(call: Any, times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _rows(size: int) -> bytes:
    """Products whose texts are words by chance: neither one sentence for all, nor noise."""
    import msgspec

    draw = random.Random(1)
    words = ["".join(draw.choices("aeioulnrst", k=draw.randint(2, 9))) for _ in range(2000)]
    rows: list[tuple[Any, ...]] = []
    packed = b""
    while len(packed) < size:
        for _ in range(max(1, size // 2000)):
            text = " ".join(draw.choices(words, k=30))
            prices = [str(draw.randrange(100, 99999) / 100) for _ in range(2)]
            rows.append((len(rows), draw.randrange(200), text[:30], text, *prices, "EUR", True))
        packed = msgspec.msgpack.encode(rows)
    return packed
