"""`cached_view`: whole responses, kept for those alone who would be given the same."""

import asyncio
import importlib

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.vary import vary_on_headers

from cachepatterns import cached, cached_view, invalidate
from cachepatterns.exceptions import NoIdentity
from tests.app.models import Category, Item, Label
from tests.events import seen

pytestmark = pytest.mark.django_db(transaction=True)

calls = []
answers = {}


def answer(request, **kwargs):
    calls.append(request.get_full_path())
    does = answers.get("does")
    found = does(request) if does else None
    return found if found is not None else HttpResponse(f"{len(calls)}")


plain = cached_view(tags=[Item])(answer)
by_user = cached_view(vary="user")(answer)
varied = cached_view(vary=["cookie:theme", "header:X-Shape", lambda r: len(r.GET)])(answer)
of_item = cached_view(tags=lambda request, pk: Item.objects.get(pk=pk))(answer)


@cached_view
def bare(request):
    return answer(request) if Item.objects.count() else None


@cached_view(tags=[Item])
async def awaited(request):
    calls.append("awaited")
    return HttpResponse(str(await Item.objects.acount()))


@method_decorator(cached_view(tags=[Item]), name="get")
class Shelf(View):
    def get(self, request):
        return answer(request)

    def post(self, request):
        return answer(request)


class AsyncShelf(View):
    @cached_view(tags=[Item])
    async def _answer(self, request):
        return answer(request)

    async def get(self, request):
        return answer(request)


@cached(tags=[Label])
def labels():
    return [label.name for label in Label.objects.all()]


@cached_view(tags=[Item])
def made_of(request):
    calls.append("made of")
    return HttpResponse(str(labels()))


urlpatterns = [
    path("plain/", plain),
    path("bare/", bare),
    path("by-user/", by_user),
    path("varied/", varied),
    path("item/<int:pk>/", of_item),
    path("awaited/", awaited),
    path("shelf/", Shelf.as_view()),
    path("async-shelf/", cached_view(tags=[Item])(AsyncShelf.as_view())),
    path("made-of/", made_of),
]


@pytest.fixture(autouse=True)
def _site(fresh, settings):
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["*"]
    settings.MIDDLEWARE = [m for m in django_settings.MIDDLEWARE if "shop" not in m]
    calls.clear()
    answers.clear()


def get(url="/plain/", client=None, **headers):
    return (client or Client()).get(url, headers=headers)


def bodies(*urls, client=None):
    return [get(url, client).content.decode() for url in urls]


def test_it_is_rendered_once_until_what_it_rests_on_is_written(goods):
    first, second = get(), get()
    assert [first.content, second.content] == [b"1", b"1"]
    names = ("Content-Type", "ETag", "Content-Length")
    assert [first.headers[n] for n in names] == [second.headers[n] for n in names]
    assert type(second) is HttpResponse
    Item.objects.filter(pk=goods[2][0].pk).update(stock=3)
    assert bodies("/plain/", "/plain/") == ["2", "2"]
    one, other = (f"/item/{item.pk}/" for item in goods[2][:2])
    assert bodies(one, other, one) == ["3", "4", "3"]
    Item.objects.filter(pk=goods[2][0].pk).update(stock=4)
    assert bodies(one, other) == ["5", "4"]


def test_the_address_tells_it_apart_and_the_order_of_the_query_does_not(goods):
    assert bodies("/plain/?a=1&b=2", "/plain/?b=2&a=1") == ["1", "1"]
    assert bodies("/plain/?a=1", "/plain/?a=1&a=2", "/plain/?a=2&a=1", "/plain/") == [*"2345"]
    assert get("/plain/", host="other.test").content == b"6"
    assert Client().get("/plain/", secure=True).content == b"7"
    with translation.override("de"):
        assert get().content == b"8"
    assert bodies("/plain/?a=1") == ["2"]


def test_it_varies_on_what_is_named(goods):
    client = Client()
    client.cookies["theme"] = "dark"
    assert bodies("/varied/", client=client) == ["1"]
    assert bodies("/varied/") == ["2"]
    assert get("/varied/", **{"X-Shape": "round"}).content == b"3"
    assert bodies("/varied/?a=1") == ["4"]
    assert bodies("/varied/", client=client) == ["1"]
    client.cookies["other"] = "x"
    assert bodies("/varied/", client=client) == ["1"]


