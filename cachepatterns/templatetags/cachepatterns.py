"""``{% load cachepatterns %}``: the block tag ``{% cached %}``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from django import template
from django.template import Node, NodeList, TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Token, Variable
from django.template.loader_tags import BlockNode

from cachepatterns.rendered.fragments import fragment
from cachepatterns.rendered.withheld import ALWAYS, SAME_FOR_ALL, Path, Watch, replacements

register = template.Library()

OPTIONS = ("tier", "ttl", "version")
LISTS = ("vary_on", "depends_on", "shared")
_BIT = re.compile(r"(\w+)=(.+)", re.DOTALL)
_COMMA = re.compile(r""",(?=(?:[^"']|"[^"]*"|'[^']*')*$)""")
USAGE = (
    '{% cached "name" tier="static" ttl=60 vary_on=user,page depends_on=product,"shop.Review" %}'
    "…{% endcached %}"
)


@register.tag
def cached(parser: Parser, token: Token) -> CachedNode:
    """What is between the tags, rendered once until something that it depends on is written.

    ::

        {% cached "teaser" depends_on=product,"shop.Review" tier="volatile" %}…{% endcached %}

    * ``depends_on``: rows, querysets, models (``"shop.Product"``), named tags (``"homepage"``,
      or of `cachepatterns.tag`). Rows and querysets tell fragments apart as well.
    * ``vary_on``: what else tells them apart: numbers, texts, dates, rows, the user. The language,
      the time zone and whether texts are escaped always do.
    * ``shared``: variables of context processors that are the same for everybody. All others, the
      request, the user and what stands for them are withheld from the block unless it varies on
      them.
    * ``tier``, ``ttl`` (seconds), ``version``: as of `cachepatterns.cached`.

    Several are given with commas between, without spaces.
    """
    bits = token.split_contents()[1:]
    if not bits:
        raise TemplateSyntaxError(f"A cached block needs a name: {USAGE}")
    name = parser.compile_filter(bits[0])
    options: dict[str, FilterExpression] = {}
    lists: dict[str, list[FilterExpression]] = {each: [] for each in LISTS}
    for bit in bits[1:]:
        found = _BIT.match(bit)
        word, text = found.groups() if found else (bit, "")
        if word in LISTS:
            lists[word] += [parser.compile_filter(part) for part in _COMMA.split(text) if part]
        elif word in OPTIONS and text:
            options[word] = parser.compile_filter(text)
        else:
            raise TemplateSyntaxError(f"A cached block takes no {bit!r}: {USAGE}")
    source = _source(parser)
    nodes = parser.parse(("endcached",))
    parser.delete_first_token()
    if nodes.get_nodes_by_type(BlockNode):
        raise TemplateSyntaxError(
            f"There is a {{% block %}} in the cached block {bits[0]}: other templates may fill it "
            "otherwise. Put the cached block into the block."
        )
    return CachedNode(nodes, name, options, lists, source)


def _source(parser: Parser) -> str:
    """What stands between the tags, and in which template."""
    digest, depth = blake2b(digest_size=12), 0
    origin = getattr(parser, "origin", None)
    digest.update(str(getattr(origin, "template_name", "")).encode())
    tokens: list[Any] = list(parser.tokens)
    for token in reversed(tokens):
        word = token.contents.partition(" ")[0] if token.token_type.name == "BLOCK" else ""
        depth += (word == "cached") - (word == "endcached")
        if depth < 0:
            break
        digest.update(f"\x00{token.token_type.name}{token.contents}".encode())
    return digest.hexdigest()


class CachedNode(Node):
    child_nodelists = ("nodelist",)

    def __init__(
        self,
        nodelist: NodeList,
        name: FilterExpression,
        options: dict[str, FilterExpression],
        lists: dict[str, list[FilterExpression]],
        source: str,
    ) -> None:
        self.nodelist, self._name, self._options = nodelist, name, options
        self._lists, self._source = lists, source
        self._varies = [path for word in ("vary_on", "depends_on") for path in _paths(lists[word])]
        self._shared = {path[0] for path in _paths(lists["shared"])}

    def render(self, context: Any) -> str:
        name = self._name.resolve(context)
        return fragment(
            name,
            lambda: self._render(str(name), context),
            source=self._source,
            vary_on=[each.resolve(context) for each in self._lists["vary_on"]],
            depends_on=[each.resolve(context) for each in self._lists["depends_on"]],
            autoescape=context.autoescape,
            **{word: value.resolve(context) for word, value in self._options.items()},
        )

    def _render(self, name: str, context: Any) -> str:
        watch = Watch(name)
        names = _personal(context) - self._shared
        values = {each: context.get(each) for each in names}
        with context.push(**replacements(watch, names, values, self._varies)):
            text = self.nodelist.render(context)
        watch.check()
        return text


def _paths(expressions: Iterable[FilterExpression]) -> Iterable[Path]:
    for each in expressions:
        if isinstance(each.var, Variable) and each.var.lookups and not each.filters:
            yield tuple(each.var.lookups)


def _personal(context: Any) -> set[str]:
    """The variables that may not be the same for all: what context processors have given."""
    names = {name for name in ALWAYS if name in context}
    index = getattr(context, "_processors_index", None)
    if index is not None:
        given = context.dicts[index].keys() - SAME_FOR_ALL
        names |= {n for n in given if not any(n in each for each in context.dicts[index + 1 :])}
    return names
