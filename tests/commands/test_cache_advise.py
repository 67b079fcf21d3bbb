"""cache_advise finds what does not earn its keep, and proposes the change that mends it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cachepatterns.observe import InvalidationEvent, ReadEvent
from cachepatterns.stats.recorder import Recorder
from tests.app.models import Item
from tests.policies import policy_of

ROOT = Path(__file__).resolve().parents[2]


def count(label: str, *, hits: int, misses: int, pattern: str = "list", **of_misses) -> None:
    recorder = Recorder(background=False)
    for _ in range(hits):
        recorder(ReadEvent(label, pattern, "hit", 0.0004))
    for _ in range(misses):
        recorder(ReadEvent(label, pattern, "miss", 0.005, 0.004, 900, **of_misses))
    recorder.flush()


def wrote(label: str, times: int) -> None:
    recorder = Recorder(background=False)
    for _ in range(times):
        recorder(InvalidationEvent((label,), (f"{label}@ab:*",), "save"))
    recorder.flush()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of the policies' files, in which a diff can be applied."""
    monkeypatch.chdir(ROOT)
    for name in ("tests/app/caching.py", "shop/caching.py"):
        target = tmp_path / name
        target.parent.mkdir(parents=True)
        shutil.copy(ROOT / name, target)
    return tmp_path


def applied(tree: Path, out: str) -> None:
    """The whole output, words and all, is what `git apply` is given."""
    done = subprocess.run(
        ["git", "apply", "-"], cwd=tree, input=out, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_more_writes_than_reads_are_not_worth_caching(run, tree):
    count("app.item", hits=150, misses=100)
    wrote("app.item", 600)
    answer = run("cache_advise")
    assert answer.code == 0
    assert "# app.item: investigate, 60.0 % hits of 250 reads" in answer.out
    assert "2.4 writes for each read" in answer.out
    applied(tree, answer.out)
    assert 'tier = "never"' in (tree / "tests/app/caching.py").read_text()


def test_what_means_nothing_without_a_cache_goes_with_it(run, tree):
    """So that what is applied passes `check` (W008)."""
    path = tree / "tests/app/caching.py"
    count("app.item", hits=10, misses=290)
    with policy_of(Item, ttl=5, warm=lambda self: []):
        answer = run("cache_advise", "app.Item", "--json")
        (advice,) = json.loads(answer.out)["advice"]
        assert advice["change"] == {"set": {"tier": "never"}, "drop": ["ttl"]}
        answer = run("cache_advise", "app.Item")
    assert "its warm() has no effect then" in answer.out
    applied(tree, answer.out)
    assert 'tier = "never"' in path.read_text()


def test_a_model_that_shares_its_policy_gets_one_of_its_own(run, tree):
    count("shop.taxrate", hits=30, misses=270)
    answer = run("cache_advise", "shop")
    applied(tree, answer.out)
    text = (tree / "shop/caching.py").read_text()
    assert "@register(Country)\nclass ReferencePolicy" in text
    assert "@register(TaxRate)\nclass TaxRatePolicy(ReferencePolicy):\n" in text
    assert '    accepts_staleness = None\n    tier = "never"\n' in text


def test_tags_that_are_too_wide_are_narrowed_by_what_readers_ask_for(run, items, tree, settings):
    """The names of the patterns can not tell: what is filtered by is seen in the questions."""
    settings.CACHEPATTERNS = {**settings.CACHEPATTERNS, "VERIFY_SHARE": 1}
    with policy_of(Item, narrow_by=["active"]):
        list(Item.objects.filter(name="a", active=True))
        list(Item.objects.filter(rating=3.0))
        count("app.item", hits=700, misses=300, outdated=1)
        answer = run("cache_advise", "--json")
    data = json.loads(answer.out)
    (advice,) = data["advice"]
    assert advice["change"] == {"set": {"narrow_by": ["active", "name"]}, "drop": []}
    assert '+    narrow_by = ["active", "name"]' in data["diff"]


def test_a_policy_that_narrows_by_nothing_gets_the_default_back(run, db):
    with policy_of(Item, narrow_by_only=[]):
        count("app.item", hits=700, misses=300, outdated=1)
        data = json.loads(run("cache_advise", "--json").out)
    assert data["advice"][0]["change"] == {"set": {}, "drop": ["narrow_by_only"]}


def test_what_expires_too_soon_gets_the_next_tier(run, db):
    count("app.item", hits=700, misses=300)
    data = json.loads(run("cache_advise", "--json").out)
    assert data["advice"][0]["change"] == {"set": {"tier": "static"}, "drop": []}


def test_a_ttl_of_its_own_goes_first(run, db):
    with policy_of(Item, ttl=2.0):
        count("app.item", hits=700, misses=300)
        data = json.loads(run("cache_advise", "--json").out)
    assert data["advice"][0]["change"] == {"set": {}, "drop": ["ttl"]}


def test_where_the_settings_hold_the_policy_the_settings_are_told(run, db, settings):
    settings.CACHEPATTERNS = {
        **settings.CACHEPATTERNS, "MODELS": {"auth.Group": {"tier": "static"}}
    }  # fmt: skip
    count("auth.group", hits=10, misses=290)
    answer = run("cache_advise", "auth")
    assert "\"auth.Group\": {'tier': 'never'}," in answer.out
    assert "+++" not in answer.out


def test_what_it_spares_and_costs_is_told_for_an_hour(run, db):
    count("app.item", hits=150, misses=150)
    (advice,) = json.loads(run("cache_advise", "--json").out)["advice"]
    earned = advice["seconds_per_hour"]
    # In ten minutes 150 hits spared 4 ms each and took 0.4; 150 misses cost 1 ms more each.
    assert earned["spared"] == pytest.approx(6 * 150 * 0.004)
    assert earned["paid"] == pytest.approx(6 * 150 * (0.0004 + 0.001))
    assert advice["memory_bytes"] == 150 * 900


def test_too_few_reads_are_not_judged_and_good_ones_are_left_alone(run, db):
    count("app.item", hits=10, misses=90)
    count("app.category", hits=1000, misses=10)
    answer = run("cache_advise")
    assert "Nothing to change: 1 of " in answer.out


def test_an_unknown_model_is_a_usage_error(run):
    assert run("cache_advise", "nothing").code == 2


def test_without_redis_it_says_so(run, redis_down):
    assert run("cache_advise").code == 4