def test_caches_on_the_way_are_told_what_it_varies_on(goods):
    """Whether it was rendered, found, not kept, or found by the visitor already."""
    mentioned = {"Cookie", "X-Shape"}

    def told(**headers):
        response = get("/varied/", **headers)
        return response, {*response.headers["Vary"].split(", ")}

    rendered, found = told(), told()
    assert calls == ["/varied/"]
    assert rendered[1] == found[1] == mentioned
    known, named = told(**{"If-None-Match": found[0].headers["ETag"]})
    assert (known.status_code, named) == (304, mentioned)
    answers["does"] = lambda request: HttpResponse(status=404)
    assert told(**{"X-Shape": "round"})[1] == mentioned
    assert told(Authorization="Bearer x")[1] == mentioned
    assert "Cookie" in get("/by-user/").headers["Vary"]


def test_without_options_it_rests_on_what_it_reads(goods):
    assert bodies("/bare/", "/bare/", "/bare/") == ["1", "2", "2"]  # the first visit tells
    Item.objects.filter(pk=goods[2][0].pk).update(stock=3)
    assert bodies("/bare/", "/bare/") == ["3", "3"]


def test_what_is_decorated_otherwise_is_told_how(rf):
    with pytest.raises(TypeError, match=r"by name: cached_view\(ttl=900\)"):
        cached_view(60 * 15)
    with pytest.raises(TypeError, match="method_decorator"):
        cached_view(View)

    class Directly(View):
        @cached_view
        def get(self, request):
            return HttpResponse()

    with pytest.raises(TypeError, match=r"which is no request.*method_decorator"):
        Directly.as_view()(rf.get("/"))


@pytest.mark.parametrize("wrong", ["language", "cookie:", "cookies:a", 5])
def test_what_it_can_not_vary_on_is_told_at_once(wrong):
    with pytest.raises(ValueError, match="vary="):
        cached_view(vary=[wrong])
    with pytest.raises((TypeError, ValueError), match="tag"):
        cached_view(tags=["wrong"])


def test_a_function_that_tells_nothing_apart_is_refused(rf):
    with pytest.raises(NoIdentity, match="varies on an object"):
        cached_view(vary=lambda request: object())(answer)(rf.get("/"))


def test_only_strangers_are_answered_unless_it_varies_on_the_user(goods):
    ada, bob = (User.objects.create(username=name) for name in ("ada", "bob"))
    clients = [Client(), Client(), Client()]
    clients[1].force_login(ada)
    clients[2].force_login(bob)
    assert [get(client=c).content for c in clients * 2] == [b"1", b"2", b"3", b"1", b"4", b"5"]
    calls.clear()
    assert [get("/by-user/", c).content for c in clients * 2] == [b"1", b"2", b"3"] * 2
    calls.clear()
    assert [get(authorization="Basic x").content for _ in range(2)] == [b"1", b"2"]


def does(function):
    answers["does"] = function


NOT_KEPT = {
    "an error": lambda r: HttpResponse("x", status=500),
    "nothing there": lambda r: HttpResponse("x", status=404),
    "a redirect": lambda r: HttpResponse("", status=302, headers={"Location": "/"}),
    "a stream": lambda r: StreamingHttpResponse(iter([b"a"])),
    "private": cache_control(private=True)(lambda r: HttpResponse("x")),
    "no-store": cache_control(no_store=True)(lambda r: HttpResponse("x")),
    "never cached": never_cache(lambda r: HttpResponse("x")),
    "varies on more": vary_on_headers("X-Shape")(lambda r: HttpResponse("x")),
    "varies on all": vary_on_headers("*")(lambda r: HttpResponse("x")),
    "a token for forms": lambda r: get_token(r) and None,
    "a new message": lambda r: messages.info(r, "hello"),
    "messages read": lambda r: ([*messages.get_messages(r)], None)[1],
    "the session written": lambda r: r.session.__setitem__("a", 1),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_KEPT)
def test_what_is_for_one_visitor_alone_is_kept_for_nobody(goods, what):
    does(NOT_KEPT[what])
    with seen() as found:
        first = get()
        get()
    assert len(calls) == 2
    assert not first.has_header("ETag")
    assert [r.outcome for r in found.reads if r.label == "view"] == ["miss", "miss"]
    assert all(r.reason for r in found.reads if r.label == "view")


def test_a_response_with_a_cookie_is_kept_for_nobody(goods):
    def with_cookie(request):
        response = HttpResponse("x")
        response.set_cookie("a", "b")
        return response

    does(with_cookie)
    assert get().cookies["a"].value == get().cookies["a"].value == "b"
    assert len(calls) == 2


