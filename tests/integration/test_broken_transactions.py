"""In a transaction that can only be rolled back, cached reads fail as Django's do."""

import pytest
from django.db import DatabaseError, connection, transaction

from tests.app.models import Item

pytestmark = pytest.mark.django_db(transaction=True)


def failed_with(read) -> type[BaseException]:
    with pytest.raises(DatabaseError) as raised:
        read()
    return type(raised.value)


@pytest.fixture
def warm(goods):
    """A row and a list that are in the cache."""
    pk = goods[2][0].pk
    reads = [lambda: Item.objects.get(pk=pk), lambda: list(Item.objects.filter(stock=0))]
    for read in reads:
        read()
    return reads


def test_a_statement_that_failed_leaves_no_cached_answers(warm):
    with transaction.atomic():
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        plain = failed_with(lambda: Item.objects.uncached().count())
        assert [failed_with(read) for read in warm] == [plain, plain]
        transaction.set_rollback(True)


def test_a_block_marked_for_rollback_gives_no_cached_answers(warm):
    with transaction.atomic():
        transaction.set_rollback(True)
        plain = failed_with(lambda: Item.objects.uncached().count())
        assert plain is transaction.TransactionManagementError
        assert [failed_with(read) for read in warm] == [plain, plain]


def test_after_the_rollback_cached_answers_are_given_again(warm, django_assert_num_queries):
    with transaction.atomic():
        transaction.set_rollback(True)
    with django_assert_num_queries(0):
        for read in warm:
            read()
