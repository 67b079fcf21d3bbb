"""What every backend must do; the same sentences for all of them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachepatterns.backends.base import Backend
from cachepatterns.backends.redis import RedisBackend

MINUTE = 60.0


def put(backend: Backend, **values: bytes) -> None:
    backend.store([(key, value, MINUTE) for key, value in values.items()], [], MINUTE)


def mint(backend: Backend, stamps: dict[str, bytes], ttl: float = MINUTE, guard: str = "g"):
    backend.tend([guard], life=MINUTE, no_writers=True)
    return backend.mint([guard], list(stamps), list(stamps.values()), ttl=ttl, life=MINUTE)


def eventually(condition) -> bool:
    """Whether `condition` comes true within ten seconds; returns as soon as it does."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


# -- entries ----------------------------------------------------------------------------------


def test_values_are_read_in_the_order_of_their_keys_and_none_where_there_is_none(backend):
    put(backend, a=b"1", b=b"2")
    assert backend.get_many(["b", "c", "a", "b"]) == [b"2", None, b"1", b"2"]


def test_a_stored_entry_replaces_the_one_before(backend):
    put(backend, a=b"1")
    put(backend, a=b"2")
    assert backend.get_many(["a"]) == [b"2"]


@given(
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    value=st.binary(max_size=200),
)
@settings(
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_keys_are_any_text_and_values_any_bytes(backend, key, value):
    put(backend, **{key: value})
    assert backend.get_many([key]) == [value]
    assert backend.delete([key]) == 1


def test_a_megabyte_comes_back_whole(backend):
    value = bytes(range(256)) * 4096
    put(backend, a=value)
    assert backend.get_many(["a"]) == [value]


def test_many_keys_are_read_and_deleted_at_once(backend):
    keys = [f"k{n}" for n in range(2500)]
    put(backend, **dict.fromkeys(keys, b"x"))
    assert backend.get_many(keys) == [b"x"] * 2500
    assert backend.delete(keys) == 2500
    assert backend.get_many(keys) == [None] * 2500


def test_an_entry_is_gone_when_its_ttl_is_over(backend):
    backend.store([("short", b"x", 0.02), ("long", b"x", MINUTE)], [], MINUTE)
    assert eventually(lambda: backend.get_many(["short"]) == [None])
    assert backend.get_many(["long"]) == [b"x"]


def test_deleting_tells_how_many_there_were(backend):
    put(backend, a=b"1", b=b"2")
    assert backend.delete(["a", "missing", "b"]) == 2
    assert backend.delete(["a"]) == 0
    assert backend.delete([]) == 0


# -- stamps -----------------------------------------------------------------------------------


def test_minting_puts_a_stamp_where_there_is_none_and_adopts_the_one_that_stands(backend):
    assert mint(backend, {"t1": b"first"}) == [b"first"]
    assert mint(backend, {"t1": b"second", "t2": b"other"}) == [b"first", b"other"]
    assert backend.get_many(["t1", "t2"]) == [b"first", b"other"]


def test_a_deleted_stamp_is_minted_anew_and_never_comes_back(backend):
    mint(backend, {"t": b"old"})
    backend.delete(["t"])
    assert backend.get_many(["t"]) == [None]
    assert mint(backend, {"t": b"new"}) == [b"new"]


def test_storing_an_entry_does_not_bring_a_bumped_stamp_back(backend):
    """The late store of an old value: its stamp is gone, and must stay so."""
    mint(backend, {"t": b"old"})
    backend.delete(["t"])
    backend.store([("entry", b"value", MINUTE)], ["t"], MINUTE)
    assert backend.get_many(["entry", "t"]) == [b"value", None]


def test_storing_an_entry_lets_its_stamps_live_on_and_changes_none(backend):
    mint(backend, {"t": b"stamp"}, 30.0)
    backend.store([("entry", b"value", MINUTE)], ["t", "t"], 3600.0)
    (info,) = backend.inspect(["t"])
    assert 3500 < info.ttl <= 3600
    assert backend.get_many(["t"]) == [b"stamp"]


def test_stamps_that_are_said_to_be_brief_live_no_longer_than_that(backend):
    mint(backend, {"s": b"one", "t": b"two"}, ttl=3000)
    backend.store([("k", b"v", MINUTE)], [], 0.0, brief=["s"], brief_ttl=30)
    backend.store([], [], 0.0, brief=["s", "none"], brief_ttl=2000)
    lives = {info.key: info.ttl for info in backend.inspect(["s", "t"])}
    assert lives["s"] <= 30
    assert lives["t"] > 2000
    assert backend.get_many(["s", "none"]) == [b"one", None]


def test_an_entry_is_given_a_longer_life_where_it_stands(backend):
    put(backend, k=b"v")
    backend.prolong("k", b"w", 600)
    backend.prolong("none", b"w", 600)
    heard = []
    backend.prolong("k", b"x", 700, heard.append)
    assert eventually(lambda: backend.get_many(["k", "none"]) == [b"x", None])
    backend.settle()
    assert heard == [None]
    assert backend.inspect(["k"])[0].ttl > 600


def test_storing_an_entry_never_shortens_a_stamps_life(backend):
    """Another entry, of a longer tier, may rest on it too."""
    mint(backend, {"t": b"stamp"}, 3600.0)
    backend.store([("entry", b"value", MINUTE)], ["t"], MINUTE)
    (info,) = backend.inspect(["t"])
    assert info.ttl > 3500


def test_storing_an_entry_lets_a_stamp_live_longer_that_would_end_before_it(backend):
    mint(backend, {"s": b"stamp", "t": b"stamp"}, 120.0)
    backend.store([("entry", b"value", MINUTE)], ["s", "t", "none"], 3600.0)
    lives = {info.key: info.ttl for info in backend.inspect(["s", "t", "none"])}
    assert lives.keys() == {"s", "t"}
    assert min(lives.values()) > 3500


def test_minting_lets_a_stamp_that_stands_live_longer_and_never_shorter(backend):
    mint(backend, {"t": b"stamp"}, 30.0)
    for ttl in (3600.0, 30.0):
        assert mint(backend, {"t": b"other"}, ttl) == [b"stamp"]
        (info,) = backend.inspect(["t"])
        assert 3500 < info.ttl <= 3600


def test_a_registration_may_be_waited_for_later(backend):
    mint(backend, {"t": b"one"})
    answer = backend.fence_ahead("w", {"g": ["t"]}, life=MINUTE)
    answer()
    assert backend.get_many(["t"]) == [None]
    assert mint_again(backend, {"t": b"two"}) is None
    backend.release("w", ["g"], ["t"], life=MINUTE)
    assert mint_again(backend, {"t": b"two"}) == [b"two"]


def mint_again(backend, stamps):
    return backend.mint(["g"], list(stamps), list(stamps.values()), ttl=MINUTE, life=MINUTE)


def test_a_release_may_be_heard_of_later(backend):
    heard = []
    backend.release("nobody's", ["g"], [], life=MINUTE)  # the server knows the script now
    mint(backend, {"t": b"one"})
    backend.fence("w", {"g": ["t"]}, life=MINUTE)
    backend.release("w", ["g"], ["t"], life=MINUTE, heard=heard.append)
    assert mint(backend, {"t": b"two"}) == [b"two"]
    backend.settle()
    assert heard == [None]


def test_a_stamp_ends_with_its_ttl(backend):
    mint(backend, {"t": b"stamp"}, 0.02)
    assert eventually(lambda: backend.get_many(["t"]) == [None])


def test_of_many_who_mint_at_once_all_hold_the_same_stamp(backend):
    start = threading.Barrier(6)

    def race(number):
        start.wait(20)
        return mint(backend, {"t1": b"one%d" % number, "t2": b"two%d" % number})

    with ThreadPoolExecutor(6) as pool:
        held = list(pool.map(race, range(6)))
    assert all(stamps == held[0] for stamps in held)
    assert backend.get_many(["t1", "t2"]) == held[0]


# -- writers ------------------------------------------------------------------------------------


def is_open(backend, *guards):
    return backend.read(guards, []).is_open


def test_a_registration_deletes_the_stamps_it_names_and_lets_none_be_minted(backend):
    mint(backend, {"t1": b"one", "t2": b"two"})
    backend.fence("w", {"g": ["t1"]}, life=MINUTE)
    assert backend.get_many(["t1", "t2"]) == [None, b"two"]
    assert mint(backend, {"t1": b"x", "t2": b"y"}) is None
    assert backend.get_many(["t1"]) == [None]
    assert mint(backend, {"t2": b"y", "t3": b"z"}) == [b"two", b"z"]
    assert is_open(backend, "g") == [True]  # other tags' entries may be served


def test_a_writer_that_can_not_tell_closes_the_guard_and_deletes_nothing(backend):
    mint(backend, {"t": b"one"})
    backend.fence("w", {"g": ["*", "model"]}, life=MINUTE)
    assert is_open(backend, "g", "other")[0] is False
    assert backend.get_many(["t"]) == [b"one"]
    assert mint(backend, {"t2": b"x"}) is None
    backend.release("w", ["g"], ["t"], life=MINUTE)
    assert is_open(backend, "g") == [True]
    assert backend.get_many(["t"]) == [None]


def test_a_writer_that_names_its_rows_closes_the_guard_to_all_but_other_rows(backend):
    """Lists may hold one of its rows before or after; of other rows nothing changes."""
    model, row, other, listed = "p:tag:m", "p:tag:m:pk=1", "p:tag:m:pk=12", "p:tag:m:kind=1"
    alike = "p:tag:m2:pk=7"  # a model whose name begins like the other's
    mint(backend, {model: b"m", row: b"1", other: b"12"})
    backend.fence("w", {"g": ["*", model, row]}, life=MINUTE)

    def may_serve(*keys):
        return backend.read(["g"], ["p:row:m:12", *keys]).is_open == [True]

    assert may_serve(model, other)
    assert backend.get_many([model, row]) == [b"m", b"1"]  # nothing is deleted
    assert mint(backend, {model: b"x", other: b"x", alike: b"7"}) == [b"m", b"12", b"7"]
    closed = [(), (model,), (model, row), (model, listed), (model, "p:tag:m:*"), (alike,)]
    for keys in [*closed, (model, other, row), (model, other, listed)]:
        assert not may_serve(*keys), keys
        assert mint(backend, dict.fromkeys(keys, b"x")) is None or keys == (), keys
    backend.fence("v", {"g": ["*", model]}, life=MINUTE)
    assert not may_serve(model, other)
    backend.release("v", ["g"], [], life=MINUTE)
    assert may_serve(model, other)
    backend.fence("v", {"g": [other]}, life=MINUTE)
    assert mint(backend, {model: b"x", other: b"x"}) is None


def test_a_writer_that_names_its_rows_and_dies_has_the_whole_model_bumped(backend):
    """Where its rows were before, in which lists, nobody knows."""
    mint(backend, {"m": b"one", "m:pk=1": b"one"})
    backend.fence("w", {"g": ["*", "m", "m:pk=1"]}, life=0.05)
    assert eventually(lambda: mint(backend, {"m": b"2", "m:pk=1": b"2"}) == [b"2", b"2"])


def test_a_release_leaves_other_writers_where_they_are(backend):
    mint(backend, {"t": b"one"})
    backend.fence("w1", {"g": ["t"]}, life=MINUTE)
    backend.fence("w2", {"g": ["t"]}, life=MINUTE)
    backend.release("w1", ["g"], ["t"], life=MINUTE)
    assert mint(backend, {"t": b"x"}) is None
    backend.release("w2", ["g"], ["t"], life=MINUTE)
    backend.release("w2", ["g"], ["t"], life=MINUTE)
    assert mint(backend, {"t": b"x"}) == [b"x"]


def test_a_fence_and_a_release_bump_any_number_of_tags(backend):
    """Not one more or less where a script takes them in parts; Lua hands over 8,000 at most."""
    keys = [f"t{n}" for n in range(10_001)]
    for bump in (
        lambda: backend.fence("w", {"g": keys}, life=MINUTE),
        lambda: backend.release("w", ["g"], keys, life=MINUTE),
    ):
        put(backend, **dict.fromkeys([*keys, "kept"], b"x"))
        bump()
        assert backend.get_many([*keys, "kept"]) == [*[None] * len(keys), b"x"]


@pytest.mark.parametrize("named", [["t"], ["*", "t"]])
def test_an_expired_registration_is_purged_with_the_bump_that_it_names(backend, named):
    mint(backend, {"t": b"one"})
    backend.fence("w", {"g": named}, life=MINUTE)
    assert mint(backend, {"other": b"x", "t": b"x"}) is None
    backend.release("w", ["g"], [], life=MINUTE)
    assert mint(backend, {"t": b"one"}) == [b"one"]
    backend.fence("w", {"g": named}, life=0.05)

    def minted_anew():
        return mint(backend, {"t": b"two"}) == [b"two"]

    assert eventually(minted_anew)
    assert is_open(backend, "g") == [True]


def test_making_a_lost_guard_bumps_the_models_stamp(backend):
    """It took registrations along that nobody will purge: their bump is due now."""
    guard, model = "cp:guard:shop.product@1", "cp:tag:shop.product@1"
    backend.tend([guard], life=MINUTE, no_writers=True)
    backend.mint([guard], [model], [b"one"], ttl=MINUTE, life=MINUTE)
    backend.tend([guard], life=MINUTE)
    assert backend.get_many([model]) == [b"one"]
    backend.delete([guard])
    backend.tend([guard], life=MINUTE)
    if backend.name == "redis":
        assert is_open(backend, guard) == [False]
        assert backend.get_many([model]) == [None]
    else:  # its guards are no keys, and go only with the whole process
        assert backend.get_many([model]) == [b"one"]


def test_renewing_prolongs_and_puts_back_what_was_lost(backend):
    mint(backend, {"t": b"one"})
    backend.fence("w", {"g": ["t"]}, life=0.05)
    backend.fence("w", {"g": ["t"]}, life=MINUTE, renew=True)
    assert mint(backend, {"t": b"x"}) is None
    backend.release("w", ["g"], [], life=MINUTE)
    mint(backend, {"t": b"minted meanwhile"})
    backend.fence("w", {"g": ["*", "t"]}, life=MINUTE, renew=True)
    assert backend.get_many(["t"]) == [None]


# -- looking at keys ----------------------------------------------------------------------------


def scanned(backend, pattern, limit=100_000):
    return [key for page in backend.scan(pattern, limit=limit) for key in page]


def test_a_scan_finds_what_matches_and_nothing_else(backend):
    put(backend, **{"cp:row:a:1": b"", "cp:row:a:2": b"", "cp:q:a:1": b"", "other": b""})
    assert sorted(set(scanned(backend, "cp:row:*"))) == ["cp:row:a:1", "cp:row:a:2"]
    assert sorted(set(scanned(backend, "cp:?:a:1"))) == ["cp:q:a:1"]
    assert scanned(backend, "nothing*") == []


def test_a_scan_comes_in_pages_and_stops_near_its_limit(backend):
    put(backend, **{f"k{n}": b"" for n in range(3000)})
    assert len(set(scanned(backend, "k*"))) == 3000
    assert 0 < len(scanned(backend, "k*", limit=500)) < 2000


def test_inspecting_tells_ttl_and_size_of_the_keys_that_exist(backend):
    put(backend, small=b"x", large=b"x" * 5000)
    found = {info.key: info for info in backend.inspect(["small", "missing", "large"])}
    assert found.keys() == {"small", "large"}
    assert all(0 < info.ttl <= MINUTE for info in found.values())
    assert found["large"].size >= 5000 > found["small"].size > 0
    assert backend.inspect([]) == []


# -- statistics ---------------------------------------------------------------------------------


def test_counters_add_up_field_by_field(backend):
    backend.add({"c1": {"hit": 2, "miss": 1}, "c2": {"hit": 5}}, MINUTE)
    backend.add({"c1": {"hit": 3, "bypass": -1}}, MINUTE)
    assert backend.counters(["c1", "missing", "c2"]) == [
        {"hit": 5, "miss": 1, "bypass": -1},
        {},
        {"hit": 5},
    ]


def test_counters_of_many_threads_lose_nothing(backend):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: backend.add({"c": {"n": 1}}, MINUTE), range(200)))
    assert backend.counters(["c"]) == [{"n": 200}]


