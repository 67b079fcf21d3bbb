"""The protocol with one thing wrong, each in the smallest setting that shows it.

`CAUGHT`, `FLAWS` and `LIMITS` must each yield a counter-example. `FLAWS` are no slips of an
implementer, but what the protocol itself said before it was explored; `LIMITS` are what it needs
of its surroundings. What looks dangerous and is not stands in `harmless.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.protocol.setting import Protocol, Setting

TRANSACTION, AUTOCOMMIT, EVENTUAL = "transaction", "autocommit", "eventual"
FORESEES, STAYS = "foreseeing", "staying"


@dataclass(frozen=True, slots=True)
class Mutation:
    name: str
    setting: Setting
    why: str

    @property
    def sound(self) -> Setting:
        """The same, with nothing wrong; for eventual writers that includes an outbox."""
        outbox = self.setting.protocol.outbox or EVENTUAL in self.setting.kinds
        away = "write" if outbox else "refuse"
        life = self.setting.protocol.life
        protocol = Protocol(life=life, outbox=outbox, away_at_fence=away)
        return replace(self.setting, protocol=protocol)


def mutation(
    name: str,
    why: str,
    *kinds: str,
    faults: str = "",
    lookups: bool = True,
    rows: bool = False,
    **switches: bool | int | str,
) -> Mutation:
    kinds = kinds or (TRANSACTION, TRANSACTION)
    happens = frozenset(faults.split())
    setting = Setting(Protocol(**switches), kinds, happens, lookups=lookups, rows=rows)
    return Mutation(name, setting, why)


CAUGHT = (
    mutation(
        "no fence",
        "between COMMIT and bump the old entry is still valid",
        fences=False,
    ),
    mutation(
        "stamps read after the query",
        "the stamps are newer than the value they vouch for",
        stamps_before_query=False,
    ),
    mutation(
        "release removes every fence",
        "the other writer is not done",
        release_removes="all",
    ),
    mutation(
        "release leaves stamps",
        "FENCE ALL has deleted none, so the old entry is valid again",
        AUTOCOMMIT,
        AUTOCOMMIT,
        release_bumps=False,
    ),
    mutation(
        "fence leaves stamps",
        "fenced tags stop minting, not hits",
        fence_bumps=False,
    ),
    mutation(
        "no quarantine when the guard is missing",
        "a lost fence looks like no fence",
        faults="evict",
        quarantine=False,
    ),
    mutation(
        "guard read last, on its own",
        "valid stamps of before the release, free guard of after it",
        AUTOCOMMIT,
        AUTOCOMMIT,
        lookup="guard last",
    ),
    mutation(
        "no incarnation check",
        "the replica never got the fence",
        faults="failover",
        incarnation="unchecked",
    ),
    mutation(
        "unknown COMMIT taken for a rollback",
        "it may still reach the database",
        faults="unknown",
        unknown_commit="released",
    ),
    mutation(
        "an interrupted autocommit statement taken for a rollback",
        "any exception that is not the database's own 'no' leaves the outcome unknown",
        AUTOCOMMIT,
        AUTOCOMMIT,
        faults="unknown",
        unknown_commit="released",
    ),
    mutation(
        "a refused reader stores late",
        "the fence is gone when it stores, the value is from before",
        doomed_store="late",
    ),
    mutation(
        "fence == fence: refused readers share a load",
        "the load began before the commit, the second read after it",
        doomed_share=True,
    ),
    mutation(
        "purge without bump",
        "the writer that would have bumped is dead",
        AUTOCOMMIT,
        AUTOCOMMIT,
        faults="crash",
        purge_bumps=False,
    ),
    mutation(
        "minting puts back what the lookup saw",
        "a deleted stamp stands again, and with it what carries it",
        mint="restore",
        held_by_lookup=False,
    ),
    mutation(
        "release at the end of a savepoint",
        "others load and keep the old row before the outer COMMIT",
        release_when="savepoint",
    ),
    mutation(
        "bump before COMMIT only",
        "the same, and nobody corrects it",
        release_when="before commit",
    ),
    mutation(
        "bump before the autocommit statement only",
        "the same",
        AUTOCOMMIT,
        AUTOCOMMIT,
        release_when="before commit",
    ),
    mutation(
        "old value from the instance",
        "another writer has moved the row since it was loaded",
        old_values="instance",
    ),
    mutation(
        "one deadline for the whole guard",
        "a dead writer's deadline ends the fence of a living one",
        life=2,
        purge_takes="all",
    ),
    mutation(
        "the guard expires with a fence's life",
        "safe, as an eviction is; but it ends together with its quarantine, so nobody hits again",
        guard_ttl=True,
    ),
    mutation(
        "a transaction stores what it reads after its own write",
        "nobody has committed that",
        faults="evict",
        publishes_own=True,
    ),
)

FLAWS = (
    mutation(
        "who meets a fence runs no script",
        "nobody creates the guard, nobody purges an ALL fence: no hit ever again",
        doomed_tends=False,
    ),
    mutation(
        "quarantine keeps the model's stamp, guard evicted",
        "the ALL fence that was lost is purged by nobody: its bump is lost with it",
        AUTOCOMMIT,
        AUTOCOMMIT,
        faults="evict crash",
        quarantine_bumps_model=False,
    ),
    mutation(
        "quarantine keeps the model's stamp, failover, autocommit",
        "the guard that comes back knows no FENCE ALL, the RELEASE is lost next: nobody bumps",
        AUTOCOMMIT,
        AUTOCOMMIT,
        faults="failover",
        quarantine_bumps_model=False,
    ),
    mutation(
        "quarantine keeps the model's stamp, failover, transaction",
        "the replica still has the stamps that the lost FENCE had deleted",
        faults="failover crash",
        quarantine_bumps_model=False,
    ),
    mutation(
        "incarnation is the server's run_id",
        "a failover and a failback later the id is the old one, the fence is not",
        faults="failover",
        incarnation="process",
    ),
)

FORESEEING = (
    mutation(
        "what was foreseen is taken for all",
        "the row stood in another list, whose readers nobody keeps away",
        FORESEES,
        foreseen="taken for all",
    ),
    mutation(
        "what was foreseen long ago still counts",
        "the transaction has begun since, and outlives its registration",
        FORESEES,
        late_foresight="kept",
    ),
)
"""Writers in a transaction that register before their statement what they most likely touch."""

STAYING = (
    mutation(
        "the row's entry is not asked where it is",
        "the row stood in another list, whose readers nobody keeps away",
        TRANSACTION,
        STAYS,
        rows=True,
        lookups=False,
        staying="believed",
    ),
    mutation(
        "while a row stays, others' lists are minted for",
        "another writer moves the row there, and this one moves it back",
        TRANSACTION,
        STAYS,
        rows=True,
        lookups=False,
        staying_mints="unnamed",
    ),
    mutation(
        "the same, beside a statement",
        "the same",
        AUTOCOMMIT,
        STAYS,
        rows=True,
        lookups=False,
        staying_mints="unnamed",
    ),
)
"""Writers in autocommit that leave the row in the list that it is in, and close no other."""

LIMITS = (
    mutation(
        "Redis is away at the fence, the write goes on",
        "policy `database` without an outbox: until its bump, or for good",
        faults="away",
        away_at_fence="write",
    ),
    mutation(
        "the database does not end transactions",
        "a paused writer outlives its fence",
        transactions_end=False,
    ),
    mutation(
        "an autocommit statement may be late",
        "no transaction is open between FENCE ALL and the statement that could be ended",
        AUTOCOMMIT,
        AUTOCOMMIT,
        statements_in_time=False,
    ),
)


def outbox_mutation(
    name: str,
    why: str,
    kind: str,
    *,
    faults: str = "",
    relays: int = 1,
    **switches: bool | int | str,
) -> Mutation:
    """With one writer and one reader: what is wrong here needs no more."""
    found = mutation(
        name,
        why,
        kind,
        faults=faults,
        lookups=False,
        **{"outbox": True, "away_at_fence": "write", **switches},
    )
    return replace(found, setting=replace(found.setting, readers=1, relays=relays))


OUTBOX = (
    outbox_mutation(
        "the lease is not looked at",
        "a writer cut off from Redis has told nobody, and the relay has not looked yet",
        TRANSACTION,
        faults="away",
        lease_checked=False,
    ),
    outbox_mutation(
        "the lease counts from its renewal",
        "the relay was paused since it asked, and a writer cut off has committed meanwhile",
        TRANSACTION,
        faults="away",
        lease_from="its renewal",
    ),
    outbox_mutation(
        "the time is asked for after the outbox",
        "the same, and the pause lies between the two questions",
        TRANSACTION,
        faults="away",
        lease_from="after the question",
    ),
    outbox_mutation(
        "what another relay holds counts as delivered",
        "it holds the event, and has not bumped yet",
        EVENTUAL,
        relays=2,
        lease_needs="own batch",
    ),
    outbox_mutation(
        "a relay marks before it bumps",
        "it dies in between, and no other one looks at the event again",
        EVENTUAL,
        faults="crash",
        delivery="mark, bump",
    ),
    outbox_mutation(
        "the event is recorded after the COMMIT",
        "the writer dies in between, and nobody knows",
        EVENTUAL,
        faults="crash",
        event_when="after commit",
    ),
    outbox_mutation(
        "the mark is left before the COMMIT",
        "it vouches for a bump that nobody has made",
        EVENTUAL,
        faults="crash",
        mark_when="before commit",
    ),
    outbox_mutation(
        "no outbox, and an eventual writer dies",
        "what eventual means without one: until the TTL",
        EVENTUAL,
        faults="crash",
        outbox=False,
    ),
)

BROKEN = (*CAUGHT, *FLAWS, *LIMITS, *OUTBOX)
