"""Which columns a statement's text merely shows, which it works with, and which it sets.

What is not understood counts as worked with, or as no list of assignments: it then depends on
more, or invalidates more, than it need.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from cachepatterns.core.sqltext import MEMO_BELOW, Token, tokens, unquote

_GATHERS = frozenset({"DISTINCT", "GROUP", "HAVING", "UNION", "INTERSECT", "EXCEPT", "WITH"})
"""Where one of these stands, what is selected also decides which rows there are."""


def used_names(sql: str) -> frozenset[str]:
    """The quoted names of a SELECT that do more than name a column to be shown: those in
    conditions, orderings, joins, expressions, subqueries."""
    return _used_memo(sql) if len(sql) < MEMO_BELOW else _used(sql)


def shown_columns(sql: str) -> list[str]:
    """Of each column of the answer to a SELECT the name, or nothing where it is worked out."""
    found = tokens(sql)
    return [_shown(item) for item in _items(found[1:])[0]] if _selects(found) else []


def assigned_columns(sql: str) -> frozenset[str]:
    """The columns that an UPDATE sets; none where they can not be told."""
    return _assigned_memo(sql) if len(sql) < MEMO_BELOW else _assigned(sql)


def _used(sql: str) -> frozenset[str]:
    found = tokens(sql)
    everything = frozenset(_names(found))
    words = {token.text.upper() for token in found if token.kind == "word"}
    if not _selects(found) or words & _GATHERS or _orders_by_position(found):
        return everything
    items, rest = _items(found[1:])
    used = _names(rest)
    for item in items:
        if not _shown(item):
            used |= _names(item)
    return frozenset(used)


def _selects(found: list[Token]) -> bool:
    return bool(found) and found[0].text.upper() == "SELECT"


def _items(found: list[Token]) -> tuple[list[list[Token]], list[Token]]:
    """The items of a list, up to the FROM that ends it, or the WHERE; and what follows."""
    items: list[list[Token]] = [[]]
    depth = 0
    for place, token in enumerate(found):
        if depth == 0 and token.kind == "word" and token.text.upper() in {"FROM", "WHERE"}:
            return items, found[place:]
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.text == ",":
            items.append([])
        else:
            items[-1].append(token)
    return items, []


def _shown(item: list[Token]) -> str:
    """The column, if an item is one and nothing else (``"t"."c"``, ``"t"."c" AS "x"``)."""
    kinds = [token.kind for token in item]
    if kinds[:3] != ["quoted", "other", "quoted"] or item[1].text != ".":
        return ""
    is_named = kinds[3:] == ["word", "quoted"] and item[3].text.upper() == "AS"
    return unquote(item[2].text) if is_named or not kinds[3:] else ""


def _orders_by_position(found: list[Token]) -> bool:
    """Whether an ORDER BY may say ``1`` for the first column."""
    words = [token.text.upper() for token in found]
    if "ORDER" not in words:
        return False
    rest = found[words.index("ORDER") :]
    return any(
        after.kind == "number" and before.text.upper() in {"BY", ",", "("}
        for before, after in pairwise(rest)
    )


def _assigned(sql: str) -> frozenset[str]:
    found = tokens(sql)
    words = [token.text.upper() for token in found]
    if not found or words[0] != "UPDATE" or "SET" not in words or ";" in words:
        return frozenset()
    columns = set()
    for item in _items(found[words.index("SET") + 1 :])[0]:
        if len(item) < 3 or item[0].kind != "quoted" or item[1].text != "=":
            return frozenset()
        columns.add(unquote(item[0].text))
    return frozenset(columns)


def _names(found: list[Token]) -> set[str]:
    return {unquote(token.text) for token in found if token.kind == "quoted"}


_used_memo = lru_cache(maxsize=2048)(_used)
_assigned_memo = lru_cache(maxsize=1024)(_assigned)