def test_counters_end_with_their_ttl(backend):
    backend.add({"c": {"n": 1}}, 1.0)
    assert eventually(lambda: backend.counters(["c"]) == [{}])


def test_changing_the_counters_one_was_given_changes_nothing(backend):
    backend.add({"c": {"n": 1}}, MINUTE)
    backend.counters(["c"])[0]["n"] = 99
    assert backend.counters(["c"]) == [{"n": 1}]


def test_a_list_keeps_the_newest_first(backend):
    backend.push("l", [b"1", b"2", b"3"], keep=4, ttl=MINUTE)
    backend.push("l", [b"4", b"5"], keep=4, ttl=MINUTE)
    assert backend.newest("l", 10) == [b"5", b"4", b"3", b"2"]
    assert backend.newest("l", 2) == [b"5", b"4"]
    assert backend.newest("missing", 2) == []


def test_a_list_ends_with_its_ttl(backend):
    backend.push("l", [b"1"], keep=4, ttl=1.0)
    assert eventually(lambda: backend.newest("l", 1) == [])


def test_counters_and_lists_are_deleted_like_entries(backend):
    backend.add({"c": {"n": 1}}, MINUTE)
    backend.push("l", [b"1"], keep=4, ttl=MINUTE)
    assert backend.delete(["c", "l"]) == 2
    assert backend.counters(["c"]) == [{}]
    assert backend.newest("l", 1) == []
    assert backend.delete(["c", "l"]) == 0


