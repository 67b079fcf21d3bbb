"""What a price is in dollars, as another service says.

The service is a play, so that the demo needs no network: a file in its folder says how the service
behaves, and another one notes who has called.
"""

import json
import os
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from cachepatterns import cached
from cachepatterns.exceptions import BackedOff
from shop.home import home
from shop.switches import is_on

USUAL = {"USD": "1.10"}


class RateLimited(Exception):
    """The service has been asked too often."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"ask again in {retry_after} s")
        self.retry_after = retry_after


def behaviour_file() -> Path:
    return home() / "rates.json"


def calls_file() -> Path:
    return home() / "rates.calls"


def ask(currency: str) -> Decimal:
    """What the service says a euro is worth; raises `RateLimited` or `OSError`."""
    behaviour: dict[str, Any] = {}
    if behaviour_file().exists():
        behaviour = json.loads(behaviour_file().read_text())
        with calls_file().open("a") as calls:
            calls.write(f"{os.getpid()}\n")
    if "retry_after" in behaviour:
        raise RateLimited(behaviour["retry_after"])
    return Decimal(behaviour.get(currency) or USUAL[currency])


@cached(key="rate:{currency}", ttl=600, timeout=2.0, backoff=RateLimited)
def exchange_rate(currency: str) -> Decimal:
    """What a euro is worth."""
    return ask(currency)


_rate = exchange_rate if is_on("computed") else exchange_rate.uncached


def in_dollars(amount: Decimal) -> Decimal | None:
    """About as much in dollars; `None` where nobody can tell just now."""
    try:
        return (amount * _rate("USD")).quantize(Decimal("0.01"), ROUND_HALF_UP)
    except (RateLimited, BackedOff, OSError):  # which a timeout is, too
        return None
