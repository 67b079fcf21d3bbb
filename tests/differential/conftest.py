import pytest

from cachepatterns.quarantine import declare_no_writers
from cachepatterns.registry import site


@pytest.fixture
def both_databases(monkeypatch, transactional_db, empty_cache):
    """The test models cached on SQLite too, with both databases committed and empty."""
    for policy in site.policies():
        if policy.label.startswith("app."):
            monkeypatch.setattr(type(policy.policy), "databases", ("default", "sqlite"))
    site.forget()
    declare_no_writers()
    yield
    monkeypatch.undo()
    site.forget()
