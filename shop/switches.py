"""What the shop does without, so that anybody can see what it was good for.

``SHOP_WITHOUT=herd,write-through`` in the environment switches these patterns off in whatever is
started with it; ``all`` is every one. The names are those that `manage.py demo --patterns` prints.
"""

import os

WRONG_POLICIES = "SHOP_WRONG_POLICIES"


def is_on(name: str) -> bool:
    """Whether the shop uses the pattern `name`."""
    off = os.environ.get("SHOP_WITHOUT", "").split(",")
    return name not in off and "all" not in off


def has_wrong_policies() -> bool:
    """Whether the shop has two policies that the advisor is to find (`shop.wrong`)."""
    return os.environ.get(WRONG_POLICIES) == "1"
