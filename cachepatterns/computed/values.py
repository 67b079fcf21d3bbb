"""From what a function returned to bytes and back, exactly or not at all.

Three ways, tried in this order, the first in which the very value comes back is taken:

* *plain* msgpack: what JSON knows, and bytes;
* *typed* by the function's return annotation, by `msgspec`: dataclasses, Structs, enums, named
  tuples, and whatever these hold;
* *told*: msgpack in which each value that msgpack does not know says what it is: Decimals, dates,
  UUIDs, tuples, sets, dictionaries with any keys, rows of models, in any nesting.

No name of a class stands in the bytes but models' labels, and there is no pickle: who can write to
Redis can not run code.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec

from cachepatterns.computed import told
from cachepatterns.computed.sameness import same
from cachepatterns.exceptions import CorruptEntry, UncacheableResult

_PLAIN, _TYPED, _TOLD = b"\x00", b"\x01", b"\x02"
_WRONG = (
    msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError, LookupError,
    AttributeError,
)  # fmt: skip
_encoder = msgspec.msgpack.Encoder(decimal_format="string", uuid_format="canonical")
_plain = msgspec.msgpack.Decoder().decode


class Values:
    """How the results of one function are stored. ``owner`` is its name, for people."""

    def __init__(self, owner: str, annotation: Any = None) -> None:
        self._owner = owner
        self._typed: Callable[[bytes], Any] | None = None
        self.fingerprint = ""
        """Changes with the declared type: two deployed versions do not read each other's."""
        if annotation not in (None, Any, object):
            try:
                self._typed = msgspec.msgpack.Decoder(annotation).decode
            except (TypeError, RecursionError, NameError):
                pass  # models, say: told, not typed
            else:
                self.fingerprint = _fingerprint(annotation)

    def kept(self, value: Any) -> tuple[bytes, Any]:
        """The bytes of `value`, and what they give back.

        Raises `UncacheableResult` for what would not come back as it is.
        """
        for mark, encode, decode in (
            (_PLAIN, _encoder.encode, _plain),
            (_TYPED, _encoder.encode, self._typed),
        ):
            if decode is not None:
                try:
                    body = encode(value)
                    back = decode(body)
                    if same(value, back):
                        return mark + body, back
                except _WRONG:
                    continue
        try:
            body = told.encode(value)
            back = told.decode(body)
        except told.NotToldError as error:
            raise self._refused(str(error)) from None
        except _WRONG as error:
            raise self._refused(f"what it returned could not be stored ({error})") from error
        if not same(value, back):
            raise self._refused(f"a {type(value).__qualname__} does not come back as it was")
        return _TOLD + body, back

    def given(self, body: bytes) -> Any:
        """The value in `body`, a new one each time; raises `CorruptEntry`."""
        mark, rest = body[:1], body[1:]
        try:
            if mark == _PLAIN:
                return _plain(rest)
            if mark == _TYPED and self._typed is not None:
                return self._typed(rest)
            if mark == _TOLD:
                return told.decode(rest)
        except _WRONG as error:
            raise CorruptEntry(f"{self._owner}: {error}") from error
        raise CorruptEntry(f"{self._owner}: a value of a way that is not known")

    def _refused(self, why: str) -> UncacheableResult:
        return UncacheableResult(
            f"{self._owner}() can not be cached: {why}. Return built-in types, Decimals, dates, "
            "UUIDs, rows of models or lists and dictionaries of them; a dataclass, Struct, enum "
            "or named tuple needs to be declared as the return type."
        )


def declared_type(function: Callable[..., Any]) -> Any:
    """What the function says that it returns; `None` where it does not, or can not be read."""
    try:
        return typing.get_type_hints(function).get("return")
    except Exception:  # a name that only type checkers import: then the value tells
        return None


def _fingerprint(annotation: Any) -> str:
    try:
        shape = msgspec.json.encode(msgspec.json.schema(annotation), order="sorted")
    except Exception:  # msgspec knows types that JSON's schemas do not
        shape = repr(annotation).encode()
    return blake2b(shape, digest_size=4).hexdigest()
