"""``{% cached %}`` for Jinja2::

    "OPTIONS": {"extensions": ["cachepatterns.contrib.jinja2.CachedExtension"]}

    {% cached "teaser", depends_on=[product, "shop.Review"], tier="volatile" %}…{% endcached %}

`vary_on` and `depends_on` take one value or a list of them; otherwise it is the block of
`cachepatterns.templatetags`. What is withheld from a block is told when the template is read.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from markupsafe import Markup

from cachepatterns.rendered.fragments import fragment

OPTIONS = ("tier", "ttl", "version", "vary_on", "depends_on")
PERSONAL = frozenset(
    {"request", "user", "perms", "messages", "session", "csrf_token", "csrf_input", "csrf_field",
     "loop", "self", "super", "caller"}
)  # fmt: skip
"""Names that stand for the visitor, or for where in a page the block stands."""
_NEVER_WHOLE = frozenset({"request", "messages", "csrf_token", "csrf_input", "csrf_field"})
_KNOWN_BY = frozenset({"pk", "id"})
_OTHERS = "other templates may fill otherwise:"
_OTHERS_SEE = "is not the same for all who will be shown it: move it out, or"


class CachedExtension(Extension):
    """The tag ``{% cached %}``."""

    tags = {"cached"}

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as a call that is given its text to render."""
        line = next(parser.stream).lineno
        name = parser.parse_expression()
        given: list[nodes.Keyword] = []
        while parser.stream.skip_if("comma"):
            word = parser.stream.expect("name").value
            if word not in OPTIONS:
                parser.fail(f"A cached block takes no {word!r}, but {', '.join(OPTIONS)}.", line)
            parser.stream.expect("assign")
            given.append(nodes.Keyword(word, parser.parse_expression()))
        body = parser.parse_statements(("name:endcached",), drop_needle=True)
        varies = [part for each in given if each.key == "vary_on" for part in _each(each.value)]
        _Withholding(parser, _allowed(varies)).check(body)
        digest = blake2b(f"{parser.name}\x00{body!r}".encode(), digest_size=12).hexdigest()
        call = self.call_method(
            "_text", [name, nodes.Const(digest), nodes.ContextReference()], given
        )
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _text(
        self,
        name: str,
        source: str,
        context: Any,
        caller: Callable[[], str],
        vary_on: Any = (),
        depends_on: Any = (),
        **options: Any,
    ) -> str:
        autoescape = bool(context.eval_ctx.autoescape)
        text = fragment(
            name,
            caller,
            source=source,
            vary_on=_several(vary_on),
            depends_on=_several(depends_on),
            autoescape=autoescape,
            **options,
        )
        return Markup(text) if autoescape else str.__str__(text)


def _several(given: Any) -> Any:
    return given if isinstance(given, (list, tuple)) else [given]


def _each(value: nodes.Node) -> list[nodes.Node]:
    return list(value.items) if isinstance(value, (nodes.List, nodes.Tuple)) else [value]


def _allowed(varies: list[nodes.Node]) -> set[str]:
    """What a block may use that varies on these, as the parser writes it."""
    found = set()
    for each in varies:
        if isinstance(each, nodes.Getattr) and each.attr in _KNOWN_BY:
            each = each.node
        if not (isinstance(each, nodes.Name) and each.name in _NEVER_WHOLE):
            found.add(repr(each))
    return found


class _Withholding:
    def __init__(self, parser: Parser, allowed: set[str]) -> None:
        self._parser, self._allowed = parser, allowed

    def check(self, body: list[nodes.Node], own: frozenset[str] = frozenset()) -> None:
        """Fail where what others will be shown uses what is one visitor's."""
        for node in body:
            self._check(node, own)

    def _check(self, node: nodes.Node, own: frozenset[str]) -> None:
        if repr(node) in self._allowed:
            return
        if isinstance(node, nodes.Block):
            self._fail(node, f"There is a block in it, which {_OTHERS} put it into that block.")
        if isinstance(node, nodes.Include):
            self._fail(node, "It includes a template: put the cached block into that one.")
        if isinstance(node, (nodes.Import, nodes.FromImport)) and node.with_context:
            self._fail(node, "What it imports could use the request: say 'without context'.")
        if isinstance(node, nodes.Name) and node.ctx == "load" and node.name in PERSONAL - own:
            self._fail(node, f"It uses {node.name!r}, which {_OTHERS_SEE} have it vary on that.")
        if isinstance(node, nodes.For):
            own = own | {"loop"}
        if isinstance(node, (nodes.Macro, nodes.CallBlock)):
            own = own | {"caller"}
        for inner in node.iter_child_nodes():
            self._check(inner, own)

    def _fail(self, node: nodes.Node, why: str) -> None:
        self._parser.fail(f"A cached block can not be kept for all. {why}", node.lineno)
