"""Public signals, for code that wants to know what the cache did.

``invalidated`` is sent after tags have been bumped, with ``tags`` (a frozenset of tag
strings), ``source`` (``"save"``, ``"update"``, ``"raw SQL"``, …) and ``using`` (the
database alias, or ``None`` where no database was written). Receivers that raise are
logged; they can not undo a write that has been committed.
"""

from django.dispatch import Signal

invalidated = Signal()
