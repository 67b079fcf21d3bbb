"""Purging: what people throw out of the cache by hand, in the admin or at a prompt."""

from cachepatterns.purging.act import PREVIEW_LOOKS_AT, Preview, Purged, preview, purge
from cachepatterns.purging.targets import (
    Target,
    app_target,
    everything,
    model_target,
    named_target,
    object_target,
    pattern_target,
    tag_target,
)

__all__ = [
    "PREVIEW_LOOKS_AT",
    "Preview",
    "Purged",
    "Target",
    "app_target",
    "everything",
    "model_target",
    "named_target",
    "object_target",
    "pattern_target",
    "preview",
    "purge",
    "tag_target",
]
