"""Entries: what stands under a key, and how one is judged.

An entry carries the stamps that its tags held *before* the database was read. It is
valid only while every tag still holds that very stamp; a missing stamp is no stamp.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from cachepatterns.conf import Config
from cachepatterns.core.codec import UNDECODABLE, Row, decode_rows, decoder
from cachepatterns.exceptions import CorruptEntry, UnstorableValue

FORMAT: Final = 2
COMPRESS_ABOVE: Final = Config().COMPRESS_ABOVE
"""Bytes from which a body is compressed, unless said otherwise."""

_RAW, _ZLIB = 0, 1
TOO_LARGE = "too large"
_INFLATED_MAX: Final = 64 * 1024 * 1024
"""No honest entry inflates to more; a hostile one must not fill the memory."""


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One cached result. ``stored_at`` is Unix time, in whole seconds. Times are integers, which
    take half the bytes."""

    format: int
    stamps: list[bytes]
    stored_at: int
    load_us: int
    ttl_ms: int
    rows: int
    signature: str
    encoding: int
    body: bytes
    witness: bytes = b""
    """Of a row by primary key: see `core.witness`."""

    @property
    def load_seconds(self) -> float:
        """What the load took."""
        return self.load_us / 1e6

    @property
    def ttl(self) -> float:
        return self.ttl_ms / 1e3

    @property
    def ends_at(self) -> float:
        """The end of its TTL, in Unix time."""
        return self.stored_at + self.ttl_ms / 1e3

    def decode(self) -> list[Row]:
        """The rows, as fresh objects. Raises `CorruptEntry`."""
        body = self.body if self.encoding == _RAW else self._inflated()
        rows = decode_rows(self.signature, body)
        if len(rows) != self.rows:
            raise CorruptEntry(f"{len(rows)} rows where {self.rows} were stored")
        return rows

    def raw_size(self) -> int:
        """The bytes of the rows before they were compressed. Raises `CorruptEntry`."""
        return len(self.body) if self.encoding == _RAW else len(self._inflated())

    def _inflated(self) -> bytes:
        if self.encoding != _ZLIB:
            raise CorruptEntry(f"unknown encoding {self.encoding}")
        inflater = zlib.decompressobj()
        try:
            body = inflater.decompress(self.body, _INFLATED_MAX)
        except zlib.error as error:
            raise CorruptEntry(str(error)) from error
        if inflater.unconsumed_tail or not inflater.eof:
            raise CorruptEntry("compressed body is truncated or too large")
        return body


_decode = msgspec.msgpack.Decoder(Entry).decode
_encoder = msgspec.msgpack.Encoder()


def pack(
    *,
    stamps: Sequence[bytes],
    stored_at: float,
    load_seconds: float,
    ttl: float,
    row_count: int,
    signature: str,
    body: bytes,
    compress_above: int = COMPRESS_ABOVE,
    witness: bytes = b"",
) -> bytes:
    """The bytes of an entry. Raises `UnstorableValue` for what nobody would read again."""
    if len(body) > _INFLATED_MAX:
        raise UnstorableValue(TOO_LARGE)
    encoding = _RAW
    if len(body) >= compress_above:
        squeezed = zlib.compress(body, 1)
        if len(squeezed) < len(body):
            encoding, body = _ZLIB, squeezed
    return _encoder.encode(
        Entry(
            format=FORMAT,
            stamps=list(stamps),
            stored_at=int(stored_at),
            load_us=int(load_seconds * 1e6),
            ttl_ms=int(ttl * 1e3),
            rows=row_count,
            signature=signature,
            encoding=encoding,
            body=body,
            witness=witness,
        )
    )


def prolonged(entry: Entry, ends_at: float) -> bytes:
    """The bytes of `entry`, but for its TTL, which ends at that Unix time."""
    return _encoder.encode(replace(entry, ttl_ms=int((ends_at - entry.stored_at) * 1e3)))


def unpack(payload: bytes) -> Entry:
    """The entry that `pack` made; raises `CorruptEntry` for anything else."""
    try:
        entry = _decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CorruptEntry(f"{error}") from error
    if entry.format != FORMAT:
        raise CorruptEntry(f"entry format {entry.format}, this is {FORMAT}")
    return entry


def is_valid(entry: Entry, standing: list[bytes | None]) -> bool:
    """Whether `entry` may be served, given the stamps that stand under its tags now.

    A missing one is `None`, which equals nothing that a decoded entry carries.
    """
    return entry.stamps == standing


def plain_rows(
    payloads: Iterable[bytes | None], common: bytes | None, own: Iterable[bytes | None]
) -> list[list[Row] | None]:
    """The rows of each entry that is valid and in order; `None` where more is to be asked.

    Each rests on a stamp that is common to all, and on one of its own.

    What `unpack`, `is_valid` and `Entry.decode` say of one, in a single loop: for many small
    entries the calls would cost half as much as the decoding.
    """
    found: list[list[Row] | None] = []
    signature, decode = "", decoder("")
    for payload, stamp in zip(payloads, own, strict=True):
        rows = None
        if payload is not None:
            try:
                entry = _decode(payload)
                first, second = entry.stamps
                is_in_order = entry.format == FORMAT and entry.encoding == _RAW
                if first == common and second == stamp and is_in_order:
                    if entry.signature != signature:
                        decode = decoder(entry.signature)
                        signature = entry.signature
                    rows = decode(entry.body)
                    if len(rows) != entry.rows:
                        rows = None
            except UNDECODABLE:
                rows = None
        found.append(rows)
    return found
