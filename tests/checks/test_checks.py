"""One test per check: what is wrong, under which id, with a hint that names the remedy."""

import re
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session
from django.core import checks
from django.core.checks import run_checks
from django.db import models
from django.test.utils import isolate_apps

import cachepatterns
from cachepatterns import CachedManager, ModelPolicy
from cachepatterns.conf import KEYS, Config
from cachepatterns.registry import site
from tests.aliases import added
from tests.app.caching import Plain
from tests.app.models import Everything, Note


def found(check_id=None):
    messages = run_checks(tags=["cachepatterns"])
    if check_id is None:
        return [message.id for message in messages]
    return [m for m in messages if m.id == f"cachepatterns.{check_id}"]


def test_the_projects_own_settings_have_no_errors():
    assert [check_id for check_id in found() if ".E" in check_id] == []


def test_e001_the_setting_is_no_dict(settings):
    settings.CACHEPATTERNS = ["ALIAS"]
    assert len(found("E001")) == 1


def test_e002_an_alias_that_caches_does_not_have(configure):
    configure(ALIAS="defualt")
    (message,) = found("E002")
    assert message.hint == "Did you mean 'default'?"


@pytest.mark.parametrize(
    "dotted",
    ["django.core.cache.backends.dummy.DummyCache", "no.such.Backend"],
)
def test_e003_a_backend_that_can_not_hold_entries(alias, dotted):
    alias(BACKEND=dotted)
    assert "RedisCache" in found("E003")[0].hint


def test_e004_an_unknown_setting(configure):
    configure(ENABELD=True)
    (message,) = found("E004")
    assert message.hint == "Did you mean 'ENABLED'?"


def test_e005_an_unknown_model(configure):
    configure(MODELS={"auth.Gruop": {"tier": "static"}})
    assert found("E005")[0].hint == "Did you mean 'auth.Group'?"


def test_e006_an_unknown_option_of_a_model(configure):
    configure(MODELS={"auth.Group": {"tire": "static"}})
    assert found("E006")[0].hint == "Did you mean 'tier'?"


def test_e007_an_unknown_tier(policy):
    policy(tier="semistatic")
    (message,) = found("E007")
    assert message.hint == "Did you mean 'semi_static'?"
    assert "ItemPolicy" in message.msg


def test_e007_also_from_the_settings(configure):
    configure(MODELS={"auth.Group": {"tier": "statik"}})
    assert found("E007")[0].hint == "Did you mean 'static'?"


@pytest.mark.parametrize("ttl", [0, -1, "60", True])
def test_e008_a_ttl_that_is_not_positive(policy, configure, ttl):
    policy(ttl=ttl)
    assert len(found("E008")) == 1
    configure(TIERS={"short": {"ttl": ttl, "negative_ttl": ttl}})
    assert len(found("E008")) == 3


def test_e009_an_unknown_option_of_a_tier(configure):
    configure(TIERS={"short": {"tll": 5}})
    assert found("E009")[0].hint == "Did you mean 'ttl'?"


def test_e009_a_local_tier_that_names_an_age(configure):
    configure(TIERS={"static": {"local": 5}})
    assert "accepts_staleness" in found("E009")[0].hint


@pytest.mark.parametrize("accepted", [0, -1, "1"])
def test_e008_an_accepted_staleness_that_is_no_time(policy, accepted):
    policy(accepts_staleness=accepted)
    (message,) = found("E008")
    assert "accepts_staleness" in message.msg
    assert "leave it out" in message.hint
    assert "never" not in message.hint, "it is cached as before"
    assert found("I002") == [], "one thing at a time"


def test_i001_a_local_tier_whose_policy_accepts_nothing(policy, configure):
    configure(TIERS={"semi_static": {"local": True}})
    assert "app.item" in {message.msg.split()[0] for message in found("I001")}
    policy(accepts_staleness=1.0)
    assert "app.item" not in {message.msg.split()[0] for message in found("I001")}


def test_i002_a_policy_that_accepts_staleness_in_a_tier_that_is_not_local(policy, configure):
    assert found("I002") == []
    policy(accepts_staleness=1.0)
    (message,) = found("I002")
    assert "'semi_static' is not local" in message.msg
    assert '["semi_static"]["local"] = True' in message.hint
    configure(TIERS={"semi_static": {"local": True}})
    assert found("I002") == []


