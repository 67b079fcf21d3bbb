"""One process of a run: Django's `runtests` with, or without, cachepatterns installed.

Started by `__main__` in the folder of Django's tests, with the modules as arguments.
"""

import atexit
import os
import shutil
import sys
import tempfile


def main(modules: list[str]) -> None:
    folder = tempfile.mkdtemp(prefix="django_")
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    atexit.register(shutil.rmtree, folder)

    import runtests

    if os.environ["SUITE_MODE"] != "plain":
        runtests.ALWAYS_INSTALLED_APPS.append("cachepatterns")
    runtests.django_tests(
        verbosity=1,
        interactive=False,
        failfast=False,
        keepdb=False,
        reverse=False,
        test_labels=modules,
        debug_sql=False,
        parallel=1,
        tags=None,
        exclude_tags=None,
        test_name_patterns=None,
        start_at=None,
        start_after=None,
        pdb=False,
        buffer=False,
        timing=False,
        shuffle=False,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
