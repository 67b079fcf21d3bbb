"""What every backend's buffers must do."""

import threading

BUFFER = "cp:behind:{app.item@db}:counts"


def test_counts_add_up_and_go_as_one_batch(backend):
    backend.put_counts(BUFFER, "me", 1, {"a:1": 2, "a:2": -1})
    backend.put_counts(BUFFER, "me", 2, {"a:1": 3})
    assert backend.take_batch(BUFFER, "one", 10)
    assert backend.batch_counts(BUFFER, "one") == {"a:1": 5, "a:2": -1}
    assert not backend.take_batch(BUFFER, "two", 10)
    assert backend.open_batches(BUFFER) == ["one"]
    backend.drop_batch(BUFFER, "one")
    backend.drop_batch(BUFFER, "one")
    assert backend.open_batches(BUFFER) == []
    assert backend.batch_counts(BUFFER, "one") == {}


def test_a_command_that_comes_twice_counts_once(backend):
    for _ in range(2):
        backend.put_counts(BUFFER, "me", 1, {"a:1": 2})
        backend.put_event(f"{BUFFER}e", "me", 1, b"x")
    backend.put_counts(BUFFER, "other", 1, {"a:1": 2})
    assert backend.waiting_counts(BUFFER, ["a:1"]) == ([4], {})
    assert backend.take_batch(f"{BUFFER}e", "one", 10)
    assert backend.batch_events(f"{BUFFER}e", "one") == [b"x"]


def test_taking_twice_under_one_name_takes_once(backend):
    backend.put_counts(BUFFER, "me", 1, {"a:1": 2})
    assert backend.take_batch(BUFFER, "one", 10)
    backend.put_counts(BUFFER, "me", 2, {"a:1": 3})
    assert backend.take_batch(BUFFER, "one", 10)
    assert backend.batch_counts(BUFFER, "one") == {"a:1": 2}


def test_a_long_buffer_is_taken_in_parts(backend):
    fields = {f"a:{number}": number + 1 for number in range(1000)}
    backend.put_counts(BUFFER, "me", 1, fields)
    found: dict[str, int] = {}
    for name in range(4):
        assert backend.take_batch(BUFFER, f"b{name}", 250)
        batch = backend.batch_counts(BUFFER, f"b{name}")
        assert len(batch) == 250
        assert found.keys().isdisjoint(batch)
        found |= batch
    assert found == fields
    assert not backend.take_batch(BUFFER, "b4", 250)
    assert sorted(backend.open_batches(BUFFER)) == ["b0", "b1", "b2", "b3"]


def test_events_keep_their_order(backend):
    for number in range(7):
        backend.put_event(BUFFER, "me", number, b"%d" % number)
    taken = []
    for name in "abc":
        assert backend.take_batch(BUFFER, name, 3)
        taken.append(backend.batch_events(BUFFER, name))
    assert taken == [[b"0", b"1", b"2"], [b"3", b"4", b"5"], [b"6"]]
    assert not backend.take_batch(BUFFER, "d", 3)


def test_what_waits_and_what_is_being_written_are_told_apart(backend):
    backend.put_counts(BUFFER, "me", 1, {"a:1": 2})
    backend.take_batch(BUFFER, "one", 10)
    backend.put_counts(BUFFER, "me", 2, {"a:1": 3, "a:2": 1})
    assert backend.waiting_counts(BUFFER, ["a:1", "a:2"]) == ([3, 1], {"one": [2, 0]})


def test_the_backlog_tells_how_much_there_is(backend):
    empty = backend.backlog(BUFFER)
    assert (empty.waiting, empty.batches, empty.seconds) == (0, 0, 0)
    backend.put_counts(BUFFER, "me", 1, {"a:1": 2})
    backend.take_batch(BUFFER, "one", 10)
    backend.put_counts(BUFFER, "me", 2, {"a:1": 3, "a:2": 1})
    found = backend.backlog(BUFFER)
    assert (found.waiting, found.batches) == (2, 1)
    assert found.seconds >= 0
    assert backend.backlog(f"{BUFFER}:other").waiting == 0


def test_nothing_is_lost_between_writers_and_takers(backend):
    writers, each = 4, 100

    def write(name):
        for number in range(each):
            backend.put_counts(BUFFER, name, number, {"a:1": 1})

    threads = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(writers)]
    for thread in threads:
        thread.start()
    total, name = 0, 0
    while any(thread.is_alive() for thread in threads) or backend.backlog(BUFFER).waiting:
        name += 1
        if backend.take_batch(BUFFER, f"b{name}", 10):
            total += backend.batch_counts(BUFFER, f"b{name}")["a:1"]
            backend.drop_batch(BUFFER, f"b{name}")
    assert total == writers * each
