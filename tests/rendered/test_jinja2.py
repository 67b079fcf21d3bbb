"""The same block for Jinja2."""

import pytest
from django.template import engines
from jinja2 import DictLoader, Environment, TemplateSyntaxError
from markupsafe import Markup

from tests.app.models import Item, Label
from tests.rendered.showing import Show

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh(fresh):
    assert engines


def environment(autoescape=True, **templates):
    return Environment(
        autoescape=autoescape,
        loader=DictLoader(templates),
        extensions=["cachepatterns.contrib.jinja2.CachedExtension"],
    )


def render(source, autoescape=True, **variables):
    return environment(autoescape).from_string(source).render(**variables)


def test_it_is_rendered_once_until_what_it_depends_on_is_written(goods):
    n, item = Show(), goods[2][0]
    source = (
        '{% cached "a", depends_on=[item, "app.Label"], vary_on=page, ttl=60 %}'
        "{{ item.name }}{{ n }}{{ page }}{% endcached %}"
    )

    def show(page=1):
        return render(source, item=Item.objects.get(pk=item.pk), n=n, page=page)

    assert [show(), show(), show(2), show("2")] == [
        "item 0&lt;1&gt;1", "item 0&lt;1&gt;1", "item 0&lt;2&gt;2", "item 0&lt;3&gt;2",
    ]  # fmt: skip
    Item.objects.filter(pk=item.pk).update(name="new")
    assert show() == "new&lt;4&gt;1"
    Label.objects.create(name="l")
    assert show() == "new&lt;5&gt;1"


def test_it_is_escaped_once_and_safe_afterwards():
    source = '{% cached "a" %}{{ evil }}{{ good }}{% endcached %}'
    for _ in range(2):
        assert render(source, evil="<", good=Markup("<b>")) == "&lt;<b>"
        assert render(source, autoescape=False, evil="<", good="<b>") == "<<b>"


def test_blocks_within_blocks_go_together(goods):
    source = (
        '{% cached "outer" %}{{ n }}{% cached "inner", depends_on="app.Label" %}{{ labels() }}'
        "{% endcached %}{% endcached %}"
    )
    n = Show()

    def show():
        return render(source, n=n, labels=Label.objects.count)

    show()  # what it is made of is learnt
    assert [show(), show()] == ["&lt;2&gt;0"] * 2
    Label.objects.create(name="l")
    assert [show(), show()] == ["&lt;3&gt;1"] * 2


def test_it_may_use_what_it_varies_on():
    for vary, used in [
        ("user", "{{ user }}"), ("[user.pk]", "{{ user.name }}"),
        ("request.path", "{{ request.path }}"),
        ("[1]", "{% for x in [1] %}{{ loop.index }}{% endfor %}"),
    ]:  # fmt: skip
        variables = {"user": 1} if vary == "user" else {"user": None, "request": None}
        environment().from_string(f'{{% cached "a", vary_on={vary} %}}{used}{{% endcached %}}')
        assert variables


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ user }}", "uses 'user'"), ("{{ request.user.name }}", "uses 'request'"),
        ("{{ csrf_input }}", "csrf_input"), ("{% if perms.x %}{% endif %}", "perms"),
        ("{{ loop.index }}", "loop"), ("{% include 'x' %}", "into that one"),
        ("{% from 'x' import y with context %}", "without context"),
        ("{% block b %}{% endblock %}", "other templates"),
    ],
)  # fmt: skip
def test_what_tells_visitors_apart_is_withheld(source, said):
    for vary in ("", ", vary_on=[request]", ", vary_on=csrf_input"):
        with pytest.raises(TemplateSyntaxError, match=said):
            environment().from_string(f'{{% cached "a"{vary} %}}{source}{{% endcached %}}')


def test_mistakes_are_told_when_the_template_is_read():
    for source, said in [
        ('{% cached "a", on=1 %}{% endcached %}', "takes no 'on'"),
        ("{% cached %}{% endcached %}", "unexpected .end of statement"),
    ]:
        with pytest.raises(TemplateSyntaxError, match=said):
            environment().from_string(source)
