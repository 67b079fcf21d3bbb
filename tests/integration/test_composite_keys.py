"""Composite primary keys: reads of every kind are cached, and fresh after every write."""

import pytest
from django.apps import apps
from django.db import connection, models

from cachepatterns import CachedManager, ModelPolicy, uncached
from cachepatterns.registry import site
from tests.calm import nobody_writes
from tests.differential.freezing import freeze
from tests.events import seen

pytestmark = pytest.mark.django_db(transaction=True)


def make(name, **fields):
    meta = type("Meta", (), {"app_label": "app", "base_manager_name": "objects"})
    attributes = {"__module__": __name__, "Meta": meta, "objects": CachedManager(), **fields}
    model = type(name, (models.Model,), attributes)
    site.register(model, type(f"{name}Policy", (ModelPolicy,), {}))
    return model


@pytest.fixture
def seats(fresh):
    """Seats by row and number, and bookings that refer to both."""
    installed = apps.all_models["app"]
    before = dict(installed)
    seat = make(
        "Seat",
        pk=models.CompositePrimaryKey("row", "number"),
        row=models.CharField(max_length=2),
        number=models.IntegerField(),
        price=models.IntegerField(default=0),
    )
    booking = make(
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
    with connection.schema_editor() as editor:
        editor.create_model(seat)
        editor.create_model(booking)
    nobody_writes()
    for row, number in (("a", 1), ("a", 2), ("b", 1)):
        seat.objects.create(row=row, number=number)
    booking.objects.create(row="a", number=1)
    yield seat, booking
    with connection.schema_editor() as editor:
        editor.delete_model(booking)
        editor.delete_model(seat)
    site.unregister(seat)
    site.unregister(booking)
    installed.clear()
    installed.update(before)
    apps.clear_cache()
    site.forget()


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
