"""Where coarse writes come from: the call that could have told its rows, and what would do it."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.translation import gettext_lazy as _


class CallSite(NamedTuple):
    """One place that writes. ``site`` is ``module:line``, empty where it is not known."""

    source: str
    site: str

    @property
    def advice(self) -> str:
        """What to do so that this place invalidates row by row."""
        return str(_ADVICE.get(self.source, _ELSE))


_ELSE = _("Where it happens often, write through Django's models.")
_ADVICE = {
    "save": _("Nothing to do here: only PostgreSQL tells what an UPDATE has overwritten."),
    "bulk": _(
        "Upserts tell their rows on PostgreSQL 18, bulk_update() on every PostgreSQL, and "
        "bulk_create() wherever the database can return what it inserts."
    ),
    "update": _("Only PostgreSQL tells the old values of an update()."),
    "delete": _("Let Django cascade (CASCADE): what the database deletes by itself is not told."),
    "m2m": _("Nothing to do: this database does not return the links that are made."),
    "migration": _("Nothing to do: migrations are rare."),
    "raw SQL": _(
        "Write through Django's models where it matters: SQL tells its table, not its rows."
    ),
}
