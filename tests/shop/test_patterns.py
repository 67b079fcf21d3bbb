"""Every pattern has a page and a scene, and can be switched off by name."""

import os
import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from shop.demo.actor import ActorFailed
from shop.demo.nursery import Nursery
from shop.demo.patterns import patterns
from shop.processes import is_alive
from shop.switches import is_on

DOCS = Path(__file__).parents[2] / "docs" / "patterns"
ROW = re.compile(r"^\| (\d+) \| (.+?) \| `(.+?)` \|", re.MULTILINE)


def test_the_index_lists_the_scenes_in_their_order_and_all_pages():
    index = (DOCS / "README.md").read_text()
    rows = ROW.findall(index)
    told = [(int(number), name) for number, _, name in rows]
    assert told == [(pattern.number, pattern.name) for pattern in patterns()]
    linked = {link for _, cell, _ in rows for link in re.findall(r"\(([\w-]+\.md)\)", cell)}
    assert linked == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


def test_each_pattern_has_a_test_of_its_name():
    tests = (Path(__file__).with_name("test_each_pattern.py")).read_text()
    names = set(re.findall(r"^def test_(\w+)\(", tests, re.MULTILINE))
    assert names == {pattern.name.replace("-", "_") for pattern in patterns()}


def test_a_scene_says_how_it_fails_without_its_pattern():
    for pattern in patterns():
        assert re.compile(pattern.without)


def test_names_tell_patterns_apart_and_switch_them_off(monkeypatch):
    names = [pattern.name for pattern in patterns()]
    assert len(set(names)) == len(names)
    monkeypatch.setenv("SHOP_WITHOUT", f"{names[0]},{names[1]}")
    assert [name for name in names if not is_on(name)] == names[:2]
    monkeypatch.setenv("SHOP_WITHOUT", "all")
    assert not any(map(is_on, names))


def test_a_pattern_that_is_none_is_refused_by_name():
    with pytest.raises(CommandError, match="invalid choice: 'heard'"):
        call_command("demo", "--patterns", "--without", "heard")
    with pytest.raises(CommandError, match="are for --patterns"):
        call_command("demo", "--without", "herd")


def twice(pause, word):
    pause("here")
    return word * 2


def raises(pause):
    raise ValueError("no")


@pytest.fixture(scope="module")
def nursery():
    with Nursery({**os.environ, "DATABASE_URL": "sqlite://"}) as nursery:
        yield nursery


def test_an_actor_goes_on_when_it_is_told_to(nursery):
    with nursery.actor(f"{__name__}.twice", "ab") as actor:
        actor.until("here")
        actor.go_on()
        assert actor.result() == "abab"


def test_an_actor_that_is_killed_is_gone_then(nursery):
    with nursery.actor(f"{__name__}.twice", "ab") as actor:
        actor.until("here")
        assert is_alive(actor.pid)
        actor.kill()
        assert not is_alive(actor.pid)


def test_an_actor_that_ends_is_not_waited_for(nursery):
    with (
        nursery.actor(f"{__name__}.raises") as actor,
        pytest.raises(ActorFailed, match="raises: expected at 'here', got nothing"),
    ):
        actor.until("here")


def test_commands_are_run_and_not_judged(nursery):
    done = nursery.manage("demo", "--without", "herd")
    assert (done.returncode, done.stdout) == (1, "")
    assert "are for --patterns" in done.stderr
