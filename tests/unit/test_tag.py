"""Readers and writers spell a tag alike, whichever Python value stands for the database's."""

import datetime
import enum
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepatterns.core.guard import by_guard, guard_of
from cachepatterns.core.tag import (
    ANY,
    CANONICAL,
    any_row_tag,
    canonical,
    count_of,
    field_tag,
    label_of,
    model_tag,
    named_tags,
    row_tag,
    standing_tags,
    tag,
)


def test_the_four_tags_of_a_model_are_spelled_as_documented():
    assert model_tag("shop.product", "3f2a") == "shop.product@3f2a"
    assert any_row_tag("shop.product", "3f2a") == "shop.product@3f2a:*"
    assert row_tag("shop.product", "3f2a", "7") == "shop.product@3f2a:pk=7"
    assert field_tag("shop.product", "3f2a", "category", "5") == "shop.product@3f2a:category=5"


@given(st.integers())
def test_an_integer_has_one_spelling(number):
    spellings = {canonical("integer", value) for value in (number, str(number), f" {number} ")}
    assert len(spellings) == 1
    if abs(number) < 2**53:
        assert canonical("integer", float(number)) in spellings


@given(st.uuids())
def test_a_uuid_has_one_spelling(value):
    assert len({canonical("uuid", v) for v in (value, str(value), value.hex, value.urn)}) == 1


@given(st.dates())
def test_a_date_has_one_spelling(value):
    assert canonical("date", value) == canonical("date", value.isoformat())


@pytest.mark.parametrize(
    ("values", "spelled"), [((True, 1, "1", "t", 1.0), "1"), ((False, 0, "0", "f"), "0")]
)
def test_a_boolean_has_one_spelling(values, spelled):
    assert {canonical("boolean", value) for value in values} == {spelled}


class Text(str):
    def __str__(self) -> str:
        return str.__str__(self)


@given(st.text(st.characters()), st.text(st.characters()))
def test_texts_have_equal_spellings_exactly_if_they_are_equal(one, other):
    assert canonical("text", one) == canonical("text", Text(one))
    assert (canonical("text", one) == canonical("text", other)) == (one == other)


@given(st.sampled_from(sorted(CANONICAL)), st.text(st.characters(), max_size=200))
def test_a_spelling_is_short_and_plain_or_there_is_none(kind, value):
    try:
        spelled = canonical(kind, value)
    except (ValueError, TypeError):
        return
    assert spelled.isascii()
    assert not set(spelled) & set(" :*@#\n")
    if kind == "text":
        assert len(spelled) <= 40


def test_null_is_no_text_and_the_text_null_is_not_null():
    assert {canonical(kind, None) for kind in CANONICAL} == {"NULL"}
    assert canonical("text", "NULL") != "NULL"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", 1.5),
        ("integer", float("nan")),
        ("integer", float("inf")),
        ("integer", "1.5"),
        ("integer", "abc"),
        ("integer", []),
        ("boolean", 2),
        ("boolean", "yes"),
        ("text", 5),
        ("text", b"a"),
        ("uuid", "abc"),
        ("date", datetime.datetime(2026, 1, 1)),
        ("date", "2026-13-01"),
        ("date", 5),
    ],
)
def test_a_value_that_is_not_of_its_kind_has_no_spelling(kind, value):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        canonical(kind, value)


# -- named tags -----------------------------------------------------------------------------


def test_a_named_tag_belongs_to_its_family():
    assert named_tags("catalog") == ("#", "#catalog")
    assert named_tags("catalog", 5) == ("#", "#catalog", "#catalog:5")
    assert standing_tags(tag("catalog", 5)) == named_tags("catalog", 5)
    assert standing_tags(tag("catalog")) == named_tags("catalog")
    assert tag("catalog", 5) == "#catalog:5"
    assert tag("catalog") == tag("catalog", ANY) == tag("catalog", 5, ANY) == "#catalog"


class Row:
    pk = 5


@given(st.lists(st.none() | st.booleans() | st.integers() | st.text() | st.uuids(), max_size=3))
def test_a_writer_names_one_of_the_tags_that_an_entry_of_the_same_arguments_carries(arguments):
    carried = named_tags("catalog", *arguments)
    assert tag("catalog", *arguments) in carried
    assert tag("catalog", ANY) in carried
    assert all(label_of(name) in ("#", "#catalog") for name in carried)


def test_an_argument_may_be_given_as_the_instance_or_as_its_key():
    assert tag("catalog", Row()) == tag("catalog", 5) == tag("catalog", "5")
    key = uuid.uuid4()
    assert tag("catalog", key) == tag("catalog", key.hex)


@given(st.text(min_size=1), st.text(min_size=1))
def test_arguments_are_never_run_together(one, other):
    joined = tag("catalog", f"{one}:{other}")
    assert joined != tag("catalog", one, other)
    assert joined.isascii()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("shop.product@3f2a", "shop.product"),
        ("shop.product@3f2a:pk=7", "shop.product"),
        ("#catalog", "#catalog"),
        ("#catalog:5:6", "#catalog"),
    ],
)
def test_a_tag_tells_whose_it_is(name, label):
    assert label_of(name) == label


TAGS = ["shop.product@3f2a", "shop.product@3f2a:pk=7", "shop.productline@3f2a:pk=7"]
TAGS += ["#", "#catalog", "#catalog:5:6", "#catalogue:5"]


@pytest.mark.parametrize("label", {*map(label_of, TAGS), "shop.order", "#other"})
def test_tags_are_counted_by_whose_they_are(label):
    assert count_of(label, TAGS) == [label_of(name) for name in TAGS].count(label)


def test_tags_are_gathered_by_their_guards_in_their_order():
    found = by_guard(TAGS)
    assert found == {
        guard: [name for name in TAGS if guard_of(name) == guard] for guard in map(guard_of, TAGS)
    }
    assert found["#"] == TAGS[3:]


class Slug(str, enum.Enum):  # noqa: UP042 - whose `str()` is "Slug.A"
    A = "a"


class Number(int, enum.Enum):
    FIVE = 5


class Masked(str):
    def __str__(self):
        return "***"


@pytest.mark.parametrize("text", [Slug.A, Masked("a")])
@pytest.mark.parametrize("kind", ["text", "secret"])
def test_a_text_is_spelled_by_what_it_holds(text, kind):
    assert canonical(kind, text) == canonical(kind, "a")
    assert tag("catalog", text) == tag("catalog", "a")


def test_so_is_a_number():
    assert canonical("integer", Number.FIVE) == canonical("integer", 5)
    assert tag("catalog", Number.FIVE) == tag("catalog", 5)
