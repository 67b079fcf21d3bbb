"""Refreshes that are handed to other processes: to a queue of tasks, as one message each.

A message holds the question and its statement, and is signed with the ``SECRET_KEY``, since
whoever takes it runs that statement.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
from django.core import signing
from django.utils.module_loading import import_string

from cachepatterns.conf import config
from cachepatterns.core import asked
from cachepatterns.declarations import find_model
from cachepatterns.exceptions import CorruptEntry, UnstorableValue
from cachepatterns.read.asking import Noting
from cachepatterns.read.question import Load, Question
from cachepatterns.read.statement import Statement
from cachepatterns.read.statement import told as statement_of

THREAD, TASKS = "thread", "tasks"
DJANGO_S_TASKS = "cachepatterns.tasks.enqueue"
_SALT = "cachepatterns.refresh"
_MAX_AGE = 3600
"""Seconds after which a message is of no use any more."""


class Message(msgspec.Struct, frozen=True, array_like=True):
    """What is to be loaded, instead of what, under whose claim."""

    question: Question
    asked: bytes
    digest: bytes
    load_seconds: float
    name: str
    token: str


def statement(question: Question, load: Load) -> bytes | None:
    """What `load` asks, if it is to be handed over; `None` where it is done here, as what no
    statement says must be."""
    if config().REFRESH == THREAD or not isinstance(load, (Noting, Statement)):
        return None
    try:
        told = load.as_asked(question)
    except UnstorableValue:
        return None
    return told


def hand_over(message: Message) -> None:
    """Raises whatever the queue raises, and `ImportError` where there is none."""
    written = base64.b64encode(_encode(message)).decode()
    sender(config().REFRESH)(signing.dumps(written, salt=_SALT))


def taken(message: str) -> tuple[Message, Load]:
    """What a message says, and the load that it asks for.

    Raises `django.core.signing.BadSignature` and `CorruptEntry` for what was not sent by us.
    """
    written = signing.loads(message, salt=_SALT, max_age=_MAX_AGE)
    try:
        found = _decode(base64.b64decode(written))
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise CorruptEntry(f"no message of ours: {error}") from error
    kept = asked.unpack(found.asked)
    return found, statement_of(kept, find_model(found.question.label), kept.using)


def sender(refresh: str) -> Callable[[str], Any]:
    """The function that hands messages over. Raises `ImportError` where there is none."""
    found: Callable[[str], Any] = import_string(DJANGO_S_TASKS if refresh == TASKS else refresh)
    return found


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode
