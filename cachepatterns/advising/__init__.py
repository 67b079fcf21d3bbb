"""When not to cache: from what was measured to the change of a policy that would mend it."""

from __future__ import annotations

from cachepatterns.advising.advice import Advice, advise
from cachepatterns.advising.changes import Change
from cachepatterns.advising.diffs import Proposals, proposals

__all__ = ["Advice", "Change", "Proposals", "advise", "proposals"]
