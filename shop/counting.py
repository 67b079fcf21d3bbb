"""What the shop counts: written behind, so that no visitor waits for a statement."""

from typing import Any

from cachepatterns import increment, record_event, with_pending
from shop.models import Product, SearchEvent
from shop.switches import is_on


def viewed(product: Product) -> int | None:
    """Count a visit of the product's page; how many there were, this one included."""
    if not is_on("write-behind"):
        return None
    increment(product, view_count=1)
    [counted] = with_pending([product])
    views: int = counted.counted.view_count  # type: ignore[attr-defined]
    return views


def searched(words: str, context: dict[str, Any]) -> None:
    """Note what was looked for, and how much was found."""
    if is_on("write-behind"):
        record_event(SearchEvent, words=words, results=context["page"].paginator.count)
