"""The rules and the dashboard, in the names that the project's metrics have."""

from __future__ import annotations

import re
from importlib.resources import files

FILES = {"rules": "rules.yml", "dashboard": "dashboard.json"}

_OURS = re.compile(r"\bcachepatterns_(?=[a-z])")


def text_of(name: str, namespace: str = "") -> str:
    """The text of one of `FILES`, its metrics under `namespace`."""
    found = files(__package__).joinpath(FILES[name]).read_text("utf-8")
    return _OURS.sub(f"{namespace}_cachepatterns_", found) if namespace else found
