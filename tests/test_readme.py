"""The README's snippets are a project that works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SNIPPET = re.compile(r"^```python\n# ([^\n]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

SETTINGS = """
SECRET_KEY = "only a test's"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
CACHES["default"]["LOCATION"] = "REDIS_URL"
"""

RUN = """
import django
django.setup()
from django.core.management import call_command
call_command("makemigrations", "catalog", verbosity=0)
call_command("migrate", verbosity=0)
call_command("check", fail_level="ERROR")
exec(compile(open("anywhere.py").read(), "anywhere.py", "exec"))
"""


def snippets() -> dict[str, str]:
    return dict(SNIPPET.findall((ROOT / "README.md").read_text()))


@pytest.mark.parametrize("cached", ["what is declared", "everything"])
def test_the_snippets_are_a_project_that_works(tmp_path, redis_url, cached):
    found = snippets()
    assert set(found) == {
        "settings.py",
        "settings.py, with everything",
        "catalog/models.py",
        "catalog/caching.py",
        "anywhere",
    }
    (tmp_path / "catalog" / "migrations").mkdir(parents=True)
    (tmp_path / "catalog" / "__init__.py").touch()
    (tmp_path / "catalog" / "migrations" / "__init__.py").touch()
    for name in ("catalog/models.py", "catalog/caching.py", "anywhere"):
        text = found[name]
        (tmp_path / (name if name.endswith(".py") else f"{name}.py")).write_text(text)
    servers = SETTINGS.replace("REDIS_URL", redis_url)
    more = found["settings.py, with everything"] if cached == "everything" else ""
    (tmp_path / "settings.py").write_text(found["settings.py"] + servers + more)
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        cwd=tmp_path,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "no issues" in answer.stdout, answer.stdout
