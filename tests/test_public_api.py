"""The public names: sorted, complete, and importable before Django is set up."""

import subprocess
import sys

import cachepatterns


def test_all_names_are_sorted_and_resolve():
    assert list(cachepatterns.__all__) == sorted(cachepatterns.__all__)
    for name in cachepatterns.__all__:
        assert getattr(cachepatterns, name) is not None
        assert name in dir(cachepatterns)


def test_importing_every_module_of_the_house_shadows_no_public_name():
    """`cachepatterns.invalidate` is a function, and must stay one."""
    import pkgutil

    modules = {m.name for m in pkgutil.iter_modules(cachepatterns.__path__)}
    assert not modules & set(cachepatterns.__all__)


def test_the_package_is_importable_before_the_app_registry():
    code = "import cachepatterns; cachepatterns.tag('a'); cachepatterns.__all__"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=30)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(cachepatterns, "no_such_name")
