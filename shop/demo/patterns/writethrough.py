"""Write-through: staff throws a switch, and the next visitor's page asks the database for no flag.

The interleaving: a writer has committed and read its row again, and before it stores what it has
read staff commits another value. What is stored late must not be found.
"""

from collections import Counter

from shop.demo.actor import Pause
from shop.demo.patterns.pattern import Pattern, Played, require
from shop.demo.patterns.stage import Stage

FLAG = "free-shipping-banner"
LIST = "shop.featureflag list"
WHAT = "written through"
TRIES = 3
"""A relay that looks just between a COMMIT and its delivery bumps once more, to be sure."""


def stores_late(pause: Pause, name: str) -> None:
    """Switches the flag on, and pauses when the row has been read again."""
    from cachepatterns.backends.store import current_store
    from shop.models import FeatureFlag

    store = current_store()
    original = store.store

    def late(*args: object, **kwargs: object) -> None:
        pause("read again")
        store.store = original  # type: ignore[method-assign]
        original(*args, **kwargs)  # type: ignore[arg-type]

    flag = FeatureFlag.objects.get(name=name)
    store.store = late  # type: ignore[method-assign]
    flag.enabled = True
    flag.save()


def note_of(pause: Pause, name: str) -> bool:
    """Whether the flag is on, as any process of the shop is told."""
    from shop.models import FeatureFlag

    return FeatureFlag.objects.get(name=name).enabled


def perform(stage: Stage) -> Played:
    with stage.database() as connection:
        found = connection.execute("SELECT id FROM shop_featureflag WHERE name = %s", [FLAG])
        row = found.fetchone()
    assert row is not None
    path = f"/admin/shop/featureflag/{row[0]}/change/"
    stage.get("/")
    spared = 0
    for shown in (False, True):
        require(
            any(_is_spared(stage, path, shown) for _ in range(TRIES)),
            "after a change of a flag the next visitor loads the flags",
        )
        spared += 1
    with stage.actor(f"{__name__}.stores_late", FLAG) as writer:
        writer.until("read again")
        _switch(stage, path)
        writer.go_on()
        writer.result()
    told = stage.ask(f"{__name__}.note_of", FLAG)
    require(told is False, "an older row was stored over a newer one, and found")
    _switch(stage, path, enabled="on")
    counted = stage.until("rows are counted as written through", lambda: _counted(stage))
    return Played(
        counters={"rows written through": counted},
        sql_saved=spared,
        interleaving="Another committed before a writer stored what it had read again:"
        " nobody finds it.",
    )


def _is_spared(stage: Stage, path: str, shown: bool) -> bool:
    """Whether the next visitor after a change of the flag finds the flags in the cache."""
    switch = {"enabled": "on"} if shown else {}
    _switch(stage, path, **switch)
    return not stage.get("/").outcomes.get(LIST, Counter())["miss"]


def _switch(stage: Stage, path: str, **fields: str) -> None:
    from shop.demo.forms import form_fields

    given = form_fields(stage.staff.get(path).body, "featureflag_form")
    given.pop("enabled", None)
    visit = stage.staff.post(path, {**given, **fields})
    require("was changed successfully" in visit.body, f"{path} did not take {fields}")


def _counted(stage: Stage) -> int:
    models = {model["label"]: model for model in stage.stats()["models"]}
    return int(models["shop.featureflag"]["done"].get(WHAT, 0))


PATTERN = Pattern(
    number=2,
    name="write-through",
    title="Write-through",
    without="the next visitor loads the flags",
    perform=perform,
)
