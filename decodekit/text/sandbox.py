"""The jinja2 sandbox that chat templates run in: no way out, and no endless work.

jinja2's own immutable sandbox bars attributes that lead to the interpreter and caps ``range``. It does not bar a
template from building a string of many gigabytes, or from nesting loops. Here every loop body and macro costs a tick,
and every value that could have grown is weighed. Import this module on use only: it needs jinja2.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["MAX_TICKS", "Sandbox"]

MAX_TICKS = 100_000
"""How many loop rounds and macro calls a template may make."""

_WIDENING = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill"})
_BARRED = frozenset({"format", "format_map"})  # a width in a format string asks for any amount of memory
_BARRED_FILTERS = frozenset({"batch", "center", "format", "slice"})


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for one rendering.

    Args:
        limit: the weight, in characters and items, that one value may have.
    """

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, limit: int) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=self.weighed,
            extensions=["jinja2.ext.loopcontrols"],
        )
        self._limit = limit
        self._ticks = 0
        self.filters = {name: self._guarded(name, each) for name, each in {**self.filters, "tojson": _tojson}.items()}
        for name in ("cycler", "joiner", "lipsum"):
            self.globals.pop(name, None)

    def tick(self) -> None:
        """Count one loop round or macro call."""
        self._ticks += 1
        if self._ticks > MAX_TICKS:
            raise SecurityError(f"more than {MAX_TICKS} rounds of loops")

    def weighed(self, value: Any) -> Any:
        """The value itself, if it is not too large. A list that holds another one twice counts it twice."""
        weight, stack = 0, [value]
        while stack:
            item = stack.pop()
            weight += len(item) if isinstance(item, str | bytes) else 1
            if weight > self._limit:
                raise SecurityError(f"a value of more than {self._limit} characters or items")
            if isinstance(item, list | tuple | set | frozenset):
                stack.extend(item)
            elif isinstance(item, Mapping):
                stack.extend(item.keys())
                stack.extend(item.values())
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse what would be large before it is."""
        if operator == "**" and (abs(left) > 1e9 or abs(right) > 64):
            raise SecurityError("a power this large")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("formatting with the % operator")
        if operator == "*":
            for value, times in ((left, right), (right, left)):
                if isinstance(value, str | list | tuple) and isinstance(times, int):
                    self._affordable(len(value) * max(times, 0))
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and result.bit_length() > 4096:
            raise SecurityError("a number this large")
        return self.weighed(result)

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The same for methods: jinja2 brings every call here."""
        name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
        if name in _BARRED:
            raise SecurityError(f"calling {name}")
        if name in _WIDENING and args and isinstance(args[0], int):
            self._affordable(args[0] * (owner.count("\t") + 1 if isinstance(owner, str) else 1))
        if isinstance(owner, str):
            self._check_product(name, owner, args)
        return super().call(context, function, *args, **kwargs)

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)  # keeps the mark that says whether the filter wants the context
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if name in _BARRED_FILTERS:
                raise SecurityError(f"the filter {name!r}")
            given = list(args[1:] if hasattr(function, "jinja_pass_arg") else args) + list(kwargs.values())
            for value in given:
                self.weighed(value)
            if given and name == "replace":
                self._check_product("replace", str(given[0]), given[1:])
            if given and name == "join":
                self._check_product("join", str(given[1]) if len(given) > 1 else "", given[:1])
            if name in ("indent", "wordwrap", "truncate", "round", "tojson"):
                for value in given[1:]:
                    self._affordable(10_000 * abs(value) if isinstance(value, int | float) else 0)
            result = function(*args, **kwargs)
            return self.weighed(result)

        return guarded

    def _check_product(self, name: str, text: str, args: Any) -> None:
        if name == "replace" and len(args) >= 2:
            self._affordable(len(text) + (text.count(str(args[0])) + 1) * len(str(args[1])))
        if name == "join" and args and hasattr(args[0], "__len__"):
            self._affordable(len(text) * len(args[0]))

    def _affordable(self, size: float) -> None:
        if size > self._limit:
            raise SecurityError(f"a value of {size:.0f} characters or items")

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        tick = nodes.EnvironmentAttribute("tick")
        for body in list(tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock))):
            body.body.insert(0, nodes.ExprStmt(nodes.Call(tick, [], [], None, None)))  # type: ignore[attr-defined]
        for concat in list(tree.find_all(nodes.Concat)):
            weighed = nodes.EnvironmentAttribute("weighed")
            concat.nodes = [nodes.Call(weighed, [each], [], None, None) for each in concat.nodes]
        return tree


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as model templates expect it: not escaped for HTML, unlike jinja2's own filter."""
    indent = None if indent is None else min(int(indent), 16)
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
