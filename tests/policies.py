"""Policies that are other than declared for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cachepatterns.registry import site


@contextmanager
def policy_of(model: Any, **attributes: object) -> Iterator[None]:
    """Give the policy of `model` these attributes.

    What was worked out from the policy before, and within, is forgotten: plans would
    otherwise carry it into whichever test comes next.
    """
    policy = site.policy_for(model)
    assert policy is not None
    with pytest.MonkeyPatch.context() as patch:
        for name, value in attributes.items():
            patch.setattr(type(policy.policy), name, value)
        site.forget()
        try:
            yield
        finally:
            patch.undo()
            site.forget()
