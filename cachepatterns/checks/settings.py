"""Checks of the dict ``CACHEPATTERNS``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

from cachepatterns.checks.refreshing import SOFT_OPTIONS
from cachepatterns.checks.words import did_you_mean
from cachepatterns.conf import KEYS, SHADOW_VARIABLE, Config, from_environment, user_settings
from cachepatterns.declarations import EVERY, EVERY_OPTIONS
from cachepatterns.policy import ModelPolicy
from cachepatterns.registry import find_model

POSITIVE = (
    "COMPRESS_ABOVE",
    "MAX_VALUE_BYTES",
    "NEAR_MAX_BYTES",
    "WRITE_THROUGH_MAX_ROWS",
    "FLIGHT_TIMEOUT",
    "BREAKER_SECONDS",
    "STATS_FLUSH_SECONDS",
    "OUTBOX_RETENTION_SECONDS",
    "LEASE_SECONDS",
    "REFRESH_THREADS",
    "REFRESH_QUEUE",
)
SWITCHES: dict[Any, tuple[bool | None, ...]] = {
    "bool": (True, False),
    "bool | None": (None, True, False),
}
"""The types of settings that are on or off, and what there is to be said."""
FLAGS = {each.name: SWITCHES[each.type] for each in fields(Config) if each.type in SWITCHES}
SHARES = {
    "SHADOW": "0.01 compares every hundredth hit with the database.",
    "VERIFY_SHARE": "0.05 lets cache_verify ask every twentieth query again.",
    "HOT_SHARE": "0.02 notes the keys of every fiftieth read, beyond the first of each minute.",
}
PREFIX = re.compile(r"[\w.:-]+\Z")
VOLATILE_SECONDS = 300
"""What is called volatile and lives longer is something else."""
WORDS = {
    "ON_REDIS_ERROR": ("database", "refuse"),
    "RELAY": ("", "thread"),
    "FLUSH": ("", "thread"),
}
TIME_HINTS = {
    "ttl": 'To cache nothing, use tier = "never".',
    "negative_ttl": "The default is 60. After a short one the database is soon asked again "
    "whether there is still nothing.",
    "accepts_staleness": "1.0 lets a process answer from its own memory what Redis would have "
    "answered a second ago. To have Redis asked each time, leave it out.",
}
TIER_OPTIONS = ("ttl", "jitter", "negative_ttl", "local", *SOFT_OPTIONS)
POLICY_OPTIONS = tuple(name for name in vars(ModelPolicy) if not name.startswith("_"))


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Unknown names and impossible values."""
    found = getattr(settings, "CACHEPATTERNS", {})
    if not isinstance(found, Mapping):
        return [
            Error(
                f"CACHEPATTERNS is a {type(found).__name__}, not a dict; it is ignored.",
                hint='Write CACHEPATTERNS = {"ALIAS": "default", …}.',
                id="cachepatterns.E001",
            )
        ]
    return [
        *_keys(found),
        *_prefix(found),
        *_numbers(found),
        *_words(found),
        *_tiers(),
        *_models(),
    ]


