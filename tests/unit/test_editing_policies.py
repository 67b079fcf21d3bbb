"""A policy's source is changed where it must be, and stays as it was everywhere else."""

import ast

import pytest

from cachepatterns.advising.editing import NotFound, with_attributes, with_class_of_its_own

SOURCE = '''"""Policies."""

from cachepatterns import ModelPolicy, register
from app import models
from app.models import A, B, C


@register(A)
class APolicy(ModelPolicy):
    """What A is."""

    tier = "static"  # for good reasons
    narrow_by_only = [
        "name",
    ]

    def affects(self, change):
        yield "x"


@register(B, models.C)
class Shared(ModelPolicy):
    tier = "volatile"


@register(A)
class Bare(ModelPolicy):
    """Nothing but words."""


class Empty(ModelPolicy):
    pass


class Rules(ModelPolicy):
    @staticmethod
    def affects(change):
        return ()
'''


def attributes(text: str, name: str) -> dict[str, object]:
    (found,) = [n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == name]
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in found.body
        if isinstance(statement, ast.Assign)
    }


def test_an_attribute_is_replaced_where_it_stands():
    text = with_attributes(SOURCE, "APolicy", {"tier": "never"})
    assert attributes(text, "APolicy")["tier"] == "never"
    assert text.replace('tier = "never"', 'tier = "static"  # for good reasons') == SOURCE


def test_one_of_several_lines_is_taken_out_whole():
    text = with_attributes(SOURCE, "APolicy", {"narrow_by": ["a", "b"]}, ("narrow_by_only",))
    assert attributes(text, "APolicy") == {"tier": "static", "narrow_by": ["a", "b"]}


@pytest.mark.parametrize("name", ["Bare", "Empty", "Rules"])
def test_a_class_without_attributes_gets_one(name):
    assert attributes(with_attributes(SOURCE, name, {"tier": "never"}), name) == {"tier": "never"}


def test_a_class_that_loses_its_only_attribute_is_still_one():
    assert attributes(with_attributes(SOURCE, "Shared", {}, ("tier",)), "Shared") == {}


@pytest.mark.parametrize(("model", "left"), [("B", "models.C"), ("C", "B")])
def test_a_model_that_shares_its_class_gets_one_of_its_own(model, left):
    text = with_class_of_its_own(SOURCE, "Shared", model, {"tier": "never"})
    assert f"@register({left})\nclass Shared(ModelPolicy):" in text
    assert f"class {model}Policy(Shared):" in text
    assert attributes(text, f"{model}Policy") == {"tier": "never"}
    assert attributes(text, "Shared") == {"tier": "volatile"}


def test_what_can_not_be_found_is_said_to_be():
    with pytest.raises(NotFound):
        with_attributes(SOURCE, "Nobody", {"tier": "never"})
    with pytest.raises(NotFound):
        with_class_of_its_own(SOURCE, "Shared", "A", {"tier": "never"})
