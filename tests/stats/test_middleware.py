"""The bar tells what the cache did for one page, whoever serves it and however."""

import asyncio
import json
import re

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.db import connection
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from tests.app.models import Category, Item

PAGE = "<!doctype html><html><body><p>Guten Tag</p></body></html>"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]


def page(request):
    list(Item.objects.filter(category=1))
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse(PAGE)


async def apage(request):
    [item async for item in Item.objects.filter(category=1)]
    return HttpResponse(PAGE)


def data(request):
    return JsonResponse({"page": "</body>"})


def stream(request):
    def chunks():
        yield PAGE.encode()
        list(Item.objects.all())

    return StreamingHttpResponse(chunks())


def missing(request):
    return HttpResponse(PAGE, status=404)


def squeezed(request):
    return HttpResponse(PAGE, headers={"Content-Encoding": "br"})


def latin(request):
    return HttpResponse(
        PAGE.replace("Guten", "Schönen"), content_type="text/html; charset=latin-1"
    )


urlpatterns = [
    path("page/", page),
    path("apage/", apage),
    path("data/", data),
    path("stream/", stream),
    path("missing/", missing),
    path("squeezed/", squeezed),
    path("latin/", latin),
    path("admin/", admin.site.urls),
]


@pytest.fixture(autouse=True)
def bar(settings):
    settings.MIDDLEWARE = [
        "cachepatterns.middleware.CacheBarMiddleware",
        *(name for name in settings.MIDDLEWARE if not name.endswith("CacheBarMiddleware")),
    ]


def outcomes(response):
    return json.loads(response["X-Cache-Outcomes"])


def statements(response):
    return int(re.match(r'sql;desc="(\d+)", cache;dur=[\d.]+, page;dur=[\d.]+$',
                        response["Server-Timing"])[1])  # fmt: skip


def test_the_headers_tell_outcomes_and_statements():
    Category.objects.create(name="x", slug="x")
    first, second = Client().get("/page/"), Client().get("/page/")
    assert outcomes(first) == {"app.item list:category": {"miss": 1}}
    assert outcomes(second) == {"app.item list:category": {"negative": 1}}
    assert statements(first) == statements(second) + 1
    assert statements(second) == 1


def test_an_async_view_is_told_alike():
    async def visit():
        return await AsyncClient().get("/apage/")

    assert outcomes(async_to_sync(visit)()) == {"app.item list:category": {"miss": 1}}
    again = async_to_sync(visit)()
    assert outcomes(again) == {"app.item list:category": {"negative": 1}}
    assert b"cachebar" in again.content


def test_two_pages_at_once_do_not_mix_their_logs():
    async def visit():
        client = AsyncClient()
        return await asyncio.gather(*(client.get("/apage/") for _ in range(5)))

    for response in async_to_sync(visit)():
        assert sum(sum(counts.values()) for counts in outcomes(response).values()) == 1


def test_the_bar_stands_at_the_foot_of_the_page_and_the_length_is_right():
    response = Client().get("/page/")
    body = response.content.decode()
    assert body.index("Guten Tag") < body.index("cachebar") < body.index("</body>")
    assert "list:category" in body
    assert int(response["Content-Length"]) == len(response.content)


def test_the_bar_needs_nothing_inline():
    body = Client().get("/page/").content.decode()
    assert "<style" not in body
    assert "<script" not in body
    assert " style=" not in body


@pytest.mark.parametrize("address", ["/data/", "/squeezed/", "/admin/login/"])
def test_what_is_no_page_of_the_site_is_left_alone(address):
    response = Client().get(address)
    assert b"cachebar" not in response.content
    assert "Server-Timing" in response


def test_a_head_request_gets_no_body():
    assert Client().head("/page/").content == b""


def test_error_pages_have_the_bar_too():
    response = Client().get("/missing/")
    assert response.status_code == 404
    assert b"cachebar" in response.content


def test_a_page_in_another_charset_stays_readable():
    assert "Schönen" in Client().get("/latin/").content.decode("latin-1")


def test_a_streamed_body_is_left_alone():
    response = Client().get("/stream/")
    assert "Server-Timing" in response
    assert b"".join(response.streaming_content) == PAGE.encode()


def test_a_wrapper_block_around_the_first_connection_does_not_take_the_count_away():
    def passed(execute, sql, params, many, context):
        return execute(sql, params, many, context)

    Client().get("/page/")
    connection.close()
    with connection.execute_wrapper(passed):
        connection.ensure_connection()
    assert statements(Client().get("/page/")) == 1
