"""Plays a trace of the model with the real code: real threads, connections, servers, faults.

Each move of the trace has its actor go on from the point of that name. The real code may have
gone another way than the model (a mutation's trace, played with the code that lacks the
mutation, has readers mint who are refused): then whoever has not come to the point yet goes on
until he has passed it, and for whoever is past it already there is nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, connection, transaction

from cachepatterns.backends.store import current_store
from cachepatterns.write.delivery import Delivery
from tests.app.models import Category
from tests.events import outcome_of
from tests.protocol.moves import READERS, RELAYS, WRITERS, Move, Point
from tests.protocol.mutations import EVENTUAL
from tests.protocol.replay import relays
from tests.protocol.replay.actors import Actor
from tests.protocol.replay.likeness import of_server, of_state
from tests.protocol.replay.places import LIFE, Pair, Server, Table
from tests.protocol.replay.points import END, RANKS, Background, hold_connection
from tests.protocol.replay.quietness import Versions
from tests.protocol.replay.sessions import Severed, terminate
from tests.protocol.setting import Setting
from tests.protocol.state import NAMES, QUERIES, ROWS, Entry, State, shown


class RolledBack(IntegrityError):
    """The database refuses a statement of the transaction."""


class Replay:
    """One run of a trace. `violation` says what went wrong first, in the words of the model's
    invariants, and `after` how many moves."""

    def __init__(
        self, table: Table, server: Server, background: Background, setting: Setting
    ) -> None:
        self.table, self.server, self.background = table, server, background
        self.setting = setting
        self.tick = LIFE / setting.protocol.life
        self.violation, self.after = "", 0
        self.done: list[str] = []
        self.actors: dict[str, Actor] = {}
        self._everybody: list[Actor] = []
        self._versions = Versions(setting)
        self._left: dict[str, int] = {}
        self._since: dict[Actor, tuple[int, int]] = {}
        self._severed: dict[str, Severed] = {}
        self._crashed: set[str] = set()
        self._who_moves = ""
        eventual = zip(WRITERS, setting.kinds, strict=False)
        self._quiet = {name for name, kind in eventual if kind == EVENTUAL}
        """Writers of whom nobody need have heard when they commit."""

    def __str__(self) -> str:
        lines = [f"{number:3}. {move}" for number, move in enumerate(self.done, start=1)]
        return "\n".join([*lines, f"  => {self.violation or 'holds'} (after {self.after})"])

    # -- the whole of it -------------------------------------------------------------------

    def begin(self, *, warm: bool) -> None:
        self.table.reset()
        relays.forget_events()
        current_store().settle()  # what was sent comes before, and not after
        self.server.clear()
        if warm:
            current_store().declare_no_writers([self.server.keys.guard])
            self._relay()
            for query in QUERIES:
                self.table.ask(query)
        self._look()

    def play(self, trace: Sequence[tuple[Move, State]], *, compare: bool = False) -> None:
        """All moves, each followed by a look at what any reader would now be told."""
        lost = commands_lost(trace)
        for number, (move, state) in enumerate(trace[1:], start=1):
            if number in lost and isinstance(self.server, Pair):
                self.server.cut()
            more = any(later.point is Point.FAILOVER for later, _ in trace[number + 1 :])
            self.play_one(move, more)
            if compare and move.point is not Point.SHARE:  # the shared load has been stored too
                self.compare(state)

    def compare(self, state: State) -> None:
        """That the server holds what the model's state says."""
        tokens = {
            actor.notes["token"]: WRITERS.index(name)
            for name, actor in self.actors.items()
            if "token" in actor.notes
        }
        real = of_server(self.server, self.tick, tokens)
        assert real == of_state(state), f"\n{self}\nmodel {of_state(state)}\nreal  {real}"

    def play_one(self, move: Move, more: bool = False) -> None:
        self._who_moves = move.actor
        self._play(move, more)
        self._passed(str(move))

    def go_on(self) -> None:
        """Everybody who still stands somewhere goes on to his end."""
        for actor in list(self.actors.values()):
            if not actor.finished and actor.name not in self._crashed:
                self._who_moves = actor.name
                actor.finish()
                self._passed(f"{actor.name}: goes on to its end")

    def settle(self) -> None:
        """Nobody writes any more and time passes; then what is told is right, and hits."""
        for _ in range(3):
            for _ in range(self.setting.protocol.life):
                self.server.age(self.tick)
            current_store().tend([self.server.keys.guard])
        self._relay()
        self._versions.know_all()
        self.done.append("time passes, everybody looks")
        self._look()
        for query in QUERIES:
            self.table.ask(query)
            if outcome_of(lambda query=query: self.table.ask(query)) not in ("hit", "negative"):
                self._wrong(f"nobody will ever hit list {NAMES[query]} again")

    def _relay(self) -> None:
        """A round that nobody disturbs."""
        if self.setting.protocol.outbox:
            Delivery("default").round()

    def end(self) -> None:
        """Nobody is left standing, no session open."""
        for severed in self._severed.values():
            severed.lose()
        for actor in self._everybody:
            if not actor.finished:
                actor.unwind()
        for actor in self._everybody:
            actor.join()

    # -- moves -----------------------------------------------------------------------------

    def _play(self, move: Move, more: bool) -> None:
        if not move.actor:
            self._befalls(move, more)
        elif move.actor in WRITERS:
            self._writes(move)
        elif move.actor in RELAYS:
            self._relays(move)
        else:
            self._reads(move)

    def _reads(self, move: Move) -> None:
        if move.point is Point.LOOKUP:
            # Whoever has not ended his last read never will.
            actor = self._begin(move.actor, self._reader(move.on))
            self._since[actor] = (move.on, self._versions.oldest())
        else:
            actor = self.actors[move.actor]
        self._advance(actor, move.point)

    def _relays(self, move: Move) -> None:
        name, point = move.actor, move.point
        if name not in self.actors or self.actors[name].finished or name in self._crashed:
            self._crashed.discard(name)
            self._begin(name, relays.one_round)
        actor = self.actors[name]
        if point is Point.CRASH:
            self._crash(actor)
            return
        self._advance(actor, point)
        last = Point.DELIVERED
        if self.setting.protocol.delivery == "mark, bump":
            last = Point.BUMP
        if point in (last, Point.MARKS):
            self._versions.know_delivered(relays.delivered())

    def _writes(self, move: Move) -> None:
        name, point = move.actor, move.point
        if name not in self.actors:
            self._begin(name, self._writer(WRITERS.index(name)))
        actor = self.actors[name]
        if point in FATES:
            if (not actor.finished and name not in self._crashed) or point in LATER:
                FATES[point](self, actor)
            return
        if point is Point.STATEMENT and self._too_late(name):
            self._crash(actor)
            return
        if name in self._crashed:
            return
        if point is Point.RELEASE and actor.finished:  # it was rolled back
            self.background.release_abandoned(actor)
            return
        self._advance(actor, point)
        if point is Point.FENCE:
            self._left[name] = self.setting.protocol.life
        if point is Point.RELEASE and actor.finished:
            self._versions.know(name)

    def _befalls(self, move: Move, more: bool) -> None:
        keys = self.server.keys
        if move.point is Point.TIME:
            self._time_passes()
        elif move.point is Point.EVICT_GUARD:
            self.server.evict(keys.guard)
        elif move.point is Point.EVICT_STAMP:
            self.server.evict(keys.stamps[move.on])
        elif move.point is Point.EVICT_ENTRY:
            self.server.evict(keys.entries[move.on])
        elif move.point is Point.EVICT_LEASE:
            self.server.evict(relays.keys().lease)
        elif move.point is Point.EVICT_MARK:
            self.server.evict(relays.mark(self.actors[WRITERS[move.on]].notes["token"]))
        elif move.point is Point.FLUSH:
            self.server.clear()
        else:
            assert move.point is Point.FAILOVER
            assert isinstance(self.server, Pair)
            self.server.fail_over(again=more)

    def _advance(self, actor: Actor, point: Point) -> None:
        while not actor.finished and RANKS[actor.at] < RANKS[point]:
            actor.step()
        if actor.finished or RANKS[actor.at] != RANKS[point]:
            return
        if actor.at is Point.SHARE and point is Point.SHARE:
            self._share(actor)
        else:
            actor.step()

    def _share(self, actor: Actor) -> None:
        """It waits for the other's load, which lands when the other is through with it."""
        actor.let_go()
        for other in self.actors.values():
            if other is not actor and other.name.startswith("reader"):
                other.finish()
        actor.arrive()

    def _time_passes(self) -> None:
        self.server.age(self.tick)
        self._versions.tick()
        for actor in self.actors.values():
            if relays.is_relay(actor) and Point.CLOCK in actor.passed:
                actor.notes["aged"] = actor.notes.get("aged", 0.0) + self.tick
        for name, left in self._left.items():
            self._left[name] = max(0, left - 1)
            actor = self.actors[name]
            ends = self.setting.protocol.transactions_end and self._is_open(actor)
            if self._left[name] == 0 and ends:
                self._end_session(actor)

    def _is_open(self, actor: Actor) -> bool:
        """Whether its transaction is, for all that the database knows."""
        if self._kind(actor.name) != "transaction" or actor.name in self._crashed:
            return False
        return actor.name in self._severed or actor.at in OPEN

    def _end_session(self, actor: Actor) -> None:
        terminate(actor.notes["pid"])
        severed = self._severed.pop(actor.name, None)
        if severed:
            severed.lose()
        actor.finish()

    def _kind(self, name: str) -> str:
        return self.setting.kinds[WRITERS.index(name)]

    def _too_late(self, name: str) -> bool:
        return self.setting.protocol.statements_in_time and self._left.get(name) == 0

    # -- what becomes of a writer ----------------------------------------------------------

    def _renew(self, actor: Actor) -> None:
        self.background.renew(actor)
        self._left[actor.name] = self.setting.protocol.life

    def _crash(self, actor: Actor) -> None:
        """It is left standing where it is for ever, and its session dies with it."""
        self._crashed.add(actor.name)
        terminate(actor.notes["pid"])

    def _roll_back(self, actor: Actor) -> None:
        if self._kind(actor.name) == "autocommit":
            self._advance(actor, Point.FENCE)
            actor.notes["refused"] = (
                f"UPDATE app_category SET slug = 'replay-a' WHERE id = {self.table.row}"
            )
            actor.step()  # stands at its release now
            return
        actor.step(RolledBack)
        actor.finish()

    def _redis_away(self, actor: Actor) -> None:
        if self.setting.protocol.outbox:
            self._quiet.add(actor.name)
        actor.notes["away"] = True
        actor.step()
        self._left[actor.name] = self.setting.protocol.life

    def _lose_connection(self, actor: Actor) -> None:
        while actor.at not in (Point.COMMIT, Point.STATEMENT):
            actor.step()
        self._severed[actor.name] = Severed(actor.notes["driver"], actor.notes["pid"])
        actor.finish()
        self.background.release_abandoned(actor)

    def _reached(self, actor: Actor) -> None:
        severed = self._severed.pop(actor.name)
        if self._kind(actor.name) == "transaction":
            severed.arrive("COMMIT")
        else:
            severed.arrive(self.table.moving(*ROWS[WRITERS.index(actor.name) + 1]))

    def _not_reached(self, actor: Actor) -> None:
        self._severed.pop(actor.name).lose()

    def _own_read(self, actor: Actor) -> None:
        """It reads in its own transaction, before it has told the cache: so may a rule."""
        query = ROWS[WRITERS.index(actor.name) + 1][0]
        actor.do(lambda: self.table.ask(query))

    # -- actors ----------------------------------------------------------------------------

    def _begin(self, name: str, job: Callable[[Actor], Any]) -> Actor:
        def run(actor: Actor) -> Any:
            hold_connection(actor)
            return job(actor)

        actor = self.actors[name] = Actor(name, run, leave=lambda: connection.close())
        self._everybody.append(actor)
        return actor

    def _reader(self, query: int) -> Callable[[Actor], int]:
        return lambda actor: self.table.ask(query)

    def _writer(self, number: int) -> Callable[[Actor], None]:
        category, value = ROWS[number + 1]

        def update() -> None:
            found = Category.objects.filter(pk=self.table.row)
            found.update(parent=self.table.parents[category], name=f"v{value}")

        def in_transaction(actor: Actor) -> None:
            with transaction.atomic():
                with transaction.atomic():
                    update()
                actor.reach(END)

        if self.setting.kinds[number] == "autocommit":
            return lambda actor: update()
        return in_transaction

    # -- what must be true -----------------------------------------------------------------

    def _look(self) -> None:
        """Strict and never, asked of what any reader would be told now."""
        content, by = self.table.content(), self._who_moves
        self._versions.see(content, by=by, quietly=by in self._quiet)
        allowed = self._versions.contents[self._versions.oldest() :]
        for query in QUERIES:
            told = self.server.told(query)
            if told is not None and told not in {then[query] for then in allowed}:
                self._wrong(
                    f"any reader that looks up list {NAMES[query]} now is told {shown(told)}, "
                    f"the database has {shown(content[query])}"
                )

    def _passed(self, move: str) -> None:
        self.done.append(move)
        self._look()
        for actor in [actor for actor in self._since if actor.finished]:
            assert not actor.failed, f"{actor.name} failed: {actor.failed}"
            query, since = self._since.pop(actor)
            if actor.result not in {then[query] for then in self._versions.contents[since:]}:
                told = shown(actor.result)
                self._wrong(f"{actor.name} was told {told}: older than its read")

    def _wrong(self, what: str) -> None:
        if not self.violation:
            self.violation, self.after = what, len(self.done)


