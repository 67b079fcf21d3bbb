"""Editing a policy class in its source: attributes set and taken out, a model given its own.

Works on the syntax tree's line numbers, so that comments and layout stay as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

LINE = 99


class NotFound(Exception):
    """The class is not written in a way that can be edited."""


def with_attributes(
    text: str, class_name: str, values: Mapping[str, object], drop: tuple[str, ...] = ()
) -> str:
    """`text` with these attributes of the class set to `values`, and those in `drop` gone."""
    node = _class(ast.parse(text), class_name)
    lines = text.splitlines()
    wanted = dict(values)
    edits: list[tuple[int, int, list[str]]] = []
    for statement in node.body:
        name = _assigned(statement)
        if name in wanted:
            edits.append((*_span(statement), [_assignment(statement, name, wanted.pop(name))]))
        elif name in drop:
            edits.append((*_span(statement), []))
    if wanted:
        first = node.body[0]
        indent = " " * first.col_offset
        added = [f"{indent}{name} = {_spelled(value)}" for name, value in wanted.items()]
        edits.append(_insertion(node, lines, added))
    for begin, end, instead in sorted(edits, reverse=True):
        lines[begin:end] = instead
    if not _class(ast.parse(_padded(lines, node)), class_name).body:
        raise NotFound(class_name)
    return _padded(lines, node)


def with_class_of_its_own(
    text: str, class_name: str, model_name: str, values: Mapping[str, object]
) -> str:
    """`text` with the model taken out of the decorator that registers several for one class, and
    registered with a subclass that has these `values`."""
    tree = ast.parse(text)
    node = _class(tree, class_name)
    decorator = _registration(node, model_name)
    others = [ast.unparse(each) for each in decorator.args if not _names(each, model_name)]
    register = ast.unparse(decorator.func)
    taken = {each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}
    name = next(n for n in (f"{model_name}Policy", f"{model_name}OwnPolicy") if n not in taken)
    lines = text.splitlines()
    end = node.end_lineno or node.lineno
    (own,) = [ast.unparse(each) for each in decorator.args if _names(each, model_name)]
    body = [f"    {attribute} = {_spelled(value)}" for attribute, value in values.items()]
    lines[end:end] = ["", "", f"@{register}({own})", f"class {name}({class_name}):", *body]
    begin, stop = _span(decorator)
    lines[begin:stop] = _call(register, others)
    return "\n".join(lines) + "\n"


def _class(tree: ast.Module, name: str) -> ast.ClassDef:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise NotFound(name)


def _registration(node: ast.ClassDef, model_name: str) -> ast.Call:
    for each in node.decorator_list:
        if isinstance(each, ast.Call) and not each.keywords:
            named = [arg for arg in each.args if _names(arg, model_name)]
            if len(named) == 1 and len(each.args) > 1:
                return each
    raise NotFound(f"the registration of {model_name}")


def _names(argument: ast.expr, model_name: str) -> bool:
    return ast.unparse(argument).rpartition(".")[2] == model_name


def _assigned(statement: ast.stmt) -> str:
    target: Any = None
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    return target.id if isinstance(target, ast.Name) else ""


def _assignment(statement: ast.stmt, name: str, value: object) -> str:
    kind = f": {ast.unparse(statement.annotation)}" if isinstance(statement, ast.AnnAssign) else ""
    return f"{' ' * statement.col_offset}{name}{kind} = {_spelled(value)}"


def _insertion(
    node: ast.ClassDef, lines: list[str], added: list[str]
) -> tuple[int, int, list[str]]:
    """Where new attributes go: after the last one, else after the docstring, else first."""
    last = None
    for statement in node.body:
        if _assigned(statement):
            last = statement
    if last is not None:
        end = _span(last)[1]
        return end, end, added
    first = node.body[0]
    if isinstance(first, ast.Pass) and len(node.body) == 1:
        return (*_span(first), added)
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        end = _span(first)[1]
        return end, end, ["", *added]
    begin = _span(first)[0]
    if isinstance(first, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        begin = min([begin, *(_span(each)[0] for each in first.decorator_list)])
    return begin, begin, [*added, ""]


def _padded(lines: list[str], node: ast.ClassDef) -> str:
    """The text; a class whose last statement was taken out gets a `pass`."""
    text = "\n".join(lines) + "\n"
    try:
        ast.parse(text)
    except SyntaxError:
        head = node.body[0].lineno - 1
        padded = [*lines[:head], " " * node.body[0].col_offset + "pass", *lines[head:]]
        text = "\n".join(padded) + "\n"
        try:
            ast.parse(text)
        except SyntaxError as error:
            raise NotFound(node.name) from error
    return text


def _span(node: ast.stmt | ast.expr) -> tuple[int, int]:
    """The lines of a node, as a slice."""
    return node.lineno - 1, node.end_lineno or node.lineno


def _spelled(value: object) -> str:
    """A literal, with the quotes that people use."""
    if isinstance(value, str):
        return f'"{value}"' if '"' not in value and "\\" not in value else repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    return repr(value)


def _call(register: str, arguments: list[str]) -> list[str]:
    line = f"@{register}({', '.join(arguments)})"
    if len(line) <= LINE:
        return [line]
    return [f"@{register}(", *(f"    {each}," for each in arguments), ")"]
