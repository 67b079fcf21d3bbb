"""What may have been read, given what the database held before and after: versions only grow."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.past import Row, Rows


def wrong_rows(before: Rows, got: Rows, after: Rows, scope: Callable[[Row], bool]) -> list[str]:
    """What is wrong with `got`, the rows in scope according to the cache.

    `before` and `after` are all rows as the database held them before and after the read, of
    which none was both born and deleted in between.
    """
    found = []
    for pk in before.keys() | got.keys() | after.keys():
        old, new, row = before.get(pk), after.get(pk), got.get(pk)
        possible = _possible(old, new, scope)
        if row in possible:
            continue
        between = old is None or new is None or new[0] - old[0] > 1
        if between and old != new and _lies_between(old, row, new):
            continue
        found.append(f"row {pk}: got {row}, where it was {old} before and {new} after")
    return found


def _possible(old: Row | None, new: Row | None, scope: Callable[[Row], bool]) -> set[Row | None]:
    """How the read may show a row that was in one of two states."""
    return {row if row is not None and scope(row) else None for row in (old, new)}


def _lies_between(old: Row | None, row: Row | None, new: Row | None) -> bool:
    """Whether a row may have been shown in a state between the two, which nobody recorded."""
    if row is None:
        return True
    return (old is None or row[0] > old[0]) and (new is None or row[0] < new[0])


def wrong_count(before: Rows, got: int, after: Rows, scope: Callable[[Row], bool]) -> list[str]:
    """What is wrong with `got`, the number of rows in scope according to the cache."""
    settled = {pk for pk in before.keys() & after.keys() if before[pk] == after[pk]}
    moved = len((before.keys() | after.keys()) - settled)
    least = sum(scope(before[pk]) for pk in settled)
    if least <= got <= least + moved:
        return []
    return [f"counted {got}, where it was {least}, and {moved} rows were in motion"]
