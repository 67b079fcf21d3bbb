"""Visit every page twice and say whether each costs what it is declared to cost."""

import re
from collections.abc import Callable

from django.apps import apps

from shop.demo.visitor import Visit, Visitor
from shop.pages import PAGES, Page

LOGINS = {"customer": ("ada", "customer"), "staff": ("staff", "staff")}
ROW = "{:<58} {:<9} {:>6} {:>5} {:>7}  {}"


def check_pages(base: str, say: Callable[[str], object]) -> bool:
    """Print a line for each page's second visit, then what is wrong; return whether nothing is."""
    visitors = {"anybody": Visitor(base)}
    for name, login in LOGINS.items():
        visitors[name] = Visitor(base)
        visitors[name].login(*login)
    product = _some_product(visitors["anybody"])
    say(ROW.format("page", "visitor", "status", "SQL", "ms", "outcomes by pattern"))
    wrong = []
    for page in PAGES:
        path = page.path.format(product=product)
        first, second = (visitors[page.visitor].get(path) for _ in range(2))
        say(
            ROW.format(
                path,
                page.visitor,
                second.status,
                "-" if second.sql is None else second.sql,
                f"{second.seconds * 1000:.1f}",
                _outcomes(second),
            )
        )
        wrong += [f"{path} ({page.visitor}): {each}" for each in complaints(page, first, second)]
    for each in wrong:
        say(f"WRONG  {each}")
    say(f"{len(PAGES)} pages visited twice, {len(wrong)} complaints.")
    return not wrong


def complaints(page: Page, first: Visit, second: Visit) -> list[str]:
    """What is wrong with a page, in words."""
    found = [
        f"answered {visit.status} on its {nth} visit"
        for nth, visit in (("first", first), ("second", second))
        if visit.status != 200
    ]
    if not apps.is_installed("cachepatterns"):
        return found
    if page.cached and not second.total("hit"):
        found.append("nothing was a hit on the second visit")
    if second.total("error"):
        found.append(f"{second.total('error')} cache errors")
    if page.sql is not None:
        if second.sql is None:
            found.append("the server does not say how many SQL statements it took")
        elif second.sql != page.sql:
            found.append(f"{second.sql} SQL statements on the second visit, not {page.sql}")
    return found


def _some_product(visitor: Visitor) -> str:
    found = re.search(r'/product/([\w-]+)/"', visitor.get("/category/armchairs/").body)
    return found.group(1) if found else "no-product-in-armchairs"


def _outcomes(visit: Visit) -> str:
    return "; ".join(
        f"{pattern} " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        for pattern, counts in sorted(visit.outcomes.items())
    )
