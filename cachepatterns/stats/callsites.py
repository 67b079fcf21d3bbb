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


_ELSE = _("Where it happens often, write through a CachedManager.")
_ADVICE = {
    "save": _(
        "Make a CachedManager the base manager (Meta.base_manager_name), or set "
        'managers = "all". Only PostgreSQL tells the old values of an update.'
    ),
    "bulk": _(
        "Call it on a CachedManager. Upserts invalidate the whole model: their old values are "
        "not known."
    ),
    "update": _(
        "Call update() on a CachedManager. Only PostgreSQL tells the old values of an update."
    ),
    "delete": _("Let Django cascade (CASCADE): what the database deletes by itself is not told."),
    "m2m": _('Set managers = "all" for the through table.'),
    "migration": _("Nothing to do: migrations are rare."),
    "raw SQL": _(
        "Write through a CachedManager where it matters: SQL tells its table, not its rows."
    ),
}
