"""``python -m tests.benchmarks [--quick] [--case …] [--contender …] [--json FILE]``"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.cases import CASES
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.crew import crew, is_installed
from tests.benchmarks.rounds import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description="Ratios of one run.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute")
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="only this one")
    parser.add_argument("--contender", action="append", choices=list(CONTENDERS))
    parser.add_argument("--json", type=Path, help="write the figures there too")
    asked = parser.parse_args()
    names = asked.contender or list(CONTENDERS)
    for name in list(names):
        if not is_installed(CONTENDERS[name]):
            sys.stderr.write(f"{name} is left out: {CONTENDERS[name].package} is missing\n")
            names.remove(name)
    rounds, seconds, rows = (4, 0.15, 1000) if asked.quick else (12, 0.4, 5000)
    with crew(names) as workers:
        cases = [CASES[title] for title in asked.case or CASES]
        outcome = run(cases, workers, rounds, seconds, rows)
    print(report.as_markdown(outcome, names))
    if asked.json:
        asked.json.write_text(json.dumps(report.as_json(outcome), indent=1) + "\n")


if __name__ == "__main__":
    main()
