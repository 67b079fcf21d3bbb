"""Stamps: the random tokens under which tags stand.

Random, never a clock and never a counter: a failover may roll those back and make an
old stamp valid again. Twelve ASCII bytes hold 72 random bits.
"""

from __future__ import annotations

import base64
import os

STAMP_BYTES = 12


def new_stamp() -> bytes:
    """A stamp that has never been used before."""
    return base64.urlsafe_b64encode(os.urandom(9))