def _keys(found: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for key in found:
        if key not in KEYS:
            yield Error(
                f"CACHEPATTERNS has an unknown setting {key!r}.",
                hint=did_you_mean(key, KEYS),
                id="cachepatterns.E004",
            )


def _prefix(found: Mapping[str, Any]) -> Iterator[CheckMessage]:
    prefix = found.get("PREFIX", Config().PREFIX)
    if not isinstance(prefix, str) or not PREFIX.match(prefix):
        yield Error(
            f'CACHEPATTERNS["PREFIX"] is {prefix!r}, which keys can not begin with.',
            hint="Letters, digits, and - _ . : (none of which a search for keys takes for "
            'anything else). "shop" is a good one.',
            id="cachepatterns.E019",
        )


def _numbers(found: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name in POSITIVE:
        value = found.get(name, getattr(Config(), name))
        if not _is_number(value) or value <= 0:
            yield Error(
                f'CACHEPATTERNS["{name}"] is {value!r}, not a positive number.',
                hint=f"The default is {getattr(Config(), name)!r}.",
                id="cachepatterns.E013",
            )
    jitter = found.get("JITTER", 0.1)
    if not _is_number(jitter) or not 0 <= jitter < 1:
        yield Error(
            f'CACHEPATTERNS["JITTER"] is {jitter!r}, not a share from 0 up to (not including) 1.',
            hint="0.1 shortens TTLs by up to a tenth.",
            id="cachepatterns.E013",
        )
    for name, hint in SHARES.items():
        yield from _share(
            f'CACHEPATTERNS["{name}"]', found.get(name, getattr(Config(), name)), hint
        )
    try:
        given = from_environment().get("SHADOW", 0)
    except ValueError:
        given = os.environ[SHADOW_VARIABLE]
    yield from _share(f"{SHADOW_VARIABLE} in the environment", given, SHARES["SHADOW"])


def _share(name: str, value: Any, hint: str) -> Iterator[CheckMessage]:
    if not _is_number(value) or not 0 <= value <= 1:
        yield Error(
            f"{name} is {value!r}, not a share from 0 to 1.", hint=hint, id="cachepatterns.E013"
        )


def _words(found: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name, known in WORDS.items():
        value = found.get(name, getattr(Config(), name))
        if value not in known:
            yield Error(
                f'CACHEPATTERNS["{name}"] is {value!r}, not one of {", ".join(map(repr, known))}.',
                hint=did_you_mean(str(value), known),
                id="cachepatterns.E018",
            )
    for name, allowed in FLAGS.items():
        value = found.get(name, getattr(Config(), name))
        if not any(value is each for each in allowed):
            yield Error(
                f'CACHEPATTERNS["{name}"] is {value!r}, not one of '
                f"{', '.join(map(repr, allowed))}.",
                hint=f"Write {' or '.join(map(repr, allowed))}, without quotes; the default is "
                f"{getattr(Config(), name)!r}. Whatever else stands there counts as on, unless it "
                "is empty or 0.",
                id="cachepatterns.E018",
            )
    if found.get("RELAY") and not found.get("OUTBOX"):
        yield Warning(
            'CACHEPATTERNS["RELAY"] is set, but OUTBOX is not: there is nothing to relay.',
            hint='Set CACHEPATTERNS["OUTBOX"] = True.',
            id="cachepatterns.W018",
        )


def _tiers() -> Iterator[CheckMessage]:
    for name, options in user_settings().get("TIERS", {}).items():
        where = f'CACHEPATTERNS["TIERS"]["{name}"]'
        for option in options:
            if option not in TIER_OPTIONS:
                yield Error(
                    f"{where} has an unknown option {option!r}.",
                    hint=did_you_mean(option, TIER_OPTIONS),
                    id="cachepatterns.E009",
                )
        if "ttl" in options and options["ttl"] is not None:
            yield from check_ttl(options["ttl"], where)
            yield from check_volatile(name, options["ttl"], where)
        if "negative_ttl" in options:
            yield from check_ttl(options["negative_ttl"], where, "negative_ttl")
        if not isinstance(options.get("local", False), bool):
            yield Error(
                f"{where}: local is {options['local']!r}, not True or False.",
                hint="How old an answer may be is said by the policies: accepts_staleness = 1.0.",
                id="cachepatterns.E009",
            )


def _models() -> Iterator[CheckMessage]:
    for label, options in user_settings().get("MODELS", {}).items():
        where = f'CACHEPATTERNS["MODELS"]["{label}"]'
        if label != EVERY and find_model(label) is None:
            known = [model._meta.label for model in apps.get_models()]
            yield Error(
                f'CACHEPATTERNS["MODELS"] names an unknown model {label!r}.',
                hint=did_you_mean(label, known),
                id="cachepatterns.E005",
            )
        for option in options:
            if option not in POLICY_OPTIONS:
                yield Error(
                    f"{where} has an unknown option {option!r}.",
                    hint=did_you_mean(option, POLICY_OPTIONS),
                    id="cachepatterns.E006",
                )
            elif label == EVERY and option not in EVERY_OPTIONS:
                yield Error(
                    f"{where} has the option {option!r}, which is for one model.",
                    hint=f"Of all models at once there are: {', '.join(sorted(EVERY_OPTIONS))}.",
                    id="cachepatterns.E014",
                )


def check_ttl(value: Any, where: str, option: str = "ttl") -> Iterator[CheckMessage]:
    """An error unless `value` is a positive number of seconds."""
    if not _is_number(value) or value <= 0:
        yield Error(
            f"{where}: {option} is {value!r}, not a positive number of seconds.",
            hint=TIME_HINTS[option],
            id="cachepatterns.E008",
        )


def check_volatile(tier: str, ttl: Any, where: str) -> Iterator[CheckMessage]:
    """A warning where the tier's name promises less than its TTL keeps."""
    if tier == "volatile" and _is_number(ttl) and ttl > VOLATILE_SECONDS:
        yield Warning(
            f"{where}: volatile entries that live {ttl:g} seconds are none.",
            hint=f'Stay below {VOLATILE_SECONDS} seconds, or take tier = "semi_static": '
            "invalidation keeps its entries as right.",
            id="cachepatterns.W014",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
