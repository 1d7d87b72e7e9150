"""The jinja2 sandbox that chat templates run in: no access to the interpreter, and no endless work.

jinja2's own immutable sandbox bars attributes that lead to the interpreter and caps ``range``. It does not bar a
template from building a string of many gigabytes, from nesting loops, or from comparing lists that contain one another.
Here every operation is charged to a budget (`decodekit.text.template_work`): bodies of loops and macros by their
length (`decodekit.text.template_syntax`), filters, methods, operators and comparisons by the size of what they touch
(`decodekit.text.template_prices`).

Texts of messages are marked (`decodekit.text.marked`), and stay so. Import this module only on use: it needs jinja2.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from jinja2 import Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import make_attrgetter
from jinja2.runtime import BlockReference, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from decodekit.text.marked import Marked, dump_json, formatted, has_marks, indented, joined, replaced, unclear
from decodekit.text.template_prices import (
    CHEAP_FILTERS,
    COMPARING_TESTS,
    EACH_PLACE,
    FOLLOWED_FILTERS,
    LIST_METHODS,
    PICKING_FILTERS,
    TEXT_METHODS,
    WIDENING,
    afford_format,
    afford_replacing,
    charge_comparison,
    charge_filter,
    depth_of,
    search_price,
)
from decodekit.text.template_syntax import Charging, GenerationBlock, QuietNamespace
from decodekit.text.template_work import ITEM, OPERATION, Work

__all__ = ["Sandbox"]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gteq": operator.ge,
    "lt": operator.lt,
    "lteq": operator.le,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for any number of templates and renderings, each with its own budget: see `budget`.

    Args:
        granted: functions that the templates may call, by name.
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, granted: dict[str, Callable[..., Any]]) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=self.written,
            extensions=["jinja2.ext.loopcontrols", GenerationBlock],
        )
        self._work: ContextVar[Work] = ContextVar("work of a chat template")
        self.concat = self._concatenated  # type: ignore[method-assign]
        own = {
            "tojson": self._tojson,
            "indent": indented,
            "join": self._join,
            "safe": _safe,
            "replace": self._replace,
            "format": self._format,
        }
        self.filters = {name: self._filter(name, each) for name, each in {**self.filters, **own}.items()}
        self.tests = {name: self._test(name, each) for name, each in self.tests.items()}  # type: ignore[arg-type]
        limits = {"range": self.globals["range"], "dict": self._dict, "namespace": QuietNamespace}
        self._granted = {**granted, **limits}
        self.globals.clear()
        self.globals.update(self._granted)

    @property
    def work(self) -> Work:
        """The budget of the current rendering."""
        return self._work.get()

    @contextmanager
    def budget(self, work: Work) -> Iterator[None]:
        """Charge what happens inside to this budget."""
        token = self._work.set(work)
        try:
            yield
        finally:
            self._work.reset(token)

    # -- what the rewritten template calls --------------------------------------------------------------------------

    def tick(self, units: int) -> bool:
        """Charge for one iteration of a loop or the body of a macro; returns True, for use in a condition."""
        self.work.spend(units)
        return True

    def written(self, value: Any) -> Any:
        """What the template writes for a value."""
        if value is None or isinstance(value, str | bool | float):
            self.work.spend(OPERATION + (len(value) if isinstance(value, str) else 0))
            return value
        self.work.spend(10 * self.work.size(value))  # a character's escape takes up to ten
        text = str(value)
        return unclear(text) if has_marks(value) else text

    def literal(self, value: Any) -> Any:
        """A list, tuple or mapping that the template wrote out."""
        return self.work.made(value)

    def compared(self, comparison: str, left: Any, right: Any) -> Any:
        """``left == right`` and the other comparisons, including ``in``."""
        charge_comparison(self.work, left, right, inside=comparison in ("in", "notin"))
        return _COMPARISONS[comparison](left, right)

    def sliced(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """``value[start:stop:step]``."""
        if isinstance(value, str | list | tuple):
            self.work.spend(OPERATION + 8 * len(value))
        return value[start:stop:step]

    def chained(self, *values: Any) -> str:
        """``a ~ b``."""
        return self._concatenated([str(self.written(value)) for value in values])

    # -- what jinja2 calls ------------------------------------------------------------------------------------------

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``; a tuple is hashed, which takes as long as it is large."""
        if isinstance(argument, tuple):
            self.work.size(argument)
        return super().getitem(obj, argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An arithmetic operator. What would be large is refused before it is made."""
        work = self.work
        work.spend(OPERATION)
        if operator == "**" and (abs(left) > 1e9 or abs(right) > 64):
            raise SecurityError("a power this large")
        if operator == "%" and isinstance(left, str):
            return work.made(self._percent(left, right))
        for value, other in ((left, right), (right, left)):
            if isinstance(value, str | list | tuple):
                times = max(other, 1) if operator == "*" and isinstance(other, int) else 1
                work.afford(len(value) * times)
                work.spend(8 * len(value) * times)
            elif not isinstance(value, int | float):
                work.size(value)
        return self._kept(work.made(super().call_binop(context, operator, left, right)), (left, right))

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """A method, a macro, or a function that was granted: jinja2 sends every call here."""
        owner = getattr(function, "__self__", None)
        named = {key: value for key, value in kwargs.items() if key not in ("_loop_vars", "_block_vars")}
        if owner is self:
            return function(*args, **named)
        self.work.spend(OPERATION + ITEM * (len(args) + len(named)))
        if isinstance(owner, str):
            return self._text_method(owner, function, args, named)
        name = getattr(function, "__name__", "")
        if isinstance(owner, list | tuple | dict | range):
            if name not in LIST_METHODS:
                raise SecurityError(f"calling {name}")
            shallow = name in ("get", "items", "keys", "values")
            self.work.spend(0 if shallow else len(owner) * (ITEM + self.work.size(args)))
            return self.work.made(function(*args, **named))
        if any(function is each for each in self._granted.values()):
            return self._unfollowed(super().call(context, function, *args, **kwargs), [args, named])
        if isinstance(owner, LoopContext):
            self.work.size(args)  # `changed` compares them
        elif not isinstance(function, Macro | BlockReference | LoopContext | Undefined):
            raise SecurityError(f"calling {name or type(function).__name__}")
        return super().call(context, function, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> None:
        """``str.format`` stays what it is until it is called, where its price is known."""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = Charging().visit(super()._parse(source, name, filename))
        return tree

    # -- prices -----------------------------------------------------------------------------------------------------

    def _text_method(self, owner: str, function: Any, args: Any, kwargs: Any) -> Any:
        name, work = function.__name__, self.work
        if name not in TEXT_METHODS:
            raise SecurityError(f"calling {name}")
        first = args[0] if args else None
        work.spend(search_price(owner, first, each_place=name in EACH_PLACE))
        work.spend(sum(map(work.size, args)))
        if name == "format":
            return work.made(self._braces(owner, args, kwargs))
        if name == "join":
            return work.made(self._joined(owner, first or ()))
        if name == "replace":
            afford_replacing(self.work, owner, args)
            return work.made(replaced(owner, *args))
        if name in WIDENING and isinstance(first, int):
            work.afford(len(owner) + first * (owner.count("\t") + 1))
        return self._kept(work.made(function(*args, **kwargs)), (owner, args))

    def _filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)  # keeps the mark that says whether the filter needs the context
        def charged(*args: Any, **kwargs: Any) -> Any:
            begin = 1 if hasattr(function, "jinja_pass_arg") else 0
            if name in ("sum", "unique") and isinstance(args[begin], Iterator):
                args = (*args[:begin], list(args[begin]), *args[begin + 1 :])
            given = [*args[begin:], *kwargs.values()]
            charge_filter(self.work, name, given)
            result = function(*args, **kwargs)
            if isinstance(result, Iterator) and not isinstance(result, str):
                return self._counted(result)
            if name in CHEAP_FILTERS:
                return result
            result = self.work.made(result)
            if name in PICKING_FILTERS or any(result is each for each in given):
                return result
            followed = name in FOLLOWED_FILTERS and isinstance(result, Marked)
            return result if followed else self._unfollowed(result, given)

        return charged

    def _test(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def charged(*args: Any, **kwargs: Any) -> Any:
            given = args[1:] if hasattr(function, "jinja_pass_arg") else args
            if name in COMPARING_TESTS and len(given) == 2:
                charge_comparison(self.work, *given, inside=name == "in")
            elif name in ("lower", "upper"):
                self.work.spend(10 * self.work.size(given))
            else:
                self.work.spend(OPERATION)
            return function(*args, **kwargs)

        return charged

    def _counted(self, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            self.work.spend(OPERATION)
            yield self.work.made(item) if isinstance(item, list | tuple) else item

    # -- texts ------------------------------------------------------------------------------------------------------

    def _kept(self, result: Any, inputs: Any) -> Any:
        """What Python's own methods and operators make: marked where `Marked` made it, and otherwise not followed."""
        return result if isinstance(result, Marked) else self._unfollowed(result, inputs)

    def _unfollowed(self, result: Any, inputs: Any) -> Any:
        """A text made of marked ones whose characters were not followed is unclear, also where a part has marks."""
        return unclear(result) if isinstance(result, str) and has_marks(inputs) else result

    def _concatenated(self, pieces: Iterable[str]) -> str:
        pieces = list(pieces)
        self.work.afford(sum(map(len, pieces)))
        return str(self.work.made(joined("", pieces)))

    def _joined(self, separator: str, items: Iterable[Any]) -> str:
        texts = [item if isinstance(item, str) else str(self.written(item)) for item in items]
        self.work.afford(len(separator) * len(texts) + sum(map(len, texts)))
        return joined(separator, texts)

    def _join(self, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
        if attribute is not None:
            value = map(make_attrgetter(self, attribute), value)
        return self._joined(str(d), value)

    def _replace(self, s: Any, old: Any, new: Any, count: int | None = None) -> str:
        afford_replacing(self.work, str(s), (old, new))
        return replaced(str(s), str(old), str(new), -1 if count is None else count)

    def _tojson(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """JSON as model templates expect it: not escaped for HTML, unlike jinja2's own filter."""
        if indent is not None:
            indent = min(int(indent), 16)
            self.work.afford(self.work.size(value) // ITEM * (indent + 1) * depth_of(value))
        return dump_json(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def _format(self, value: str, *args: Any, **kwargs: Any) -> str:
        if args and kwargs:
            raise SecurityError("a format with positional and named values")
        return self._percent(str(value), kwargs or args)

    def _percent(self, text: str, values: Any) -> str:
        afford_format(self.work, text, values, text.count("%"), nested="*" in text)
        return formatted(text, values, lambda given: str.__mod__(text, given), percent=True)

    def _braces(self, text: str, args: Any, kwargs: Any) -> str:
        afford_format(
            self.work, text, (args, kwargs), text.count("{"), nested=re.search(r":[^{}]*\{", text) is not None
        )
        build = super().wrap_str_format(str.__str__(text).format)
        assert build is not None
        return formatted(text, (*args, kwargs), lambda given: build(*given[:-1], **given[-1]), percent=False)

    def _dict(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        made = dict(*args, **kwargs)
        if not all(isinstance(key, str) for key in made):
            self.work.spend(20 * len(made) ** 2)  # numbers can be chosen so that they all hash alike
        return self.work.made(made)  # type: ignore[no-any-return]


def _safe(value: Any) -> str:
    """The filter ``safe``: nothing is escaped here, so the text stays as it is."""
    return str(value)
