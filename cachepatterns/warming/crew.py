"""Doing the jobs: by one thread or by several, at a pace, until they are done or time is up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db import connections

from cachepatterns import around, observe
from cachepatterns.backends.store import current_store
from cachepatterns.observe import PatternEvent, WarmEvent
from cachepatterns.policy import ResolvedPolicy
from cachepatterns.read import claim
from cachepatterns.warming.jobs import Job, declared_jobs
from cachepatterns.warming.notebook import Notebook
from cachepatterns.warming.pace import Pace
from cachepatterns.warming.warmed import Warmed, hear

Step = Callable[[str], object]


@dataclass(kw_only=True)
class Run:
    """How a warm-up went."""

    results: dict[str, Warmed] = field(default_factory=dict)
    interrupted: bool = False
    cache_failed: bool = False
    """The cache stopped answering: then every further job would only burden the database."""

    def of(self, label: str) -> Warmed:
        return self.results.setdefault(label, Warmed(label=label))


def run(
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    rate: float | None = None,
    deadline: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
    notebook: Notebook | None = None,
    step: Step | None = None,
    into: Run | None = None,
) -> Run:
    """Do `jobs`, until `deadline` on `clock`; at most `rate` loads a second.

    With several `workers` each has a thread, and a database connection, of its own. A job that
    raises is noted and the others go on. What `notebook` has noted is left out. Fills `into`, if
    given, as it goes; Ctrl-C is noted there too, when the jobs under way are done.
    """
    done = into or Run()
    todo: deque[Job] = deque()
    for job in jobs:
        if notebook is not None and job.name in notebook:
            done.of(job.label).skipped += 1
            if step is not None:
                step(job.label)
        else:
            done.of(job.label).left += 1
            todo.append(job)
    crew = _Crew(todo, done, Pace(rate), deadline, clock, notebook, step)
    observe.subscribe(hear)
    try:
        if workers == 1:
            crew.work()
        else:
            crew.work_together(min(workers, len(todo)))
    except KeyboardInterrupt:
        done.interrupted = True
    finally:
        observe.unsubscribe(hear)
        if notebook is not None:
            notebook.save()
    for warmed in done.results.values():
        observe.emit(WarmEvent(warmed.label, warmed.stored, warmed.already_warm))
        if warmed.stored:
            observe.emit(PatternEvent(warmed.label, "warmed", warmed.stored))
    return done


def warm(policy: ResolvedPolicy, *, batch_size: int = 0, workers: int = 1) -> Warmed:
    """Warm what one policy declares. Raises what its `warm()` does."""
    jobs = list(declared_jobs(policy, batch_size=batch_size))
    return run(jobs, workers=workers).of(policy.label)


def _wait_for(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)  # a join without end would not hear Ctrl-C everywhere


class _Crew:
    """Workers that take their jobs from one list."""

    def __init__(
        self,
        todo: deque[Job],
        done: Run,
        pace: Pace,
        deadline: float,
        clock: Callable[[], float],
        notebook: Notebook | None,
        step: Step | None,
    ) -> None:
        self._todo, self._done, self._pace = todo, done, pace
        self._deadline, self._clock = deadline, clock
        self._notebook, self._step = notebook, step
        self._stop = threading.Event()
        self._telling = threading.Lock()

    def work(self) -> None:
        """Do what is left, one thing after the other."""
        while not self._stop.is_set() and self._clock() < self._deadline:
            try:
                job = self._todo.popleft()
            except IndexError:
                return
            self._pace.take()
            self._do(job)
            if current_store().is_open:
                self._done.cache_failed = True
                self._stop.set()

    def work_together(self, workers: int) -> None:
        """The same by `workers` threads; raises `KeyboardInterrupt` when they have stopped."""
        threads = [
            threading.Thread(
                target=self._work_apart, name=f"cachepatterns-warm-{number}", daemon=True
            )
            for number in range(workers)
        ]
        try:
            for thread in threads:
                thread.start()
            _wait_for(threads)
        except KeyboardInterrupt:
            self._stop.set()
            _wait_for(threads)  # a second one is for who can not wait: they end with the process
            raise

    def _work_apart(self) -> None:
        try:
            self.work()
        finally:
            connections.close_all()

    def _do(self, job: Job) -> None:
        own = Warmed(label=job.label)
        operation = around.Operation(name="warm", label=job.label, keys=0)
        try:
            with own.told(), claim.eagerly:
                around.run(operation, lambda: job.do(own))
        except Exception as error:
            own.fail(error)
        else:
            if self._notebook is not None:
                self._notebook.note(job.name)
        own.asked, own.left = 1, -1
        if not own.stored:
            self._pace.give_back()
        with self._telling:
            done = self._done.of(job.label)
            done += own
            if self._step is not None:
                self._step(job.label)