# -- the server -----------------------------------------------------------------------------------


def test_a_living_backend_answers_a_ping_and_tells_of_itself(backend):
    backend.ping()
    put(backend, a=b"x" * 1000)
    info = backend.info()
    assert info["used_memory"] >= 1000
    assert isinstance(info["version"], str)
    assert info["maxmemory"] >= 0


# -- the outbox -------------------------------------------------------------------------------


def test_a_release_leaves_a_mark_where_it_is_asked_to(backend):
    put(backend, t=b"1")
    backend.release("w", [], ["t"], life=MINUTE, mark="done")
    assert backend.get_many(["t", "done"]) == [None, b"1"]
    (info,) = backend.inspect(["done"])
    assert info.ttl is not None


def test_a_lease_stands_from_the_moment_it_was_asked_for(backend):
    put(backend, k=b"1")
    reading = backend.read([], ["k"], ["lease"])
    assert (reading.leased, reading.values) == (False, [b"1"])
    assert backend.lease("lease", backend.moment(), MINUTE)
    assert backend.read([], ["k"], ["lease"]).leased
    assert backend.read([], ["k"], ["lease"]).values == [b"1"]
    assert not backend.read([], [], ["lease", "other"]).leased
    assert backend.read([], ["k"]).leased


def test_a_lease_runs_out_and_one_that_comes_too_late_is_none(backend):
    since = backend.moment()
    # Not at the first go where this machine was busy for that long between the two.
    assert eventually(lambda: backend.lease("lease", backend.moment(), 0.05))
    assert eventually(lambda: not backend.read([], [], ["lease"]).leased)
    assert not backend.lease("lease", since, 0.05)
    assert not backend.read([], [], ["lease"]).leased


def test_a_shorter_lease_does_not_shorten_a_longer_one(backend):
    since = backend.moment()
    assert backend.lease("lease", since, MINUTE)
    assert backend.lease("lease", since, MINUTE / 2)
    (info,) = backend.inspect(["lease"])
    assert info.ttl > MINUTE / 2


def test_a_lease_given_by_another_incarnation_is_none(empty_cache):
    backend = RedisBackend("default")
    since = backend.moment()
    assert not backend.lease("lease", replace(since, run="another"), MINUTE)
    put(backend, lease=b"oanother")
    assert not backend.read([], [], ["lease"]).leased
    assert backend.lease("lease", since, MINUTE)
    assert backend.read([], [], ["lease"]).leased
