"""The short ways of FENCE and RELEASE leave what the long ways leave.

What must not happen: a guard in which somebody else stands, or that another server has made, is
opened by who thinks he is alone in it; a stamp outlives a registration that names it; what is
registered has no deadline, or is nothing that other scripts can read.
"""

import itertools
import json

import pytest
import redis

from cachepatterns.backends.redis import RedisBackend
from cachepatterns.backends.scripts import FENCE, LONG_FENCE, LONG_RELEASE, RELEASE
from cachepatterns.core.entry import pack

GUARD, OTHER, ENTRY = "p:guard:a@d", "p:guard:b@d", "p:row:a:1"
RUN = "r" * 24
TAGS = ["p:tag:a@d:*", "p:tag:a@d:pk=1", "p:tag:a@d:name=é\"'\\ "]
MODEL = "p:tag:a@d"
LIFE = 60.0


@pytest.fixture
def client(empty_cache):
    """The server, in RESP2, with an id that is ours to choose: who_this_is finds another one."""
    return RedisBackend("default")._client()


def run(client, script, keys, *args):
    return client.eval(script.text, len(keys), *keys, RUN, int(LIFE * 1000), *args)


def guard_text(q=0, **fences):
    return json.dumps({"r": RUN, "q": q, "f": fences}).encode()


def now(client):
    seconds, micros = client.time()
    return seconds * 1000 + micros // 1000


def guards(client):
    """What a guard may hold when a writer comes."""
    later = now(client) + 50_000
    return {
        "open": b"o" + RUN.encode(),
        "missing": None,
        "another server's": b"o" + b"s" * 24,
        "another writer's": guard_text(w2=[later, TAGS[1]]),
        "closed by another": guard_text(w2=[later, "*", MODEL]),
        "with one who has died": guard_text(w2=[1, TAGS[1]]),
        "in quarantine": guard_text(q=later),
        "one's own": guard_text(w1=[later, TAGS[0]]),
        "nonsense": b"{",
    }


def what_is_left(client, *keys):
    """The guards, without the moments, and the stamps that stand."""
    found = {}
    for key in (GUARD, OTHER):
        raw = client.get(key)
        if raw is None or raw[:1] == b"o":
            found[key] = raw
            continue
        held = json.loads(raw)
        fences = held["f"] if isinstance(held["f"], dict) else {}
        told = {name: fence[1:] for name, fence in fences.items()}
        assert all(fence[0] > now(client) for fence in fences.values())
        found[key] = held["r"], bool(held["q"]), told
    stamps = [key for key in (*TAGS, MODEL, "mark") if client.exists(key)]
    return found, stamps


def begin(client, held):
    client.flushdb()
    for key in (*TAGS, MODEL):
        client.set(key, key.encode())
    client.set(ENTRY, entry())
    client.set(OTHER, b"o" + RUN.encode())
    if held is not None:
        client.set(GUARD, held)


def entry():
    """Of a row by primary key, with the stamps that stand."""
    return pack(
        stamps=[MODEL.encode(), TAGS[1].encode()], stored_at=0, load_seconds=0, ttl=9,
        row_count=0, signature="", body=b"", witness=b"witness",
    )  # fmt: skip


def alone_in(text):
    """The text of a guard, if just this writer stands in it."""
    held = json.loads(text)
    return text if [*held["f"]] == ["w1"] and held["q"] == 0 else b""


WAYS = {
    "tags": (TAGS, []),
    "any number": ([f"{MODEL}:n={n}" for n in range(9000)], []),
    "none": ([], []),
    "everything": (["*", MODEL], []),
    "rows": (["*", MODEL, TAGS[1]], []),
    "staying": (["~", MODEL, TAGS[1]], [ENTRY, "witness"]),
    "staying, as it says": (["~", MODEL, TAGS[1]], [ENTRY, "nobody"]),
    "staying, as nobody says": (["~", MODEL, TAGS[1]], [ENTRY, ""]),
}
HELD = [
    "open", "missing", "another server's", "another writer's", "closed by another",
    "with one who has died", "in quarantine", "one's own", "nonsense",
]  # fmt: skip


