"""How many reads a run answered, and how: a run that never hit has proved nothing."""

from collections import Counter

from cachepatterns import observe
from cachepatterns.observe import Event, ReadEvent


def subscribe() -> Counter[str]:
    """The reads from now on, by their outcome, and its reason where it has one."""
    outcomes: Counter[str] = Counter()

    def count(event: Event) -> None:
        if isinstance(event, ReadEvent):
            outcomes[event.outcome] += event.count
            if event.reason:
                outcomes[f"{event.outcome}: {event.reason}"] += event.count

    observe.subscribe(count)
    return outcomes
