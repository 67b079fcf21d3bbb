"""Everything that can be asked, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Iterator

from cachepatterns.live.behind import behind_findings
from cachepatterns.live.databases import timeout_findings
from cachepatterns.live.finding import Finding, State
from cachepatterns.live.ours import guard_findings, trigger_findings
from cachepatterns.live.outbox import outbox_findings
from cachepatterns.live.server import server_findings
from cachepatterns.live.texts import text_findings
from cachepatterns.live.unseen import unseen_findings
from cachepatterns.stats.buckets import DEFAULT_PERIOD
from cachepatterns.stats.report import report
from cachepatterns.stats.verdicts import Level


def examine() -> Iterator[Finding]:
    """All findings, good ones too; never raises for what a server does."""
    yield from server_findings()
    yield from guard_findings()
    yield from timeout_findings()
    yield from text_findings()
    yield from unseen_findings()
    yield from trigger_findings()
    yield from outbox_findings()
    yield from behind_findings()
    yield from _verdicts()


def _verdicts() -> Iterator[Finding]:
    """What does not earn its keep, by the numbers of the last hours."""
    found = report(DEFAULT_PERIOD)
    if found.trouble:
        return  # the server's own finding
    judged = found.attention
    for item in judged:
        name = f"{item.label} {getattr(item, 'pattern', '')}".strip()
        hurting = item.verdict.level is Level.HURTING
        yield Finding(
            topic="verdicts",
            state=State.WARNING if hurting else State.NOTE,
            text=f"{name}: {item.verdict.level.title}"
            + "".join(f"; {reason.seen}" for reason in item.verdict.reasons),
            hint=" ".join(str(reason.fix) for reason in item.verdict.reasons)
            + f" manage.py cache_advise {item.label} proposes a change.",
        )
    if not judged:
        text = f"Nothing that was read in the last {found.period.name} needs attention"
        yield Finding(topic="verdicts", state=State.OK, text=text)
