"""What a statement's text says: which tables it names and whether it reads or writes.

Every table that Django compiles into a query is written as a quoted name, so the final
SQL cannot name fewer tables than the query depends on; no walk over joins, subqueries
and combinators can forget one. A word that is not a known keyword, a function known to
be pure or a table alias makes a query unfit for the cache: `RANDOM()`, `NOW()`, a
function of the user's own, a table written without quotes in raw SQL are all seen here,
at whatever depth they stand.

Pure text, no database: the same functions serve the reading and the writing side. Longer than most
for that: both go by the same tokens.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from cachepatterns.core.sqlwords import HARMLESS_WORDS, words

MEMO_BELOW = 4096
"""Longer texts (bulk inserts, huge IN lists) rarely come twice; they would fill the memo."""

_TOKEN = re.compile(
    r"""
      (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
    | (?P<string>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
    | (?P<dollar>\$(?P<mark>\w*)\$.*?\$(?P=mark)\$)
    | (?P<comment>--[^\n]*|/\*.*?\*/)
    | (?P<param>%\(\w+\)s|%s)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<word>[A-Za-z_][A-Za-z_0-9$]*)
    | (?P<other>[^\s])
    """,
    re.VERBOSE | re.DOTALL,
)
CLOCK_LITERALS = frozenset({"now", "today", "tomorrow", "yesterday", "allballs", "localtime"})
"""Strings that databases read as 'the time it is' (`Now()` on SQLite compiles to one)."""
_WORDS = re.compile(r"[a-z]+")
_MOST_WORDS = 6
"""Of a time that is spelled in words; what has more is a sentence."""
_CLOCKS = words("JULIANDAY DATE TIME DATETIME UNIX_TIMESTAMP STRFTIME")
"""Functions that tell the time it is where they are given no other (SQLite's, MySQL's)."""
_ALIAS = re.compile(r"[A-Z]{1,2}[0-9]+\Z")


def may_mean_now(text: str) -> bool:
    """Whether a database may take the text for a time that is never the same: ``now``, and
    ``today, 10:00``, whatever the blanks around and within."""
    found = _WORDS.findall(text.lower())
    return len(found) <= _MOST_WORDS and not CLOCK_LITERALS.isdisjoint(found)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str


_END = Token("end", "")


def tokens(sql: str) -> list[Token]:
    """The tokens of a statement, without comments and white space."""
    found = []
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        if kind == "mark":
            kind = "dollar"
        if kind != "comment":
            found.append(Token(kind, match.group()))
    return found


def unquote(name: str) -> str:
    """The identifier inside quotes, its doubled quotes undone."""
    return name[1:-1].replace(name[0] * 2, name[0])


# -- reading ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a SELECT names. ``relations`` counts the quoted names after FROM and JOIN."""

    names: frozenset[str]
    relations: tuple[tuple[str, int], ...]
    foreign_words: tuple[str, ...]
    """Words that are neither keywords nor aliases nor known pure functions."""
    called: frozenset[str] = frozenset()
    """Those of them that an opening parenthesis follows."""
    bare: frozenset[str] = frozenset()
    """Harmless words, lower case, in the place of a relation: a table may be called so."""
    sql: str = ""
    """The text itself."""

    def times(self, table: str) -> int:
        """How often `table` stands in a relation's place."""
        return dict(self.relations).get(table, 0)


def read_text(sql: str) -> ReadText:
    """What the SELECT `sql` names. Memoised for texts of ordinary length."""
    return _read_memo(sql) if len(sql) < MEMO_BELOW else _read(sql)


def _read(sql: str) -> ReadText:
    names: set[str] = set()
    relations: dict[str, int] = {}
    foreign: dict[str, None] = {}
    called: set[str] = set()
    bare: set[str] = set()
    previous = ""
    found = tokens(sql)
    for place, token in enumerate(found):
        after = found[place + 1] if place + 1 < len(found) else _END
        if token.kind == "quoted" and after.text == "(" and previous != "AS":
            foreign[unquote(token.text)] = None  # a function, and not one of Django's
            called.add(unquote(token.text))
        elif token.kind == "quoted":
            name = unquote(token.text)
            names.add(name)
            # "t" after a comma may be a table or an alias; "t"."c" is a column.
            if previous in {"FROM", "JOIN", ","} and after.text != ".":
                relations[name] = relations.get(name, 0) + 1
        elif token.kind == "word":
            word = token.text.upper()
            if word not in HARMLESS_WORDS and not _ALIAS.match(token.text):
                foreign[token.text.lower()] = None
                if after.text == "(":
                    called.add(token.text.lower())
            elif after.text == "(":
                if word in _CLOCKS and _is_given_no_time(word, found[place + 2 : place + 4]):
                    foreign[token.text.lower()] = None
            elif previous in {"FROM", "JOIN", ","}:
                bare.add(token.text.lower())
        elif token.kind == "dollar":
            foreign[token.text[:12]] = None
        elif token.kind == "string" and may_mean_now(token.text.strip("eE'")):
            foreign[token.text] = None
        previous = token.text.upper()
    return ReadText(
        frozenset(names),
        tuple(relations.items()),
        tuple(foreign),
        frozenset(called),
        frozenset(bare),
        sql,
    )


def _is_given_no_time(function: str, arguments: list[Token]) -> bool:
    """Whether what follows the parenthesis ends it; of ``STRFTIME``, after the format."""
    if function == "STRFTIME":
        arguments = arguments[1:]
    return bool(arguments) and arguments[0].text == ")"


_read_memo = lru_cache(maxsize=2048)(_read)


def names_in(sql: str) -> frozenset[str]:
    """Every word and quoted name of a text, lower case: whatever it names is among them."""
    return frozenset(_names(tokens(sql)))


def _names(found: list[Token]) -> set[str]:
    names = {unquote(t.text).lower() for t in found if t.kind == "quoted"}
    return names | {t.text.lower() for t in found if t.kind == "word"}


# -- writing ----------------------------------------------------------------------------


class Kind(enum.Enum):
    """What a statement does to data."""

    READ = "read"
    NEUTRAL = "neutral"
    """Savepoints, locks, maintenance: no data changes."""
    SESSION = "session"
    """Changes what this connection sees (search_path, role, isolation)."""
    TRANSACTION = "transaction"
    """Changes the same until the end of the transaction (SET LOCAL, SET TRANSACTION)."""
    WRITE = "write"
    UNKNOWN = "unknown"
    """May write anywhere: CALL, DO, EXECUTE and everything not understood."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement does, and to which names (lower case).

    ``names`` is exact for the statements Django writes (``target`` is set then), else
    every name and word of the text: whatever it writes is among them.
    """

    kind: Kind
    verb: str
    names: frozenset[str] = frozenset()
    target: str | None = None
    session: bool = False
    """Whether one of several statements changes what the connection sees."""


# A bare name ends where no letter follows: not at the D in product/**/ (…).
_NAME = r'(?:(?:"[^"]+"|`[^`]+`|\w+)\s*\.\s*)?(?P<target>"[^"]+"|`[^`]+`|\w+(?![\w$]))'
_SIMPLE = re.compile(
    rf"""\s*(?:
      (?P<insert>INSERT\s+(?:OR\s+\w+\s+|IGNORE\s+)?INTO|REPLACE\s+INTO)\s+{_NAME}\s*[(\sDV]
    | (?P<update>UPDATE)\s+(?:ONLY\s+)?{_NAME.replace("target", "target2")}\s+SET\s
    | (?P<delete>DELETE\s+FROM)\s+(?:ONLY\s+)?{_NAME.replace("target", "target3")}
        \s*(?:\Z|WHERE\s|RETURNING\s)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_HEAD = re.compile(r"(?:\s+|--[^\n]*\n|/\*.*?\*/|\()*([A-Za-z]+)", re.DOTALL)

_READS = frozenset({"SELECT", "VALUES", "TABLE", "WITH", "SHOW", "EXPLAIN", "DESCRIBE", "DESC"})
_NEUTRAL = words(
    """
    SAVEPOINT RELEASE ROLLBACK BEGIN START COMMIT END ABORT LOCK LISTEN UNLISTEN NOTIFY FETCH
    DECLARE CLOSE MOVE ANALYZE VACUUM REINDEX CHECKPOINT PRAGMA DISCARD DEALLOCATE PREPARE
    COMMENT GRANT REVOKE UNLOCK OPTIMIZE FLUSH USE ATTACH DETACH
    """
)
_WRITE_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "INTO"})
_SUSPECT = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|INTO|SET_CONFIG|EXECUTE)\b", re.IGNORECASE)
_ESCAPED_NAME = re.compile(r'\bU&"', re.IGNORECASE)
"""A name that is spelled by code points: the text does not show which."""
_HARMLESS_SETTINGS = words(
    """
    CONSTRAINTS STATEMENT_TIMEOUT LOCK_TIMEOUT APPLICATION_NAME TRANSACTION_TIMEOUT WORK_MEM
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT SYNCHRONOUS_COMMIT FOREIGN_KEY_CHECKS
    """
)
_WRITES = frozenset(
    {"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "REPLACE", "COPY", "LOAD", "REFRESH"}
    | {"ALTER", "CREATE", "DROP", "RENAME", "IMPORT"}
)


def statement(sql: str) -> Statement:
    """What `sql` does. Memoised for texts of ordinary length."""
    return _statement_memo(sql) if len(sql) < MEMO_BELOW else _statement(sql)


def _statement(sql: str) -> Statement:
    several = ";" in sql.rstrip().rstrip(";")
    if not several and (simple := _SIMPLE.match(sql)):
        target = simple["target"] or simple["target2"] or simple["target3"]
        name = (unquote(target) if target[0] in '"`' else target).lower()
        verb = "INSERT" if simple["insert"] else "UPDATE" if simple["update"] else "DELETE"
        if simple["insert"] and "REPLACE" in simple["insert"].upper():
            verb = "REPLACE"
        return Statement(Kind.WRITE, verb, frozenset({name}), name)
    head = _HEAD.match(sql)
    verb = head[1].upper() if head else ""
    if verb in _READS and not several and not _SUSPECT.search(sql):
        return Statement(Kind.READ, verb)
    found = tokens(sql)
    if several:
        if _ESCAPED_NAME.search(sql):
            return Statement(Kind.UNKNOWN, "SEVERAL", session=_sets_something(found))
        whole = _whole(found, verb if verb in _WRITES else "SEVERAL")
        return replace(whole, session=_sets_something(found))
    if verb in _READS:
        reading = _reading(verb, found)
        if reading.kind is Kind.WRITE and _ESCAPED_NAME.search(sql):
            return Statement(Kind.UNKNOWN, verb)
        return reading
    if verb in {"SET", "RESET"}:
        return _setting(verb, [t.text.upper() for t in found])
    if verb in _NEUTRAL:
        return Statement(Kind.NEUTRAL, verb)
    if verb in _WRITES:
        if _ESCAPED_NAME.search(sql):
            return Statement(Kind.UNKNOWN, verb)
        return _whole(found, verb)
    return Statement(Kind.UNKNOWN, verb) if verb else Statement(Kind.NEUTRAL, "")


def _setting(verb: str, words: list[str]) -> Statement:
    scope = words[1] if words[1:] and words[1] in {"LOCAL", "SESSION", "TRANSACTION"} else ""
    name = words[2] if scope in {"LOCAL", "SESSION"} and words[2:] else "".join(words[1:2])
    if name in _HARMLESS_SETTINGS:
        return Statement(Kind.NEUTRAL, verb)
    for_one = scope == "LOCAL" or scope == "TRANSACTION"
    return Statement(Kind.TRANSACTION if for_one else Kind.SESSION, verb)


def _sets_something(found: list[Token]) -> bool:
    """Whether a SET or RESET begins one of several statements."""
    starts = [0, *(i + 1 for i, token in enumerate(found) if token.text == ";")]
    words = [[t.text.upper() for t in found[i : i + 3]] for i in starts]
    return any(
        first[:1] in (["SET"], ["RESET"]) and _setting(first[0], first).kind is not Kind.NEUTRAL
        for first in words
    )


def _reading(verb: str, found: list[Token]) -> Statement:
    previous = ""
    for token in found:
        word = token.text.upper() if token.kind == "word" else ""
        if word == "SET_CONFIG":
            return Statement(Kind.SESSION, verb)
        if word == "EXECUTE" and verb == "EXPLAIN":  # with ANALYZE it is carried out
            return Statement(Kind.UNKNOWN, verb)
        # SELECT … FOR UPDATE and FOR NO KEY UPDATE lock; they change nothing.
        if word in _WRITE_WORDS and not (word == "UPDATE" and previous in {"FOR", "KEY"}):
            return _whole(found, verb)
        previous = word
    return Statement(Kind.READ, verb)


def _whole(found: list[Token], verb: str) -> Statement:
    """A write too involved to tell its target: it may be any name in the text."""
    names = _names(found)
    hidden = any(t.kind == "dollar" for t in found) or (
        bool(names & {"call", "do", "execute", "perform"}) and verb == "SEVERAL"
    )
    return Statement(Kind.UNKNOWN if hidden else Kind.WRITE, verb, frozenset(names))


_statement_memo = lru_cache(maxsize=2048)(_statement)
