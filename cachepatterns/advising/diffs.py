"""The changes as diffs of the files that hold the policies, or as settings where none does."""

from __future__ import annotations

import inspect
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

from cachepatterns.advising.changes import Change
from cachepatterns.advising.editing import NotFound, with_attributes, with_class_of_its_own
from cachepatterns.registry import site


@dataclass(kw_only=True)
class Proposals:
    """What to write where."""

    diff: str = ""
    """A unified diff that ``git apply`` takes, run where the command was."""
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    """What belongs in ``CACHEPATTERNS["MODELS"]``, by label."""


def proposals(changes: Iterable[Change]) -> Proposals:
    """How `changes` are written down."""
    found = Proposals()
    before: dict[Path, str] = {}
    after: dict[Path, str] = {}
    for change in changes:
        path = _own_source(change)
        if path is not None:
            try:
                text = before.setdefault(path, path.read_text(encoding="utf-8"))
                after[path] = _edited(after.get(path, text), change)
                continue
            except (NotFound, SyntaxError, StopIteration, OSError, UnicodeDecodeError):
                pass  # written in a way that only people can change: then the settings say it
        found.settings[change.policy.model._meta.label] = {
            **dict.fromkeys(change.drop),
            **change.set,
        }
    found.diff = "".join(_diff(path, before[path], text) for path, text in after.items())
    return found


def _edited(text: str, change: Change) -> str:
    cls = type(change.policy.policy)
    if len(site.models_of(cls)) == 1:
        return with_attributes(text, cls.__qualname__, change.set, change.drop)
    values = {**dict.fromkeys(change.drop), **change.set}
    return with_class_of_its_own(text, cls.__qualname__, change.policy.model.__name__, values)


def _own_source(change: Change) -> Path | None:
    """The file of the policy's class, if it is the project's own."""
    if change.policy.is_from_settings:
        return None
    try:
        path = Path(inspect.getsourcefile(type(change.policy.policy)) or "").resolve()
    except TypeError:
        return None
    installed = {Path(sysconfig.get_paths()[name]).resolve() for name in ("purelib", "platlib")}
    if not path.is_file() or any(map(path.is_relative_to, installed)):
        return None
    return path


def _diff(path: Path, before: str, after: str) -> str:
    here = Path.cwd().resolve()
    name = path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)
    lines = unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=f"a/{name}",
        tofile=f"b/{name}",
    )
    return "".join(lines)
