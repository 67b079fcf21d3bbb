"""Entries survive the wire, are judged by their stamps, and never hurt when they are hostile."""

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepatterns.core import entry as entries
from cachepatterns.core.codec import encode_rows
from cachepatterns.core.entry import COMPRESS_ABOVE, Entry, is_valid, pack, plain_rows, unpack
from cachepatterns.core.stamp import STAMP_BYTES, new_stamp
from cachepatterns.exceptions import CorruptEntry

ROWS = [(1, "a", None), (2, "b" * 10, 2.5)]


def packed(rows=ROWS, stamps=(b"one", b"two")) -> bytes:
    signature, body = encode_rows(rows)
    return pack(
        stamps=stamps,
        stored_at=15.5,
        load_seconds=0.25,
        ttl=60.0,
        row_count=len(rows),
        signature=signature,
        body=body,
    )


def changed(**fields) -> bytes:
    """The bytes of an entry in which some fields are not what `pack` wrote."""
    return msgspec.msgpack.encode(msgspec.structs.replace(unpack(packed()), **fields))


def test_an_entry_comes_back_with_all_that_was_packed():
    entry = unpack(packed())
    assert entry.decode() == ROWS
    assert (entry.stamps, entry.stored_at, entry.load_seconds) == ([b"one", b"two"], 15, 0.25)
    assert (entry.ttl, entry.rows) == (60.0, 2)


def test_a_large_body_is_compressed_and_a_small_or_random_one_is_not():
    large = packed([("x" * COMPRESS_ABOVE,)])
    assert len(large) < COMPRESS_ABOVE
    assert unpack(large).decode() == [("x" * COMPRESS_ABOVE,)]
    assert b"xxx" in packed([("xxx",)])
    noise = bytes(zlib.crc32(bytes([n % 256, n // 256])) % 256 for n in range(COMPRESS_ABOVE))
    assert unpack(packed([(noise,)])).decode() == [(noise,)]


@pytest.mark.parametrize(
    ("standing", "valid"),
    [
        ([b"one", b"two"], True),
        ([b"one", b"new"], False),
        ([b"one", None], False),
        ([None, None], False),
        ([b"two", b"one"], False),
        ([b"one"], False),
        ([b"one", b"two", b"three"], False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_entry_is_valid_only_while_every_tag_holds_the_very_stamp(standing, valid):
    assert is_valid(unpack(packed()), standing) is valid


def test_a_missing_stamp_is_not_valid_even_for_an_entry_without_stamps():
    assert not is_valid(unpack(packed(stamps=())), [None])


def test_stamps_are_short_and_never_come_twice():
    stamps = [new_stamp() for _ in range(2000)]
    assert len(set(stamps)) == len(stamps)
    assert {len(stamp) for stamp in stamps} == {STAMP_BYTES}


# -- many at once -----------------------------------------------------------------------------


def alone(payload, standing):
    """What the steps say of one entry, taken one by one."""
    try:
        entry = unpack(payload)
        return entry.decode() if is_valid(entry, standing) else None
    except CorruptEntry:
        return None


OTHER = [("text", 1.5)]


def test_of_many_entries_each_is_judged_by_its_own_stamps_and_signature():
    payloads = [packed(), packed(OTHER), None, packed([]), packed(OTHER), packed(), packed()]
    own = [b"two"] * 5 + [b"new", None]
    assert plain_rows(payloads, b"one", own) == [ROWS, OTHER, None, [], OTHER, None, None]
    assert plain_rows(payloads, b"new", own) == plain_rows(payloads, None, own) == [None] * 7
    assert plain_rows([], b"one", []) == []


def test_an_entry_that_is_not_plain_is_left_to_a_closer_look_and_its_neighbours_are_not():
    large = packed([("x" * COMPRESS_ABOVE,)])
    odd = [
        large,
        b"",
        changed(format=1),
        changed(rows=3),
        changed(encoding=7),
        changed(signature="isi"),
        changed(signature="nonsense"),
        changed(body=b""),
        changed(stamps=[b"one"]),
        changed(stamps=[b"one", b"two", b"two"]),
    ]
    for payload in odd:
        found = plain_rows([packed(), payload, packed()], b"one", [b"two"] * 3)
        assert found == [ROWS, None, ROWS]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([packed(), packed(OTHER), packed([]), packed(stamps=(b"one",))]),
            st.sampled_from([b"one", b"two", None]),
            st.none() | st.tuples(st.integers(0, 10_000), st.integers(0, 255)),
        ),
        max_size=6,
    ),
    st.sampled_from([b"one", b"two", None]),
)
def test_what_many_at_once_give_is_what_each_gives_alone(entries, common):
    payloads, own = [], []
    for payload, stamp, change in entries:
        damaged = bytearray(payload)
        if change is not None:
            damaged[change[0] % len(damaged)] = change[1]
        payloads.append(bytes(damaged))
        own.append(stamp)
    found = plain_rows(payloads, common, own)
    assert repr(found) == repr([alone(p, [common, s]) for p, s in zip(payloads, own, strict=True)])


# -- hostile bytes ----------------------------------------------------------------------------


def survives(payload: bytes) -> None:
    """Decoding gives rows or `CorruptEntry`; any other exception fails the test."""
    try:
        rows = unpack(payload).decode()
    except CorruptEntry:
        return
    assert isinstance(rows, list)


@given(st.binary(max_size=300))
def test_random_bytes_are_corrupt_and_nothing_else(payload):
    survives(payload)


LARGE = packed([(n, "text" * 20, None) for n in range(80)])


@given(
    st.sampled_from([packed(), LARGE]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_changed_bytes_are_corrupt_or_rows_and_nothing_else(payload, changes):
    changed = bytearray(payload)
    for place, byte in changes:
        changed[place % len(changed)] = byte
    survives(bytes(changed))


@pytest.mark.parametrize("payload", [packed(), LARGE], ids=["raw", "compressed"])
def test_every_truncation_is_corrupt(payload):
    for length in range(len(payload)):
        with pytest.raises(CorruptEntry):
            unpack(payload[:length]).decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"rows": 3},
        {"rows": -1},
        {"encoding": 1},
        {"encoding": 7},
        {"signature": "isi"},
        {"signature": "[" * 9000},
        {"signature": ""},
        {"body": b""},
        {"body": b"\xdd\xff\xff\xff\xff"},
        {"body": b"\x91" * 5000},
        {"format": 1},
        {"format": -1},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_an_entry_that_contradicts_itself_is_corrupt(fields):
    with pytest.raises(CorruptEntry):
        unpack(changed(**fields)).decode()


def test_a_bomb_is_not_inflated(monkeypatch):
    monkeypatch.setattr(entries, "_INFLATED_MAX", 1_000_000)
    bomb = zlib.compress(b"\x00" * 20_000_000)
    with pytest.raises(CorruptEntry, match="too large"):
        unpack(changed(encoding=1, body=bomb)).decode()


def test_a_compressed_body_that_was_cut_short_is_corrupt():
    entry = unpack(LARGE)
    with pytest.raises(CorruptEntry):
        unpack(
            msgspec.msgpack.encode(msgspec.structs.replace(entry, body=entry.body[:-4]))
        ).decode()


def test_a_payload_of_another_shape_is_corrupt():
    for value in (None, [], {}, "text", [1, 2, 3], {"format": 1}):
        with pytest.raises(CorruptEntry):
            unpack(msgspec.msgpack.encode(value))


def test_entries_can_not_be_changed():
    entry: Entry = unpack(packed())
    with pytest.raises(AttributeError):
        entry.ttl = 1.0
