"""Chat templates: a conversation to the text a model was trained on.

A template comes with the model file, so it is a stranger's program: it runs in a sandbox, sees nothing but the
messages, and is stopped when it writes or works too much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NoReturn

from decodekit.errors import ConfigError, ParameterError

__all__ = ["MAX_OUTPUT", "render_chat"]

MAX_OUTPUT = 1_000_000
"""How many characters a template may write beyond four times the messages themselves."""


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

        from decodekit.text.sandbox import Sandbox
    except ImportError:
        raise ConfigError("chat templates need jinja2, as the adapters' extras bring it: pip install jinja2") from None
    limit = MAX_OUTPUT + 4 * sum(len(message["content"]) for message in plain)
    environment = Sandbox(limit)
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    visible = {
        "messages": plain,
        "bos_token": bos_token,
        "eos_token": eos_token,
        "add_generation_prompt": add_generation_prompt,
        "tools": None,
        "documents": None,
    }
    pieces: list[str] = []
    size = 0
    try:
        for piece in environment.from_string(template).generate(visible):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise SecurityError(f"a text of more than {limit} characters")
    except _Refused as error:
        raise ConfigError(f"the chat template refuses these messages: {error}") from None
    except SecurityError as error:
        raise ConfigError(f"the chat template was stopped; it tried what the sandbox forbids: {error}") from None
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"the chat template is not valid Jinja (line {error.lineno}): {error.message}") from None
    except jinja2.TemplateError as error:
        raise ConfigError(f"the chat template failed: {error}") from None
    except Exception as error:  # a template can raise anything Python can
        raise ConfigError(f"the chat template failed: {type(error).__name__}: {str(error)[:500]}") from None
    return "".join(pieces)


class _Refused(Exception):
    """The template called raise_exception."""


def _raise_exception(message: object) -> NoReturn:
    raise _Refused(str(message)[:500])


def _strftime_now(format: str) -> str:  # noqa: A002 - templates know it by this name
    return datetime.now().strftime(format[:100])


def _checked(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise ParameterError(
            f"messages must be a list of mappings with role and content, not {type(messages).__name__}"
        )
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise ParameterError(f"message {number} must be a mapping with role and content, not {message!r}")
        for key in ("role", "content"):
            if not isinstance(message.get(key), str):
                raise ParameterError(f"message {number} needs a string {key!r}; it has {message.get(key)!r}")
    return [dict(message) for message in messages]