def test_what_a_session_holds_is_shown_to_its_owner_alone(goods):
    does(lambda r: HttpResponse(f"{len(calls)}{r.session.get('cart')}"))
    owner = Client()
    session = owner.session
    session["cart"] = "full"
    session.save()
    owner.cookies[django_settings.SESSION_COOKIE_NAME] = session.session_key
    assert bodies("/plain/", "/plain/", client=owner) == ["1full", "2full"]
    assert bodies("/plain/", "/plain/") == ["3None", "3None"]
    assert bodies("/plain/", client=owner) == ["4full"]
    answers.clear()
    Item.objects.filter(pk=goods[2][0].pk).update(stock=5)
    assert bodies("/plain/", "/plain/", client=owner) == ["5", "5"]


def test_who_has_messages_waiting_is_shown_them(goods):
    get()
    client = Client()
    does(lambda r: messages.info(r, "hello"))
    get("/plain/?other", client)
    answers.clear()
    calls.clear()
    assert bodies("/plain/", client=client) == ["1"]


def test_other_methods_are_the_views_own_affair(goods):
    for _ in range(2):
        Client().post("/plain/")
    assert len(calls) == 2
    Client().head("/plain/")
    head = Client().head("/plain/")
    assert (len(calls), head.content, head.has_header("ETag")) == (3, b"", True)


# -- conditional ---------------------------------------------------------------------------------


def test_who_has_it_already_is_told_so_without_rendering(goods, django_assert_num_queries):
    etag = get().headers["ETag"]
    with django_assert_num_queries(0):
        again = get(if_none_match=etag)
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert len(calls) == 1
    Item.objects.filter(pk=goods[2][0].pk).update(stock=3)
    new = get(if_none_match=etag)
    assert (new.status_code, new.content) == (200, b"2")
    assert new.headers["ETag"] != etag
    invalidate(Item)
    assert get().headers["ETag"] != new.headers["ETag"]


def test_a_view_s_own_etag_stays(goods):
    does(lambda r: HttpResponse("x", headers={"ETag": '"own"'}))
    get()
    assert get(if_none_match='"own"').status_code == 304


def test_what_is_not_kept_has_no_name_that_another_could_have(goods):
    """It may be older than its stamps: a visitor must not be told that he has the newer one."""
    first = get("/made-of/")  # that it is made of labels is learnt
    assert not first.has_header("ETag")
    etag = get("/made-of/").headers["ETag"]
    assert get("/made-of/", if_none_match=etag).status_code == 304
    Label.objects.create(name="new")
    new = get("/made-of/", if_none_match=etag)
    assert (new.status_code, new.content) == (200, b"['new']")


# -- other kinds of views ------------------------------------------------------------------------


def test_coroutine_views_are_awaited(goods):
    async def ask():
        client = AsyncClient()
        found = [(await client.get("/awaited/")).content for _ in range(3)]
        return [*found, (await asyncio.gather(client.get("/async-shelf/")))[0].content]

    assert async_to_sync(ask)() == [b"4", b"4", b"4", b"2"]
    assert calls == ["awaited", "/async-shelf/"]
    assert async_to_sync(ask)()[-1] == b"2"
    Item.objects.filter(pk=goods[2][0].pk).delete()
    assert async_to_sync(ask)()[:3] == [b"3"] * 3


def test_classes_are_decorated_by_method(goods):
    assert bodies("/shelf/", "/shelf/") == ["1", "1"]
    assert Client().post("/shelf/").content == b"2"


def test_template_responses_are_rendered_within(goods):
    template = engines["django"].from_string("{{ n }}").template
    does(
        lambda r: TemplateResponse(r, engines["django"].from_string("{{ n }}"), {"n": len(calls)})
    )
    assert template
    assert bodies("/plain/", "/plain/") == ["1", "1"]


def test_something_that_is_no_response_is_an_error(rf):
    with pytest.raises(TypeError, match="returns a response, not str"):
        cached_view()(lambda request: "text")(rf.get("/"))


def test_its_figures_stand_by_its_route(goods):
    with seen() as found:
        get(f"/item/{goods[2][0].pk}/")
    (read,) = [r for r in found.reads if r.label == "view"]
    assert read.pattern == "item/<int:pk>/"


def test_a_category_is_no_item(goods):
    get()
    Category.objects.create(name="n", slug="n")
    assert get().content == b"1"
    assert importlib.import_module("cachepatterns").cached_view is cached_view