@pytest.mark.parametrize("tier", ["never", "semistatic"])
def test_i002_leaves_it_to_others_to_say_that_nothing_is_cached(policy, tier):
    policy(accepts_staleness=1.0, tier=tier)
    assert found("I002") == []
    assert found("W008") or found("E007")


@pytest.mark.parametrize("option", ["narrow_by", "narrow_by_only"])
def test_e010_narrowing_by_no_field(policy, option):
    policy(**{option: ["stok"]})
    (message,) = found("E010")
    assert message.hint == "Did you mean 'stock'?"


@pytest.mark.parametrize("name", ["price", "rating", "data", "labels", "notes"])
def test_e011_narrowing_by_what_can_not_be_spelled(policy, name):
    policy(narrow_by=[name])
    assert name in found("E011")[0].msg


def test_e012_a_database_that_there_is_not(policy):
    policy(databases=["default", "repilca"])
    assert "repilca" in found("E012")[0].msg


@pytest.mark.parametrize(
    "change",
    [
        {"FLIGHT_TIMEOUT": 0},
        {"MAX_VALUE_BYTES": "1 MB"},
        {"STATS_FLUSH_SECONDS": -1},
        {"JITTER": 1},
    ],
)
def test_e013_a_number_that_is_none(configure, change):
    configure(**change)
    assert next(iter(change)) in found("E013")[0].msg


@pytest.fixture
def registered():
    added = []

    def register(model):
        site.register(model, Plain)
        added.append(model)

    yield register
    for model in added:
        site.unregister(model)


@pytest.mark.parametrize("wrong", [{"RELAY": "thraed"}, {"ON_REDIS_ERROR": "raise"}])
def test_e018_a_word_that_is_none_of_the_known_ones(configure, wrong):
    configure(OUTBOX=True, **wrong)
    (message,) = found("E018")
    assert repr(next(iter(wrong.values()))) in message.msg


def test_w018_a_relay_without_an_outbox(configure):
    configure(RELAY="thread")
    assert len(found("W018")) == 1
    configure(RELAY="thread", OUTBOX=True)
    assert found("W018") == []


@isolate_apps("tests.app")
def test_w001_a_base_manager_that_is_not_ours(registered):
    class Thing(models.Model):  # noqa: DJ008
        objects = CachedManager()

        class Meta:
            app_label = "app"

    registered(Thing)
    assert "base_manager_name" in next(m for m in found("W001") if m.obj is Thing).hint


def test_w001_spares_other_peoples_models(configure):
    configure(MODELS={"auth.Group": {"tier": "static"}})
    assert "auth.group" not in " ".join(m.msg for m in found("W001"))


def test_w001_spares_sessions_whose_engine_registers_them():
    assert site.policy_for(Session) is not None
    assert "sessions.session" not in " ".join(m.msg for m in found("W001"))


class Filtered(CachedManager):
    def get_queryset(self):
        return super().get_queryset().filter(pk__gt=0)


@isolate_apps("tests.app")
def test_w002_a_base_manager_that_leaves_rows_out(registered):
    class Thing(models.Model):  # noqa: DJ008
        objects = Filtered()

        class Meta:
            app_label = "app"
            base_manager_name = "objects"

    registered(Thing)
    assert [m.obj for m in found("W002")] == [Thing]


def test_w003_a_cache_in_each_process(alias, settings):
    settings.DEBUG = False
    alias(BACKEND="django.core.cache.backends.locmem.LocMemCache")
    assert len(found("W003")) == 1
    settings.DEBUG = True
    assert found("W003") == []


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({}, True),
        ({"SOCKET_TIMEOUT": 30}, True),
        ({"SOCKET_TIMEOUT": 0.5}, False),
        ({"CONNECTION_POOL_KWARGS": {"socket_timeout": 1}}, False),
    ],
)
def test_w004_a_cache_that_can_hold_up_a_page(alias, options, warned):
    alias(OPTIONS=options)
    assert bool(found("W004")) is warned


def test_w004_knows_timeouts_in_addresses(alias):
    alias(OPTIONS={}, LOCATION="redis://127.0.0.1:1/0?socket_timeout=1")
    assert found("W004") == []


@pytest.mark.parametrize(("session_alias", "warned"), [("default", True), ("sessions", False)])
def test_w005_sessions_in_the_same_cache(settings, session_alias, warned):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    settings.SESSION_CACHE_ALIAS = session_alias
    assert bool(found("W005")) is warned


