"""Django's tests: in its source distribution, which pip fetches by name."""

import subprocess
import sys
import tarfile
from pathlib import Path

import django

KEPT = Path(__file__).parent.parent.parent / ".django-suite"
"""Where it is kept for the next run; `make clean` removes it."""


def tests_folder() -> Path:
    """The folder of the tests of the Django that is installed."""
    version = django.get_version()
    KEPT.mkdir(exist_ok=True)
    unpacked = KEPT / f"django-{version}"
    if not unpacked.exists():
        archive = KEPT / f"django-{version}.tar.gz"
        if not archive.exists():
            wanted = f"django=={version}"
            options = ["--no-deps", "--no-binary", "django", "--dest", str(KEPT)]
            subprocess.run([sys.executable, "-m", "pip", "download", *options, wanted], check=True)
        with tarfile.open(archive) as found:
            found.extractall(KEPT, filter="data")
    return unpacked / "tests"
