"""One process that reads, writes or relays until it is killed, or until the run is over."""

from __future__ import annotations

import random
import traceback
from pathlib import Path

from django.conf import settings
from django.db import connection

from cachepatterns.write.relay import Relay
from tests.faults.board import Board
from tests.faults.reader import Reader
from tests.faults.writing import Writing


def work(role: str, page: int, seed: str) -> None:
    """The whole life of a process."""
    faults = settings.FAULTS
    address = f"redis://127.0.0.1:{faults['writers' if role == 'writer' else 'readers']}/0"
    settings.CACHES["default"]["LOCATION"] = address
    options = settings.DATABASES["default"]["OPTIONS"]
    # For pg_terminate_backend; no part of what names an entry's source.
    connection.settings_dict["OPTIONS"] = {**options, "application_name": f"faults-{page}"}
    board = Board(Path(faults["board"]), faults["pages"])
    mine = board.pages[page]
    try:
        if role == "reader":
            Reader(board, mine, random.Random(seed), naive=faults["naive"]).run()
        elif role == "relay":
            Relay(connection.alias).run()
        else:
            Writing(board, mine, random.Random(seed), naive=faults["naive"]).run()
    except BaseException:
        mine.note(traceback.format_exc()[-180:].replace("\n", " | "))
        mine.add("failures")
        raise