@pytest.mark.parametrize("mode", ["new", "renew"])
@pytest.mark.parametrize("keys", [[GUARD], [GUARD, OTHER]], ids=["one guard", "two"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("held", HELD)
def test_a_writer_is_registered_in_the_same_way(client, held, way, keys, mode):
    tags, witnessed = WAYS[way]
    named = [json.dumps(tags), *["[]"] * (len(keys) - 1)]
    left = []
    for script in (FENCE, LONG_FENCE):
        begin(client, guards(client)[held])
        told = run(client, script, keys, "w1", *named, mode, *witnessed)
        assert told == 1 or told == client.get(GUARD) == alone_in(told)
        left.append(what_is_left(client))
    assert left[0] == left[1]


@pytest.mark.parametrize("script", [FENCE, LONG_FENCE], ids=["short", "long"])
def test_an_empty_witness_vouches_for_nothing(client, script):
    """Every entry ends with it."""
    for witness, registered in (("witness", "~"), ("", "*"), ("another", "*")):
        begin(client, b"o" + RUN.encode())
        run(
            client, script, [GUARD], "w1", json.dumps(["~", MODEL, TAGS[1]]), "new", ENTRY, witness
        )
        assert json.loads(client.get(GUARD))["f"]["w1"][1] == registered


@pytest.mark.parametrize("mark", ["", "mark"])
@pytest.mark.parametrize("way", ["tags", "everything", "rows", "staying"])
@pytest.mark.parametrize(
    "since",
    [
        "nothing",
        "renewed",
        "another writer",
        "gone",
        "another server",
        "expired",
        "more",
        "purged",
    ],
)
def test_a_registration_is_taken_back_in_the_same_way(client, since, way, mark):
    tags, witnessed = WAYS[way]
    left = []
    for script in (RELEASE, LONG_RELEASE):
        begin(client, b"o" + RUN.encode())
        alone = run(client, FENCE, [GUARD], "w1", json.dumps(tags), "new", *witnessed)
        assert alone == client.get(GUARD)
        keys = [GUARD]
        if since == "renewed":
            run(client, FENCE, [GUARD], "w1", json.dumps(tags), "renew", *witnessed)
        elif since == "another writer":
            run(client, FENCE, [GUARD], "w2", json.dumps(TAGS[:1]), "new")
        elif since == "gone":
            client.delete(GUARD)
        elif since == "another server":
            alone = alone.replace(RUN.encode(), b"s" * 24)
            client.set(GUARD, alone)
        elif since == "expired":
            moment = json.loads(alone)["f"]["w1"][0]
            alone = alone.replace(str(moment).encode(), b"1")
            client.set(GUARD, alone)
        elif since == "more":
            keys = [GUARD, OTHER]
            run(client, FENCE, [OTHER], "w1", json.dumps(["p:tag:b@d:*"]), "new")
        elif since == "purged":
            client.set(GUARD, b"o" + RUN.encode())
        told = run(client, script, keys, "w1", mark, 1000, alone, *TAGS[:2])
        assert told == 1
        left.append(what_is_left(client))
    if since == "expired" and way != "tags":
        # The long way purges first, which bumps the model's tag. The short one need not: where the
        # text still stands nobody has purged it, and so nobody has minted what it keeps away.
        assert left[1][1] == [stamp for stamp in left[0][1] if stamp not in (MODEL, *tags)]
        left[1] = left[0]
    assert left[0] == left[1]
    assert not set(TAGS[:2]).intersection(left[0][1])
    assert (mark in left[0][1]) is bool(mark)


def test_more_tags_than_lua_hands_over_are_bumped_too(client):
    begin(client, b"o" + RUN.encode())
    alone = run(client, FENCE, [GUARD], "w1", json.dumps(TAGS), "new")
    many = [f"{MODEL}:n={n}" for n in range(9000)]
    client.mset(dict.fromkeys(many, b"x"))
    run(client, RELEASE, [GUARD], "w1", "", 1000, alone, *many)
    assert client.exists(*many) == 0
    assert client.get(GUARD) == b"o" + RUN.encode()


def test_a_writer_who_is_alone_spares_the_server_the_decoding(empty_cache):
    """And so it is that is used: the guard's text is given back, and given to the release."""
    backend = RedisBackend("default")
    backend.tend([GUARD], life=LIFE, no_writers=True)
    alone = backend.fence("w1", {GUARD: TAGS}, life=LIFE)
    assert alone == backend.get_many([GUARD])[0]
    broken = RELEASE.text.replace("redis.call('GET', key)", "nobody.decodes()")
    client = backend._client()
    client.eval(broken, 1, GUARD, alone[6:30], 60_000, "w1", "", 1000, alone, *TAGS)
    assert backend.read([GUARD], []).is_open == [True]
    with pytest.raises(redis.ResponseError, match="nobody"):
        client.eval(broken, 1, GUARD, alone[6:30], 60_000, "w1", "", 1000, alone, *TAGS)


@pytest.mark.parametrize("shortcuts", [True, False])
def test_the_short_ways_are_taken_unless_the_setting_says_no(empty_cache, settings, shortcuts):
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "SHORTCUTS": shortcuts}
    backend = RedisBackend("default")
    backend._client().script_flush()
    backend.release(
        "w1", [GUARD], TAGS, life=LIFE, alone=backend.fence("w1", {GUARD: TAGS}, life=LIFE)
    )
    scripts = FENCE, RELEASE, LONG_FENCE, LONG_RELEASE
    known = backend._client().script_exists(*(script.digest for script in scripts))
    assert known == [shortcuts, shortcuts, not shortcuts, not shortcuts]


@pytest.mark.parametrize("number", range(8))
def test_who_comes_second_is_not_alone_whatever_their_names(client, number):
    begin(client, b"o" + RUN.encode())
    names = [f"{number}{n:x}" * 8 for n in range(8)]
    told = [run(client, FENCE, [GUARD], name, json.dumps(TAGS), "new") for name in names]
    assert [type(text) for text in told] == [bytes, *[int] * 7]


def test_two_at_once_keep_each_other_s_registrations(empty_cache):
    for first, last in itertools.permutations(["w1", "w2"]):
        backend = RedisBackend("default")
        backend.tend([GUARD], life=LIFE, no_writers=True)
        alone = {name: backend.fence(name, {GUARD: TAGS}, life=LIFE) for name in ("w1", "w2")}
        assert alone["w2"] == b""
        backend.release(first, [GUARD], TAGS, life=LIFE, alone=alone[first])
        assert backend.mint([GUARD], TAGS, [b"x"] * 3, ttl=LIFE, life=LIFE) is None
        backend.release(last, [GUARD], TAGS, life=LIFE, alone=alone[last])
        assert backend.mint([GUARD], TAGS, [b"x"] * 3, ttl=LIFE, life=LIFE) == [b"x"] * 3
        backend.delete(TAGS)
