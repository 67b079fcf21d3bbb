"""Whatever is asked, and whatever was written before: the cache answers like the database.

``DIFFERENTIAL_STEPS`` sets the length of a run, ``DIFFERENTIAL_SEED`` repeats one.
"""

import os
import random

import pytest

from tests.differential.harness import Harness

STEPS = int(os.environ.get("DIFFERENTIAL_STEPS", "2000"))
DATABASES = pytest.mark.parametrize("using", ["default", "sqlite"])
pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.usefixtures("both_databases"),
]


@pytest.mark.slow
@DATABASES
def test_random_questions_between_random_writes_are_answered_like_by_the_database(using):
    seed = int(os.environ.get("DIFFERENTIAL_SEED", random.SystemRandom().getrandbits(32)))
    print(f"\n{using}: seed {seed}, {STEPS} steps")
    harness = Harness(using, seed)
    harness.run(STEPS)
    print(harness.table())
    print(dict(harness.writes))
    never = [kind.name for kind in harness.kinds if harness.is_unproven(kind)]
    assert not never, f"never answered from the cache: {never}"
    assert set(harness.writers) == set(harness.writes)
