"""Reads that Django makes to decide a write.

``save()`` looks whether the row is there, ``validate_unique()`` whether another is, the
collector which rows a delete takes along, ``set()`` what to add and what to remove. What they
do is told by no flag on the query, so it is read off the stack, and only where it matters:
before an *eventual* policy answers, and before "there is nothing" is believed.

`QuerySet.get_or_create()`, `update_or_create()` and `delete()` mark their querysets
(``_for_write``): what they read never comes from the cache at all.
"""

from __future__ import annotations

import sys
from types import FrameType

REASON = "decides a write"

_RELATIONS = ("django.db.models.fields.related_descriptors", "django.contrib.contenttypes.fields")
_SERIALIZERS = ("django.core.serializers.base",)

DECIDERS: dict[str, tuple[str, ...]] = {
    "save_base": ("django.db.models.base",),
    "_perform_unique_checks": ("django.db.models.base",),
    "_perform_date_checks": ("django.db.models.base",),
    "validate_constraints": ("django.db.models.base",),
    "validate": ("django.db.models.constraints", "django.db.models.fields.related"),
    "collect": ("django.db.models.deletion",),
    "delete": ("django.db.models.deletion",),
    "set": _RELATIONS,
    "set_base": _RELATIONS,  # since Django 6.1
    "add": _RELATIONS,
    "_get_missing_target_ids": _RELATIONS,
    "remove": _RELATIONS,
    "clear": _RELATIONS,
    "build_instance": _SERIALIZERS,
    "deserialize_fk_value": _SERIALIZERS,
    "deserialize_m2m_values": _SERIALIZERS,
    "to_python": ("django.forms.models",),
    "_check_values": ("django.forms.models",),
    "clean_username": ("django.contrib.auth.forms",),
    "create_permissions": ("django.contrib.auth.management",),
    "create_contenttypes": ("django.contrib.contenttypes.management",),
    "create_default_site": ("django.contrib.sites.management",),
    "exists": ("django.contrib.sessions.backends.db",),
}
"""The functions of Django, and their modules, within which reads decide a write."""


def decides_a_write() -> bool:
    """Whether the read under way was begun by one of the `DECIDERS`; costs microseconds."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        modules = DECIDERS.get(frame.f_code.co_name)
        if modules is not None and frame.f_globals.get("__name__") in modules:
            return True
        frame = frame.f_back
    return False
