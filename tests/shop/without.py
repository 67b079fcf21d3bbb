"""Does the test of each pattern fail where the shop does without the pattern?

python -m tests.shop.without              all patterns off at once
python -m tests.shop.without herd         this one alone: its test fails, and no other
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from shop.demo.patterns import patterns

ROOT = Path(__file__).parents[2]
TESTS = "tests/shop/test_each_pattern.py"


def failures(off: list[str]) -> dict[str, str]:
    """Why which tests fail where the shop does without these patterns, by pattern."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n0", "--junitxml", report, TESTS]
        env = {**os.environ, "SHOP_WITHOUT": ",".join(off)}
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        if not report.exists():
            raise SystemExit(f"pytest has run nothing:\n{done.stdout}{done.stderr}")
        found: dict[str, str] = {}
        for test in ElementTree.parse(report).iter("testcase"):
            for how in ("error", "failure"):
                if (problem := test.find(how)) is not None:
                    name = test.attrib["name"].removeprefix("test_").replace("_", "-")
                    why = problem.attrib["message"].splitlines()[0]
                    found[name] = why if how == "failure" else f"ERROR {why}"
        return found


def main(off: list[str]) -> int:
    names = [pattern.name for pattern in patterns()]
    if unknown := [name for name in off if name not in names]:
        print(f"No pattern is called {', '.join(unknown)}. They are: {', '.join(names)}.")
        return 2
    off = off or names
    found = failures(off)
    for name in [*names, *found.keys() - set(names)]:
        print(f"{name:<24}{'off' if name in off else 'on':<5}{found.get(name, 'holds')[:71]}")
    # By what they assert, and not by an error on the way to it.
    fail = {name for name, why in found.items() if why.startswith(("assert", "AssertionError"))}
    return 0 if fail == {*off} == found.keys() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
