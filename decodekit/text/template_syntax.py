"""What chat templates may write beyond jinja2's own syntax, and the price of operations that are not calls.

A compiled template loops, compares, joins and slices by itself, where it cannot be charged. `Charging` turns
these into calls of the sandbox when the template is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from decodekit.text.template_work import OPERATION

__all__ = ["Charging", "GenerationBlock", "QuietNamespace"]


class GenerationBlock(Extension):
    """``{% generation %}`` marks what the assistant wrote, for training; it writes nothing itself."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 reads it from the class

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class QuietNamespace(Namespace):
    """A namespace whose repr leaves out its content: two that contain one another would have no end."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # a template may say namespace(self=...)
        attributes = dict(*args[1:], **kwargs)
        for name in attributes:
            _barred(name)
        Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _barred(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<Namespace>"


class Charging(NodeTransformer):
    """Charges for what compiled templates do without a call."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - jinja2 finds it by this name
        units = _price([node])
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_ask("tick", nodes.Const(units))))
        if node.test is not None:
            node.test = nodes.And(_ask("tick", nodes.Const(units)), node.test)
        return node

    def visit_Macro(self, node: Any) -> Any:  # noqa: N802
        units = _price(node.body)
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_ask("tick", nodes.Const(units))))
        return node

    visit_CallBlock = visit_Block = visit_Macro  # noqa: N815

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        left, made = node.expr, None
        for operand in node.ops:
            one = _ask("compared", nodes.Const(operand.op), left, operand.expr)
            made = one if made is None else nodes.And(made, one)
            left = operand.expr
        return made or node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _ask("chained", *node.nodes)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        return _ask("sliced", node.node, *(each or nodes.Const(None) for each in bounds))

    def visit_List(self, node: Any) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        constant = all(isinstance(each, nodes.Const) for each in getattr(node, "items", ()))
        return node if constant or getattr(node, "ctx", "load") != "load" else _ask("literal", node)

    visit_Tuple = visit_Dict = visit_List  # noqa: N815


def _ask(name: str, *args: nodes.Expr) -> nodes.Expr:
    return nodes.Call(nodes.EnvironmentAttribute(name), list(args), [], None, None)


def _price(body: Iterable[nodes.Node]) -> int:
    """The largest cost of one iteration of a body, from its source: nodes, and characters of text."""
    price = OPERATION
    for each in body:
        price += sum(100 for _ in each.find_all(nodes.Node))
        price += sum(len(text.data) for text in each.find_all(nodes.TemplateData))
    return price


def _barred(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace has no attribute {name!r}")
