import pytest

from cachepatterns.backends.locmem import LocMemBackend
from cachepatterns.backends.redis import RedisBackend


@pytest.fixture(params=["redis", "locmem"])
def backend(request):
    """Each backend in turn, empty: Valkey itself, and the one inside the process."""
    if request.param == "locmem":
        return LocMemBackend()
    request.getfixturevalue("empty_cache")
    return RedisBackend("default")