@pytest.mark.parametrize(
    ("label", "tier", "warned"),
    [
        ("sessions.Session", "static", True),
        ("auth.User", "static", True),
        ("auth.User", "never", False),
        ("auth.Group", "static", False),
    ],
)
def test_w006_secrets_in_the_cache(configure, label, tier, warned):
    configure(MODELS={label: {"tier": tier}})
    assert bool(found("W006")) is warned


def test_w006_fields_that_let_people_in(configure, monkeypatch):
    (field,) = [f for f in Note._meta.concrete_fields if f.name == "text"]
    assert Note not in {message.obj for message in found("W006")}
    monkeypatch.setattr(field, "name", "api_key")
    assert Note in {message.obj for message in found("W006")}


def test_w007_bytes_of_any_size(monkeypatch):
    (message,) = found("W007")
    assert message.obj is Everything
    assert '.defer("raw")' in message.hint
    monkeypatch.setattr(Everything._meta.get_field("raw"), "max_length", 2000)
    assert not found("W007")


def test_w008_what_never_makes_void(policy):
    policy(tier="never")
    assert not found("W008")
    policy(tier="never", ttl=5, warm=lambda self: ())
    (message,) = found("W008")
    assert "ttl and warm()" in message.msg


@pytest.mark.parametrize(
    ("replicas", "check_id", "word"),
    [
        (["sqlite"], "E040", "list"),
        ({"replica": "default"}, "E041", "replica"),
        ({"sqlite": "defualt"}, "E041", "defualt"),
        ({"sqlite": "sqlite"}, "E042", "sqlite"),
        ({"sqlite": "default", "default": "sqlite"}, "E042", "sqlite"),
        ({"sqlite": "default"}, "E043", "postgresql"),
    ],
)
def test_e040_to_e043_replicas_that_are_none(configure, replicas, check_id, word):
    configure(REPLICAS=replicas)
    assert word in found(check_id)[0].msg


def test_e044_a_policy_that_names_a_replica(configure, policy):
    configure(REPLICAS={"sqlite": "default"})
    policy(databases=["default", "sqlite"])
    assert found("E044")[0].hint.startswith("Name 'default'")


def test_e045_a_time_to_wait_for_replicas(configure):
    configure(REPLICA_WAIT_SECONDS=-1)
    assert "REPLICA_WAIT_SECONDS" in found("E045")[0].msg
    configure(REPLICA_WAIT_SECONDS=0)
    assert found("E045") == []


def test_i040_a_replica_that_can_not_tell_how_far_it_is(configure):
    with added("copy", like="sqlite"):
        configure(REPLICAS={"copy": "sqlite"})
        assert "copy" in found("I040")[0].msg


def test_every_message_has_a_hint(configure, policy, alias):
    configure(ENABELD=1, TIERS={"short": {"ttl": 0}}, MODELS={"x.Y": {"tire": ""}}, JITTER=2)
    policy(tier="x", narrow_by=["nothing", "price"], databases=["nowhere"])
    alias(OPTIONS={})
    messages = run_checks(tags=["cachepatterns"])
    assert len(messages) > 8
    assert all(isinstance(m, checks.CheckMessage) and m.hint for m in messages)


def test_a_policy_that_narrows_by_nothing_known_still_lets_the_project_start():
    class Wrong(ModelPolicy):
        narrow_by = ["nothing"]

    from tests.app.models import Secret

    site.register(Secret, Wrong)
    try:
        assert site.policy_for(Secret) is not None
    finally:
        site.unregister(Secret)


def test_e014_the_star_takes_no_options_of_one_model(configure):
    configure(MODELS={"*": {"tier": "static", "managers": "all", "narrow_by": ["name"]}})
    (message,) = found("E014")
    assert "'narrow_by'" in message.msg
    assert "tier" in message.hint
    assert found("E005") == []


def test_e015_managers_that_mean_nothing(configure):
    configure(MODELS={"auth.Group": {"managers": "al"}})
    assert found("E015")[0].hint == "Did you mean 'all'?"


def test_what_is_wrong_with_the_star_is_said_once(configure):
    configure(MODELS={"*": {"tier": "statik", "managers": "many", "databases": ["defualt"]}})
    assert [len(found(check_id)) for check_id in ("E007", "E012", "E015")] == [1, 1, 1]


def test_the_star_asks_for_no_other_managers_but_says_what_is_sensitive(configure):
    before = {message.obj for message in found("W001")}
    configure(MODELS={"*": {"managers": "all"}})
    assert {message.obj for message in found("W001")} <= before
    assert [message.obj._meta.label for message in found("W006")] == ["auth.User"]


