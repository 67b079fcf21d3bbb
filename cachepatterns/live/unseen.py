"""Writes that the database makes by itself, where nobody sees them.

Triggers, rules and acting foreign keys write rows that no statement of Django's names. Where
our own triggers stand on the table they write, they are seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cachepatterns.core.sqltext import tokens, unquote
from cachepatterns.live.databases import answered, cached_aliases
from cachepatterns.live.finding import Finding, State
from cachepatterns.live.schema import KeyAction, Reaction, key_actions, reactions, supports
from cachepatterns.registry import site
from cachepatterns.triggers import covered_tables
from cachepatterns.write.coarse import reached_from

_WRITES = frozenset({"INTO", "UPDATE", "TRUNCATE", "DELETE FROM"})
_BESIDE = frozenset({"ONLY", "TABLE", "IGNORE"})
_REMEDY = (
    "On PostgreSQL, `manage.py cache_triggers install` and a relay see it; elsewhere put "
    "announces(…) around what sets it off."
)


def unseen_findings() -> Iterator[Finding]:
    """Everything of the kind in every database that is cached; never raises."""
    for alias in cached_aliases():
        connection = connections[alias]
        topic = f"database {alias}"
        if not supports(connection):
            continue
        yield from answered(
            topic,
            partial(_findings, connection, topic),
            in_order="It writes nothing that is cached by itself",
            unknown="Its triggers and foreign keys are unknown",
            check_id="I042",
        )


def _findings(connection: BaseDatabaseWrapper, topic: str) -> Iterator[Finding]:
    covered = covered_tables(connection)
    for reaction in reactions(connection):
        yield from _judged(reaction, topic, covered)
    for action in key_actions(connection):
        yield from _judged_key(action, topic, covered)


def _judged(reaction: Reaction, topic: str, covered: frozenset[str]) -> Iterator[Finding]:
    tracked = set(site.tracked())
    where = f"The {reaction.kind} {reaction.name} on {reaction.table}"
    if reaction.text is None:
        if reaction.table in tracked:
            text = f"{where} can not be read: what it writes is unknown."
            yield Finding(topic=topic, state=State.UNKNOWN, text=text, hint=_REMEDY, id="I041")
        return
    written = written_names(reaction.text) & tracked
    if reaction.changes_rows and reaction.table in tracked:
        written.add(reaction.table)
    for table in sorted(written):
        if table in covered:
            text = f"{where} writes {table}: seen by our triggers."
            yield Finding(topic=topic, state=State.OK, text=text)
        else:
            text = f"{where} writes {table}, which is cached, and nobody sees it."
            yield Finding(topic=topic, state=State.WARNING, text=text, hint=_REMEDY, id="W042")
    if "EXECUTE" in {token.text.upper() for token in tokens(reaction.text)}:
        text = f"{where} executes text that it makes itself: what that writes is unknown."
        yield Finding(topic=topic, state=State.UNKNOWN, text=text, hint=_REMEDY, id="I041")


def _judged_key(action: KeyAction, topic: str, covered: frozenset[str]) -> Iterator[Finding]:
    if action.table not in site.tracked():
        return
    deletes = action.action.startswith("ON DELETE")
    if deletes and action.table in reached_from(action.referred):
        return  # Django's models say so too, and whoever deletes there is held to it
    where = f"{action.table} refers to {action.referred} {action.action}"
    if action.table in covered:
        yield Finding(topic=topic, state=State.OK, text=f"{where}: seen by our triggers.")
        return
    declare = "Declare it (on_delete=models.DB_CASCADE and its kin, Django 6.1). "
    yield Finding(
        topic=topic,
        state=State.WARNING,
        text=f"{where}, of which Django's models know nothing: rows of {action.table}, which is "
        "cached, change unseen.",
        hint=(declare if deletes else "") + _REMEDY,
        id="W043",
    )


def written_names(text: str) -> set[str]:
    """The tables that a function's text writes, as far as it names them plainly."""
    found, words = set[str](), tokens(text)
    spelled = [word.text.upper() for word in words]
    for position, word in enumerate(spelled):
        pair = f"{spelled[position - 1]} {word}" if position else ""
        if word not in _WRITES and pair not in _WRITES:
            continue
        at = position + 1
        while at < len(words) and spelled[at] in _BESIDE:
            at += 1
        while at + 2 < len(words) and words[at + 1].text == ".":
            at += 2  # past the schema
        if at < len(words) and words[at].kind in {"quoted", "word"}:
            name = words[at].text
            found.add((unquote(name) if words[at].kind == "quoted" else name).lower())
    return found
