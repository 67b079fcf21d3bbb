"""Public signals, for code that wants to know what the cache did.

``invalidated`` is sent after tags have been bumped, in the process that bumped them (a relay,
for what nobody else could), with

* ``tags``, a frozenset of tag strings, and ``labels``, one of the models and families of named
  tags that they belong to (``"shop.product"``, ``"#catalog"``);
* ``source``: ``"save"``, ``"update"``, ``"raw SQL"``, …;
* ``using``: the database alias, or ``None`` where no database was written;
* ``delivered``: false where Redis did not answer, and the bump is owed.

Never before the commit. Receivers that raise are logged; they can not undo a write that has been
committed.

``stale_hit`` is sent by ``SHADOW`` mode for a hit that differed from the database and was not
outdated meanwhile, with ``label`` (``"shop.product"``), ``pattern``, ``key`` and ``difference``.
"""

from django.dispatch import Signal

invalidated = Signal()
stale_hit = Signal()
