"""``python -m tests.benchmarks [--quick] [--budget] [--case …] [--scenario …] [--contender …]``"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.budget import HITS
from tests.benchmarks.budget import as_markdown as budget_table
from tests.benchmarks.cases import CASES
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.crew import crew, is_installed
from tests.benchmarks.placing import is_possible
from tests.benchmarks.rounds import run
from tests.benchmarks.scenarios import compression, growth, herd, memory, mixed, writing

SCENARIOS: dict[str, Callable[..., Any]] = {
    "growth": growth.run,
    "herd": herd.run,
    "mixed": mixed.run,
    "memory": memory.run,
    "compression": compression.run,
    "writing": writing.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description="Ratios of one run.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a minute")
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="only this one")
    parser.add_argument("--contender", action="append", choices=list(CONTENDERS))
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS))
    parser.add_argument("--queries", type=int, default=0, help="how many `memory` asks")
    parser.add_argument("--apart", action="store_true", help="servers on other CPUs in all rounds")
    parser.add_argument("--budget", action="store_true", help="where the time of a hit goes")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    asked = parser.parse_args()
    if asked.json and (problem := why_not_written(asked.json)):
        parser.error(f"--json {asked.json}: {problem}")
    if asked.budget:
        if unknown := [title for title in asked.case or () if title not in HITS]:
            parser.error(f"--budget has only hits, not {', '.join(unknown)}")
        if asked.json or asked.scenario or asked.contender:
            parser.error("--budget goes with --case alone")
        with crew(["cachepatterns"]) as found:
            tell = found.workers["cachepatterns"].tell
            print(budget_table({t: tell("budget", case=t) for t in asked.case or HITS}))
        return
    if asked.apart and not is_possible():
        parser.error("--apart needs Linux, and two CPUs")
    names = asked.contender or list(CONTENDERS)
    for name in list(names):
        if not is_installed(CONTENDERS[name]):
            sys.stderr.write(f"{name} is left out: {CONTENDERS[name].package} is missing\n")
            names.remove(name)
    rounds, seconds, rows = (2, 0.1, 300) if asked.quick else (12, 0.4, 5000)
    everything = not (asked.case or asked.scenario)
    cases = [CASES[title] for title in (CASES if everything else asked.case or ())]
    if cases and "uncached" not in names:
        parser.error("cases need --contender uncached: all answers are compared with its")
    wanted = list(SCENARIOS) if everything else asked.scenario or []
    figures: dict[str, Any] = {}
    with crew(names) as found:
        if cases:
            outcome = run(cases, found.workers, rounds, seconds, rows, apart=asked.apart)
            print(report.as_markdown(outcome, names), flush=True)
            figures = report.as_json(outcome)
        for name in wanted:
            sys.stderr.write(f"{name} …\n")
            more = {"queries": asked.queries} if name == "memory" else {}
            table = SCENARIOS[name](found, quick=asked.quick, **more)
            print(f"\n{table.as_markdown()}", flush=True)
            figures[name] = table.figures
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")


def why_not_written(path: Path) -> str:
    """Why `path` can not be written; empty if it can. A run takes a quarter of an hour."""
    if path.is_dir():
        return "is a directory"
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}"
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return "can not be written"
    return ""


if __name__ == "__main__":
    main()
