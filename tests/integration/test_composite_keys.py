"""Composite primary keys: reads of every kind are cached, and fresh after every write."""

import pytest
from django.db import models

from cachepatterns import uncached
from tests.differential.freezing import freeze
from tests.events import seen
from tests.temporary import registered, tables_of

pytestmark = pytest.mark.django_db(transaction=True)


def seats_and_bookings():
    """Seats by row and number, and bookings that refer to both."""
    seat = registered(
        "Seat",
        pk=models.CompositePrimaryKey("row", "number"),
        row=models.CharField(max_length=2),
        number=models.IntegerField(),
        price=models.IntegerField(default=0),
    )
    booking = registered(
        "Booking",
        row=models.CharField(max_length=2),
        number=models.IntegerField(),
        seat=models.ForeignObject(
            seat,
            models.DO_NOTHING,
            from_fields=["row", "number"],
            to_fields=["row", "number"],
            related_name="bookings",
        ),
    )
    return [seat, booking]


@pytest.fixture
def seats(fresh):
    with tables_of(seats_and_bookings) as (seat, booking):
        for row, number in (("a", 1), ("a", 2), ("b", 1)):
            seat.objects.create(row=row, number=number)
        booking.objects.create(row="a", number=1)
        yield seat, booking


READS = {
    "get": lambda seat, booking: seat.objects.get(pk=("a", 1)),
    "in": lambda seat, booking: list(
        seat.objects.filter(pk__in=[("a", 1), ("b", 1)]).order_by("pk")
    ),
    "in_bulk": lambda seat, booking: seat.objects.in_bulk([("a", 1), ("c", 1)]),
    "values": lambda seat, booking: list(seat.objects.order_by("pk").values("pk", "price")),
    "count": lambda seat, booking: seat.objects.filter(row="a").count(),
    "exists": lambda seat, booking: seat.objects.filter(pk=("a", 2)).exists(),
    "foreign object": lambda seat, booking: booking.objects.get(number=1).seat,
    "select_related": lambda seat, booking: list(booking.objects.select_related("seat")),
    "prefetch": lambda seat, booking: list(
        seat.objects.order_by("pk").prefetch_related("bookings")
    ),
    "joined": lambda seat, booking: list(booking.objects.filter(seat__price__gt=1)),
}
WRITES = {
    "save": lambda seat: seat(row="a", number=1, price=5).save(),
    "update": lambda seat: seat.objects.filter(pk=("a", 1)).update(price=7),
    "bulk_update": lambda seat: seat.objects.bulk_update(
        [seat(row="a", number=1, price=8)], ["price"]
    ),
    "bulk_create": lambda seat: seat.objects.bulk_create([seat(row="c", number=1)]),
    "delete": lambda seat: seat.objects.get(pk=("a", 2)).delete(),
    "queryset delete": lambda seat: seat.objects.filter(row="b").delete(),
}


def test_every_read_is_cached_and_right_after_every_write(seats):
    seat, _ = seats
    for write in (lambda seat: None, *WRITES.values()):
        write(seat)
        for name, reading in READS.items():
            with uncached():
                truth = freeze(reading(*seats))
            assert freeze(reading(*seats)) == truth, name
            with seen() as found:
                assert freeze(reading(*seats)) == truth, name
            assert {*found.outcomes} <= {"hit", "negative"}, name
