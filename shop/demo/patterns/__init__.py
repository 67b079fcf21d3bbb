"""`manage.py demo --patterns`: each pattern performed in the shop, over HTTP, on real servers.

One module a pattern, found by being in this folder. It defines

    PATTERN = Pattern(
        number=5,
        name="explicit",
        title="Explicit invalidation",
        without="the supplier's price is .*, pages show",
        perform=perform,
    )

where ``perform(stage)`` plays the pattern's scene and returns a `Played`: the counters it saw, the
SQL statements it spared, and its *bad interleaving*, which it forces step by step with an `Actor`
(one more process of the shop that pauses where the scene says). It raises `Failed` where the
pattern does not do what it is for. The shop asks ``shop.switches.is_on(name)`` wherever it uses
the pattern, so that ``--without name`` makes just this line fail, with the complaint that
``without`` describes.

A scene leaves the shop as others may find it: it waits for conditions, never for a time, and takes
products of its own (`Stage.product`).
"""

import pkgutil
from importlib import import_module

from shop.demo.patterns.pattern import Failed, Pattern, Played
from shop.demo.patterns.stage import Stage

__all__ = ["Failed", "Pattern", "Played", "Stage", "patterns"]


def patterns() -> list[Pattern]:
    """All of them, by number."""
    modules = (
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    return sorted(
        (module.PATTERN for module in modules if hasattr(module, "PATTERN")),
        key=lambda pattern: pattern.number,
    )
