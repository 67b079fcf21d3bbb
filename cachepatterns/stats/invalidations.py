"""The newest invalidations, as documents: who wrote what, and what it cost the cache."""

from __future__ import annotations

import msgspec

from cachepatterns.declarations import find_model, is_secret
from cachepatterns.observe import InvalidationEvent

KEPT = 200
MAX_TAGS = 20
"""Tags that are named; of further ones only the number is kept."""


class Invalidation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the list. ``at`` is Unix time, ``seconds`` the time the bump took."""

    at: float
    labels: list[str]
    source: str
    tags: list[str]
    tag_count: int
    object_label: str | None = None
    object_pk: str | None = None
    using: str | None = None
    seconds: float = 0.0
    delivered: bool = True
    coarse: bool = False
    site: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Invalidation)


def document(event: InvalidationEvent, at: float) -> bytes:
    return _encoder.encode(
        Invalidation(
            at=round(at, 3),
            labels=list(event.labels[:MAX_TAGS]),
            source=event.source,
            tags=sorted(event.tags)[:MAX_TAGS],
            tag_count=len(event.tags),
            object_label=event.object_label,
            object_pk=_shown(event),
            using=event.using,
            seconds=round(event.seconds, 6),
            delivered=event.delivered,
            coarse=event.coarse,
            site=event.site,
        )
    )


def _shown(event: InvalidationEvent) -> str | None:
    """The object's key, unless it lets people in: who may look at the cache may not be them."""
    model = find_model(event.object_label) if event.object_label else None
    return None if model is not None and is_secret(model) else event.object_pk


def parsed(documents: list[bytes]) -> list[Invalidation]:
    """The documents that can be read; others are left out."""
    found = []
    for item in documents:
        try:
            found.append(_decoder.decode(item))
        except msgspec.MsgspecError:
            continue
    return found