@pytest.mark.parametrize("prefix", ["", "a b", "site*", None, "[x]"])
def test_e019_a_prefix_that_keys_can_not_begin_with(configure, prefix):
    configure(PREFIX=prefix)
    assert len(found("E019")) == 1


def test_w012_retries_on_the_request_path(alias):
    alias(OPTIONS={"CONNECTION_POOL_KWARGS": {"retry_on_timeout": True}})
    (message,) = found("W012")
    assert "retry_on_timeout" in message.msg
    alias(LOCATION="redis://127.0.0.1:6379/0?retry_on_timeout=true", OPTIONS={})
    assert len(found("W012")) == 1
    alias(OPTIONS={"CONNECTION_POOL_KWARGS": {"retry_on_error": []}}, LOCATION="redis://x/0")
    assert found("W012") == []


def test_w014_a_volatile_tier_that_is_none(configure, policy):
    configure(TIERS={"volatile": {"ttl": 301}})
    assert "semi_static" in found("W014")[0].hint
    configure(TIERS={"volatile": {"ttl": 300}})
    assert found("W014") == []
    policy(tier="volatile", ttl=600)
    assert len(found("W014")) == 1


def test_w015_fields_whose_values_can_not_be_stored(monkeypatch):
    from django.contrib.postgres.fields import ArrayField, HStoreField, IntegerRangeField

    with isolate_apps("tests.app"):

        class Booking(models.Model):  # noqa: DJ008 - for the check alone
            during = IntegerRangeField()
            more = ArrayField(IntegerRangeField())
            words = ArrayField(models.TextField())
            extra = HStoreField()

            objects = CachedManager()

            class Meta:
                app_label = "app"
                base_manager_name = "objects"

    site.register(Booking, Plain)
    try:
        (message,) = found("W015")
    finally:
        site.unregister(Booking)
    assert "'during', 'more', 'extra' can not be stored" in message.msg


def test_w016_the_folder_in_which_processes_count_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "nowhere"))
    assert "before the first worker" in found("W016")[0].hint
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert found("W016") == []


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("TRACING", "no", "True, False"), ("PROMETHEUS", "auto", "None, True, False")],
)
def test_e018_a_switch_that_is_neither_on_nor_off(configure, name, value, allowed):
    configure(**{name: value})
    (message,) = found("E018")
    assert allowed in message.msg
    configure(**{name: False})
    assert found("E018") == []


SWITCHES = [each.name for each in fields(Config) if str(each.type).startswith("bool")]


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["no", "False", 1, 0, []])
def test_e018_every_switch_is_on_or_off(configure, name, value):
    """What is neither is not taken for what it says: "no" would be on."""
    configure(**{name: value})
    (message,) = found("E018")
    assert message.msg.startswith(f'CACHEPATTERNS["{name}"] is {value!r}, ')
    assert "True or False, without quotes" in message.hint
    for switched in (True, False):
        configure(**{name: switched})
        assert found("E018") == []


def test_the_switches_are_all_that_are_on_or_off_by_default():
    known = {key for key in KEYS if isinstance(getattr(Config(), key), bool)}
    assert known == {*SWITCHES} - {"PROMETHEUS"}
    assert {"ENABLED", "SHORTCUTS", "STATS", "READ_ONLY"} < known


@pytest.mark.parametrize("name", ["SHADOW", "HOT_SHARE", "VERIFY_SHARE"])
def test_e013_a_share_that_is_none(configure, name):
    configure(**{name: 1.5})
    assert name in found("E013")[0].msg


@pytest.mark.parametrize("share", ["often", "7"])
def test_e013_a_share_of_the_environment_that_is_none(configure, monkeypatch, share):
    monkeypatch.setenv("CACHEPATTERNS_SHADOW", share)
    configure()
    (message,) = found("E013")
    assert message.msg.startswith("CACHEPATTERNS_SHADOW in the environment is ")
    assert share in message.msg


def test_each_id_is_of_one_kind_of_finding():
    """Who silences one must not silence another: each stands in one module."""
    package = Path(cachepatterns.__file__).parent
    homes = defaultdict(set)
    for path in (*(package / "checks").rglob("*.py"), *(package / "live").rglob("*.py")):
        for name in re.findall(r'"(?:cachepatterns\.)?([EWI]\d{3})"', path.read_text()):
            homes[name].add(path.name)
    assert len(homes) > 40
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}