FATES: Mapping[Point, Callable[[Replay, Actor], None]] = {
    Point.RENEW: Replay._renew,
    Point.CRASH: Replay._crash,
    Point.ROLLBACK: Replay._roll_back,
    Point.AWAY: Replay._redis_away,
    Point.UNFENCED: Replay._redis_away,
    Point.UNKNOWN: Replay._lose_connection,
    Point.REACHED: Replay._reached,
    Point.NOT_REACHED: Replay._not_reached,
    Point.OWN_READ: Replay._own_read,
}
OPEN = {Point.EVENT, END, Point.COMMIT, Point.EARLY_RELEASE}
"""Where a transaction stands that the database may end."""
LATER = {Point.REACHED, Point.NOT_REACHED}
"""What happens to the session of a writer that has seen its connection die."""


def commands_lost(trace: Sequence[tuple[Move, State]]) -> set[int]:
    """The moves before which the replica must be cut off, so that a failover loses them."""
    cuts, changed = set(), list[int]()
    for number, (move, state) in enumerate(trace):
        if move.point is Point.FAILOVER:
            if move.on:
                cuts.add(changed[-move.on])
            changed = []
        elif number and _is_command(trace[number - 1][1], move, state):
            changed.append(number)
    return cuts


def _is_command(before: State, move: Move, after: State) -> bool:
    """Whether the model's Redis had something to tell its replica."""
    if move.point is Point.SET:
        # Of an entry that nobody can hit the model keeps no trace, but it was sent.
        reader = before.readers[READERS.index(move.actor)]
        return before.redis.entries[move.on] != Entry(reader.value, reader.held)
    return move.point is not Point.TIME and after.redis != before.redis
