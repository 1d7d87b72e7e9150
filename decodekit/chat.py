"""Chat templates: a conversation to the text a model was trained on, in a sandbox.

A template comes with the model file, so it is a stranger's program. It runs in jinja2's immutable sandbox, sees
nothing but the messages, and is stopped when it writes or works too much.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from decodekit.errors import ConfigError, ParameterError

__all__ = ["MAX_OUTPUT", "render_chat"]

MAX_OUTPUT = 1_000_000
"""The longest text a template may write beyond the messages themselves, in characters."""

_MAX_ITEMS = 100_000  # chunks a template may yield: a loop that writes little is stopped as well


def render_chat(
    template: str,
    messages: Sequence[Mapping[str, str]],
    *,
    bos_token: str = "",
    eos_token: str = "",
    add_generation_prompt: bool = True,
) -> str:
    """The text of a conversation in a model's own format.

    Args:
        template: a Jinja template as models carry it.
        messages: mappings with the string keys ``role`` and ``content``.
        bos_token: what the template may call ``bos_token``.
        eos_token: the same for ``eos_token``.
        add_generation_prompt: end where the assistant's answer begins.

    Raises:
        ParameterError: the messages are not of this shape.
        ConfigError: jinja2 is not installed, or the template is broken, refuses the messages or does too much.
    """
    plain = _checked(messages)
    try:
        import jinja2
        from jinja2.exceptions import SecurityError
    except ImportError:
        raise ConfigError("chat templates need jinja2: pip install 'decodekit[llamacpp]'") from None
    limit = MAX_OUTPUT + 4 * sum(len(message["content"]) for message in plain)
    try:
        compiled = _environment(limit).from_string(template)
        pieces, size = [], 0
        for count, piece in enumerate(
            compiled.generate(
                messages=plain,
                bos_token=bos_token,
                eos_token=eos_token,
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
            )
        ):
            pieces.append(piece)
            size += len(piece)
            if size > limit or count > _MAX_ITEMS:
                raise ConfigError(f"the chat template was stopped: it wrote {size} characters in {count + 1} pieces")
    except _Refused as error:
        raise ConfigError(f"the chat template refuses these messages: {error}") from None
    except SecurityError as error:
        raise ConfigError(f"the chat template tried something the sandbox forbids: {error}") from None
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"the chat template is not valid Jinja (line {error.lineno}): {error.message}") from None
    except jinja2.TemplateError as error:
        raise ConfigError(f"the chat template failed: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"the chat template failed: {type(error).__name__}: {error}") from None
    return "".join(pieces)


class _Refused(Exception):
    """The template called raise_exception."""


def _environment(limit: int) -> Any:
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        # The sandbox caps range() but not a string or list times a number, nor powers: each is one step of unlimited
        # work. Attribute access is jinja2's own rule; format strings are covered by its sandboxed formatter.
        intercepted_binops = frozenset({"*", "**", "%", "+"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" and (abs(left) > limit or abs(right) > 64):
                raise SecurityError("a power this large")
            if operator == "*":
                for sequence, factor in ((left, right), (right, left)):
                    if isinstance(sequence, str | list | tuple) and isinstance(factor, int):
                        _bounded(len(sequence) * max(factor, 0))
            if operator == "%" and isinstance(left, str):
                raise SecurityError("formatting with the % operator")
            result = super().call_binop(context, operator, left, right)
            if isinstance(result, str | list | tuple):
                _bounded(len(result))
            elif isinstance(result, int) and result.bit_length() > 4096:
                raise SecurityError("a number this large")
            return result

        def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            # str.center, ljust, zfill and their like widen a string by a plain number.
            if getattr(function, "__name__", "") in _WIDENING and args and isinstance(args[0], int):
                _bounded(args[0])
            result = super().call(context, function, *args, **kwargs)
            if isinstance(result, str | list | tuple):
                _bounded(len(result))
            return result

    def _bounded(size: int) -> None:
        if size > limit:
            raise SecurityError(f"a value of {size} characters or items")

    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    for name in ("center", "format", "indent", "pprint", "batch", "slice", "map", "urlize", "wordwrap", "xmlattr"):
        if name in _UNBOUNDED_FILTERS:
            environment.filters[name] = _forbidden(name)
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    for name in ("lipsum", "cycler", "joiner"):
        environment.globals.pop(name, None)
    return environment


_WIDENING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})
_UNBOUNDED_FILTERS = frozenset({"center", "format", "batch", "slice"})


def _forbidden(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        from jinja2.exceptions import SecurityError

        raise SecurityError(f"the filter {name!r}")

    return refuse


def _raise_exception(message: object) -> NoReturn:
    raise _Refused(str(message)[:500])


def _strftime_now(format: str) -> str:  # noqa: A002 - templates call it by this name
    return datetime.now().strftime(format)


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


def _checked(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise ParameterError(f"messages must be a list of mappings with role and content, not {type(messages).__name__}")
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise ParameterError(f"message {number} must be a mapping with role and content, not {message!r}")
        for key in ("role", "content"):
            if not isinstance(message.get(key), str):
                raise ParameterError(f"message {number} needs a string {key!r}; it has {message.get(key)!r}")
    return [{str(key): value for key, value in message.items()} for message in messages]
