"""The pages speak German too, with German numbers, and no text is left behind."""

import gettext
import re
from pathlib import Path

import pytest

import cachepatterns
from cachepatterns.observe import InvalidationEvent, ReadEvent
from cachepatterns.stats.recorder import Recorder

FOLDER = Path(cachepatterns.__file__).parent / "locale" / "de" / "LC_MESSAGES"


@pytest.mark.urls("tests.admin.urls")
def test_the_overview_in_german(login, settings):
    settings.LANGUAGE_CODE = "de"
    recorder = Recorder(background=False)
    for outcome in ["hit"] * 7 + ["miss"]:
        recorder(ReadEvent("app.item", "list", outcome, 0.0004, 0.004))
    recorder(InvalidationEvent(("app.item",), ("app.item@ab",), "m2m", coarse=True, site="a:1"))
    recorder.flush()
    page = login("*").get("/admin/cachepatterns/cachedashboard/").content.decode()
    assert "Der Cache arbeitet." in page
    assert "87,5 %" in page
    assert "gibt die Verknüpfungen nicht zurück" in page
    # A decimal comma in a drawing would break it.
    assert not re.search(r'(points|viewBox|height|[xy]\d?)="[^"]*\d,\d+,', page)


def test_everything_is_translated_and_compiled():
    text = (FOLDER / "django.po").read_text(encoding="utf-8")
    with (FOLDER / "django.mo").open("rb") as compiled:
        known = gettext.GNUTranslations(compiled)
    messages = re.findall(r'^msgid "(.+)"$', text, re.M)
    assert len(messages) > 140
    assert "fuzzy" not in text
    assert not re.search(r'^msgstr(\[\d\])? ""$\n(?!")', text, re.M)
    single = re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', text, re.M)
    for message, translated in single:
        assert known.gettext(message.replace('\\"', '"')) == translated.replace('\\"', '"')
