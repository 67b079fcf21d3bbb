import pytest

from cachepatterns.models import FlushedBatch
from cachepatterns.write.flushing import Flusher
from tests.app.counted import Article
from tests.behind.zygote import Zygote


@pytest.fixture
def articles(transactional_db, empty_cache) -> list[Article]:
    """Three of them, not read by anybody yet."""
    return [Article.objects.create(title=f"article {number}") for number in range(3)]


@pytest.fixture
def flusher() -> Flusher:
    return Flusher()


@pytest.fixture(scope="module")
def zygote(django_db_setup):
    """Processes that can be killed."""
    with Zygote() as found:
        yield found


def views(article: Article) -> int:
    """What the database holds."""
    return Article.objects.uncached().values_list("views", flat=True).get(pk=article.pk)


def noted() -> int:
    """How many batches are noted as written."""
    return FlushedBatch.objects.count()
