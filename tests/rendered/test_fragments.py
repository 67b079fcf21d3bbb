"""`{% cached %}`: rendered once until what it shows is written, never for the wrong visitor."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.messages.storage.cookie import CookieStorage
from django.middleware.csrf import get_token
from django.template import Context, RequestContext, Template, TemplateSyntaxError, engines
from django.test import RequestFactory
from django.utils import translation
from django.utils.safestring import mark_safe

from cachepatterns import invalidate, tag
from cachepatterns.exceptions import CachePatternsError, NoIdentity, WithheldVariable
from tests.app.models import Category, Item, Label
from tests.events import seen
from tests.rendered.showing import Show

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh(fresh):
    pass


@pytest.fixture
def n():
    return Show()


def render(source, context=None, **variables):
    text = "{% load cachepatterns %}" + source
    if context is None:
        return Template(text).render(Context(variables))
    context.update(variables)
    return Template(text).render(context)


def test_it_is_rendered_once_until_what_it_depends_on_is_written(goods, n):
    item, other = goods[2][:2]
    teaser = '{% cached "teaser" depends_on=item %}{{ item.name }}{{ n }}{% endcached %}'

    def show(item):
        return render(teaser, item=Item.objects.get(pk=item.pk), n=n)

    assert [show(item), show(item), show(other)] == [
        "item 0&lt;1&gt;", "item 0&lt;1&gt;", "item 1&lt;2&gt;",
    ]  # fmt: skip
    item.name = "new"
    item.save()
    assert [show(item), show(other)] == ["new&lt;3&gt;", "item 1&lt;2&gt;"]


@pytest.mark.parametrize(
    ("depends_on", "write"),
    [
        ('"app.Label"', lambda: Label.objects.create(name="new")),
        ('"home"', lambda: invalidate(tag("home"))),
        ('"x","app.Label",home', lambda: invalidate(tag("home"))),
        ("home", lambda: invalidate(tag("home"))),
        ("labels", lambda: Label.objects.create(name="a")),
        ("manager", lambda: Label.objects.create(name="a")),
        ("several", lambda: Label.objects.create(name="a")),
    ],
)
def test_it_depends_on_models_tags_querysets_and_lists_of_them(n, depends_on, write):
    source = f'{{% cached "a" depends_on={depends_on} %}}{{{{ n }}}}{{% endcached %}}'
    variables = {
        "n": n, "home": tag("home"), "labels": Label.objects.filter(name="a"),
        "manager": Label.objects, "several": [tag("home"), [Label.objects.all()]],
    }  # fmt: skip
    assert render(source, **variables) == render(source, **variables)
    Category.objects.create(name="other", slug="other")
    assert render(source, **variables) == "&lt;1&gt;"
    write()
    assert render(source, **variables) == "&lt;2&gt;"


def test_querysets_tell_it_apart(goods, n):
    source = '{% cached "a" depends_on=items %}{{ items|length }}{{ n }}{% endcached %}'
    for size in (1, 2, 1, 2):
        items = Item.objects.order_by("pk")[:size]
        assert render(source, items=items, n=n).startswith(str(size))
    assert n.times == 2


def test_it_varies_on_values_the_language_and_the_escaping(n):
    source = '{% cached "a" vary_on=page,kind %}{{ page }}{{ text }}{{ n }}{% endcached %}'
    shown = set()
    for page in (1, "1", 2):
        shown.add(render(source, page=page, kind=None, n=n, text=""))
    assert len(shown) == 3
    with translation.override("de"):
        render(source, page=1, kind=None, n=n, text="")
    assert n.times == 4
    off = "{% autoescape off %}" + source + "{% endautoescape %}"
    assert render(off, page=1, kind=None, n=n, text="<b>") == "1<b><5>"
    with pytest.raises(NoIdentity, match=r"block 'a' varies on an object"):
        render(source, page=object(), kind=None)


def test_it_is_escaped_once_and_safe_afterwards(n):
    source = '{% cached "a" %}{{ evil }}{{ good }}{% endcached %}'
    for _ in range(2):
        assert render(source, evil="<", good=mark_safe("<b>")) == "&lt;<b>"
    wrapped = "{% filter upper %}" + source + "{% endfilter %}"
    assert render(wrapped, evil="<", good=mark_safe("<b>")) == "&LT;<B>"


def test_another_text_between_the_tags_is_another_fragment(n):
    assert render('{% cached "a" %}one{% endcached %}') == "one"
    assert render('{% cached "a" %}two{% endcached %}') == "two"
    assert render('{% cached "a" %}{% if 1 %}x{% endif %}{% endcached %}') == "x"
    assert render('{% cached "a" version=2 %}one{{ n }}{% endcached %}', n=1) == "one1"


def test_tier_and_ttl_are_as_elsewhere(n):
    render('{% cached "a" ttl=5 tier="static" %}{% endcached %}')
    for wrong in ('ttl="x"', "ttl=-1", 'tier="nothing"'):
        with pytest.raises((ValueError, TypeError)):
            render(f'{{% cached "b" {wrong} %}}{{% endcached %}}')
    with seen() as found:
        render('{% cached "a" tier="never" %}{% endcached %}')
        render('{% cached "c" %}{% endcached %}')
    assert [(r.label, r.pattern, r.outcome) for r in found.reads] == [
        ("fragment", "a", "bypass"), ("fragment", "c", "miss"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% cached %}{% endcached %}", "needs a name"),
        ('{% cached "a" 5 %}{% endcached %}', "takes no '5'"),
        ('{% cached "a" on=5 %}{% endcached %}', "takes no 'on=5'"),
        ('{% cached "a" vary_on %}{% endcached %}{% endcached %}', "endcached"),
        ('{% cached "a" %}{% block b %}{% endblock %}{% endcached %}', "other templates"),
        ('{% cached "a" %}', "Unclosed tag"),
    ],
)
def test_mistakes_are_told_when_the_template_is_read(source, said):
    with pytest.raises(TemplateSyntaxError, match=said):
        render(source)


def test_mistakes_in_what_it_depends_on_are_told(goods):
    for variables, said in [
        ({"on": "app.Nothing"}, "no such model"),
        ({"on": "auth.Permission" * 2}, "no such model"),
        ({"on": "app.Secret"}, "register it"),
        ({"on": 5}, "tags="),
    ]:
        with pytest.raises((ValueError, TypeError, CachePatternsError), match=said):
            render('{% cached "a" depends_on=on %}{% endcached %}', **variables)
    with pytest.raises(ValueError, match="name of a cached block"):
        render("{% cached nothing %}{% endcached %}")


# -- blocks within blocks ----------------------------------------------------------------------


NESTED = """{% cached "outer" depends_on="app.Category" %}{{ n }}\
{% cached "inner" depends_on=item %}{{ item.name }}{% endcached %}{% endcached %}"""


def test_a_block_goes_with_those_within_it(goods, n):
    item = goods[2][0]

    def show():
        return render(NESTED, item=Item.objects.get(pk=item.pk), n=n)

    show()  # what it is made of is learnt
    assert [show(), show()] == ["&lt;2&gt;item 0"] * 2
    Item.objects.filter(pk=item.pk).update(name="new")
    assert [show(), show()] == ["&lt;3&gt;new"] * 2
    Category.objects.create(name="n", slug="n")
    assert [show(), show()] == ["&lt;4&gt;new"] * 2


# -- who is shown what ---------------------------------------------------------------------------


def visit(user=None, **more):
    request = RequestFactory().get("/there/", **more)
    request.user = user or AnonymousUser()
    request.session = {}
    request._messages = CookieStorage(request)
    request.LANGUAGE_CODE = "en"
    return RequestContext(request)


@pytest.mark.parametrize(
    "used",
    [
        "{{ user }}", "{{ user.pk }}", "{% if user.is_staff %}a{% endif %}",
        "{% if user.is_staff or 1 %}a{% endif %}", '{% if user == "x" %}a{% endif %}',
        "{{ request.path }}", "{{ request.user.username }}", "{% csrf_token %}",
        "{{ csrf_token }}", "{% for m in messages %}{% endfor %}", "{% if perms.app %}{% endif %}",
        "{{ cart_size }}", "{% if cart_size > 5 or 1 %}a{% endif %}",
        "{% with u=user %}{{ u.pk }}{% endwith %}", "{{ user|default:1 }}",
        "{% include inner %}", "{% firstof user 1 %}", "{{ 1|add:cart_size }}",
        '{% cached "b" vary_on=user.pk %}{{ user }}{% endcached %}',
    ],
)  # fmt: skip
def test_what_tells_visitors_apart_is_withheld(used):
    inner = engines["django"].from_string("{{ user }}").template
    source = f'{{% cached "a" %}}{used}{{% endcached %}}'
    for _ in range(2):  # and nothing of it is kept
        with pytest.raises(WithheldVariable, match=r"The cached block 'a' uses"):
            render(source, visit(), inner=inner)


def test_it_may_be_shown_who_it_varies_on():
    ada, bob = (User.objects.create(username=name) for name in ("ada", "bob"))
    for vary in ("user", "user.pk", "user.id"):
        source = f'{{% cached "a" vary_on={vary} %}}{{{{ user.username }}}}{{% endcached %}}'
        for user in (ada, bob, ada):
            assert render(source, visit(user)) == user.username
    source = '{% cached "b" vary_on=user %}{{ user.is_authenticated }}{% endcached %}'
    assert [render(source, visit()), render(source, visit(ada))] == ["False", "True"]


def test_of_the_request_it_is_shown_what_it_varies_on_and_nothing_else():
    head = '{% cached "a" vary_on=request.path,request.GET.q %}{{ request.path }}'
    assert (
        render(head + "{{ request.GET.q }}{% endcached %}", visit(data={"q": "x"})) == "/there/x"
    )
    for other in ("{{ request.GET.r }}", "{{ request.user }}", "{{ request }}"):
        with pytest.raises(WithheldVariable, match="request"):
            render(head + other + "{% endcached %}", visit(data={"q": "x"}))
    with pytest.raises(NoIdentity, match="WSGIRequest"):
        render('{% cached "a" vary_on=request %}{% endcached %}', visit())


def test_what_context_processors_give_to_all_may_be_shared(n):
    source = '{% cached "a" shared=flags %}{{ flags|length }}{{ LANGUAGE_CODE }}{% endcached %}'
    assert render(source, visit()).startswith("0")
    with pytest.raises(WithheldVariable, match="flags"):
        render('{% cached "a" %}{{ flags }}{% endcached %}', visit())
    # A variable of the view's own is the view's affair.
    assert render('{% cached "c" %}{{ flags }}{% endcached %}', visit(), flags="own") == "own"


def test_a_token_for_forms_is_never_kept():
    source = '{% cached "a" vary_on=csrf_token %}{{ csrf_token }}{% endcached %}'
    context = visit()
    get_token(context.request)
    with pytest.raises((WithheldVariable, NoIdentity)):
        render(source, context)


def test_the_place_in_a_loop_is_none_of_its_business():
    source = "{% for x in xs %}{% cached 'a' %}{{ forloop.counter }}{% endcached %}{% endfor %}"
    with pytest.raises(WithheldVariable, match="forloop"):
        render(source, xs="ab")
    own = "{% cached 'a' %}{% for x in 'ab' %}{{ forloop.counter }}{% endfor %}{% endcached %}"
    assert render(own) == "12"


def test_what_raises_leaves_nothing(n):
    class Breaks:
        def __str__(self):
            raise LookupError

    source = '{% cached "a" %}{{ what }}{% endcached %}'
    with pytest.raises(LookupError):
        render(source, what=Breaks())
    assert render(source, what="whole") == "whole"
