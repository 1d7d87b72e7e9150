"""Chat templates: a conversation to the text a model was trained on, and that text to token ids.

A template comes with the model file, so it is untrusted code: it runs in a sandbox, sees nothing but the messages, and
is stopped when it writes or computes too much. What users wrote is untrusted text: the markup of a control token in it
is plain text, and only the template opens and closes turns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from decodekit.errors import ConfigError, message_of
from decodekit.text.marked import LAST, UNCLEAR, joined, marks_of
from decodekit.text.messages import checked_messages, has_parts, join_parts, mark_last

if TYPE_CHECKING:
    import jinja2

    from decodekit.text.sandbox import Sandbox
    from decodekit.text.tokenizer import Message

__all__ = ["MAX_OUTPUT", "MAX_TEMPLATE", "RenderedChat", "encode_chat", "render", "render_chat"]

MAX_OUTPUT = 1_000_000
"""How many characters a template may write beyond four times the messages themselves."""

MAX_TEMPLATE = 100_000
"""How many characters a template itself may have. The longest ones in model files have about 30,000."""


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """A conversation in a model's own format.

    Args:
        text: the text.
        marks: where each of its characters came from, as in `decodekit.text.marked`; one byte for each character.
    """

    text: str
    marks: bytes


def render_chat(
    template: str,
    messages: Sequence[Message],
    *,
    bos_token: str = "",
    eos_token: str = "",
    add_generation_prompt: bool = True,
) -> str:
    """The text of a conversation in a model's own format; see `render`.

    To have the markup in messages read as control tokens, encode this text with ``special=True`` yourself.
    """
    return render(
        template,
        messages,
        bos_token=bos_token,
        eos_token=eos_token,
        add_generation_prompt=add_generation_prompt,
    ).text


def render(
    template: str,
    messages: Sequence[Message],
    *,
    bos_token: str = "",
    eos_token: str = "",
    add_generation_prompt: bool = True,
) -> RenderedChat:
    """A conversation in a model's own format, and which of its characters come from messages.

    Texts equal those of transformers' ``apply_chat_template``. Where the last message is the assistant's, the text ends
    with that message, so that the model continues it (``continue_final_message`` there).

    Args:
        template: a Jinja template, as in model files.
        messages: mappings with the string key ``role``, and ``content``: a string, or a list of parts; it
            may be None beside ``tool_calls``. The texts of parts are joined, a line each, where the template does not
            read parts. Other keys, such as ``tool_calls``, hold plain data for the template.
        bos_token: the value of ``bos_token`` in the template.
        eos_token: the same for ``eos_token``.
        add_generation_prompt: end where the assistant's answer begins or continues. Otherwise end with the last turn.

    Raises:
        ParameterError: the messages are not of this shape.
        ConfigError: jinja2 is not installed; the template is broken, refuses the messages or does too much; or it
            drops the text that is to be continued.
    """
    plain = checked_messages(messages)
    if has_parts(plain) and not _reads_parts(template):
        join_parts(plain)
    goes_on = add_generation_prompt and plain[-1]["role"] == "assistant"
    if goes_on:
        mark_last(plain)
    visible = {
        "messages": plain,
        "bos_token": bos_token,
        "eos_token": eos_token,
        "add_generation_prompt": add_generation_prompt and not goes_on,
        "tools": None,
        "documents": None,
    }
    try:
        text = _written(template, visible)
    except ConfigError:
        bare = [message for message in plain if "content" not in message]
        if not bare:
            raise
        for message in bare:  # it only calls tools; most templates do not look for its content
            more = {key: message.pop(key) for key in list(message) if key != "role"}
            message.update({"content": "", **more})
        text = _written(template, visible)
    marks = marks_of(text)
    if goes_on:
        end = marks.rfind(bytes([LAST])) + 1
        if not end:
            raise ConfigError("the chat template drops the assistant's last message, which is to be continued")
        text, marks = text[:end], marks[:end]
    return RenderedChat(str.__str__(text), marks)


def encode_chat(
    chat: RenderedChat,
    control_tokens: Mapping[str, int],
    encode: Callable[[str, bool], list[int]],
    *,
    unknown: Collection[int] = (),
) -> list[int]:
    """The ids of a rendered conversation, in which only the template writes control tokens.

    Where the messages hold no markup of a control token, the whole text is encoded at once, as transformers does it.
    Otherwise it is cut at the template's own control tokens; no token spans such a cut.

    Args:
        chat: the conversation.
        control_tokens: the ids of all of them, by their markup.
        encode: the ids of a text; with True, the markup in it is read as control tokens.
        unknown: those of the control tokens that may stand for letters of plain text.

    Raises:
        ConfigError: the template changed a text with such markup so that its origin is unknown; or the vocabulary
            encodes plain text as control tokens.
    """
    pattern = _pattern(tuple(control_tokens))
    found = [match.span() for match in pattern.finditer(chat.text)]
    trusted = [
        (run.start() + match.start(), run.start() + match.end())
        for run in re.finditer(rb"\0+", chat.marks)
        for match in pattern.finditer(chat.text[run.start() : run.end()])
    ]
    if found == trusted:
        return encode(chat.text, True)
    forged = sorted(set(found) - set(trusted))
    for start, end in forged:
        if UNCLEAR in chat.marks[start:end]:
            raise ConfigError(
                f"the chat template changes a message so that the origin of {chat.text[start:end]!r} is unknown; "
                "remove this markup from the message"
            )
    ids: list[int] = []
    begun = at = 0
    for start, end in [*trusted, (len(chat.text), len(chat.text))]:
        if any(left < start and at < right for left, right in forged):
            ids += encode(chat.text[begun:at], True) if begun < at else []
            ids += _as_text(chat.text[at:start], set(control_tokens.values()).difference(unknown), encode)
            begun = start
        at = end
    return ids + (encode(chat.text[begun:], True) if begun < len(chat.text) else [])


def _as_text(text: str, control_tokens: Collection[int], encode: Callable[[str, bool], list[int]]) -> list[int]:
    ids = encode(text, False)
    if not set(ids).isdisjoint(control_tokens):
        raise ConfigError(f"this vocabulary reads plain text as control tokens; remove the markup from {text[:60]!r}")
    return ids


@lru_cache(maxsize=8)
def _pattern(control_tokens: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, control_tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


@lru_cache(maxsize=8)
def _reads_parts(template: str) -> bool:
    """Whether a template reads the texts of a list of parts, which is tried: others write the list, or nothing."""
    part = {"type": "text", "text": "seen by it"}
    message = {"role": "user", "content": [part]}
    visible = {"messages": [message], "bos_token": "", "eos_token": "", "add_generation_prompt": False}
    try:
        text = _written(template, visible | {"tools": None, "documents": None})
    except ConfigError:
        return False
    return part["text"] in text and "'type'" not in text and '"type"' not in text


def _written(template: str, visible: dict[str, Any]) -> str:
    """What the template writes."""
    try:
        from jinja2 import exceptions

        from decodekit.text.template_work import BUDGET, Work
    except ImportError:
        raise ConfigError(
            "chat templates need jinja2, which the adapters' extras install: pip install jinja2"
        ) from None
    if len(template) > MAX_TEMPLATE:
        raise ConfigError(f"the chat template has {len(template)} characters; {MAX_TEMPLATE} are allowed")
    size = Work(2**62, 2**62).size(visible["messages"])
    limit = MAX_OUTPUT + 4 * size
    pieces: list[str] = []
    length = 0
    with _errors_of_the_template(), _sandbox().budget(Work(limit, BUDGET + 500 * size)):
        for piece in _compiled(template).generate(visible):
            pieces.append(piece)
            length += len(piece)
            if length > limit:
                raise exceptions.SecurityError(f"a text of more than {limit} characters")
    return joined("", pieces)


@contextmanager
def _errors_of_the_template() -> Iterator[None]:
    """Raise as `ConfigError` whatever a template raises, with the cause in words."""
    from jinja2 import exceptions

    try:
        yield
    except _RefusedByTemplate as error:
        raise ConfigError(f"the chat template refuses these messages: {error}") from None
    except exceptions.SecurityError as error:
        raise ConfigError(
            f"the chat template was stopped; it tried something that the sandbox forbids: {error}"
        ) from None
    except exceptions.TemplateSyntaxError as error:
        raise ConfigError(f"the chat template is not valid Jinja (line {error.lineno}): {error.message}") from None
    except exceptions.TemplateError as error:
        raise ConfigError(f"the chat template failed: {message_of(error)}") from None
    except Exception as error:  # a template can raise anything Python can
        message = message_of(error)[:500]
        raise ConfigError(f"the chat template failed: {type(error).__name__}: {message}") from None


@cache
def _sandbox() -> Sandbox:
    from decodekit.text.sandbox import Sandbox

    return Sandbox({"raise_exception": _raise_exception, "strftime_now": _strftime_now})


@lru_cache(maxsize=8)
def _compiled(template: str) -> jinja2.Template:
    """The compiled template, without data of a conversation. What it computes when compiled has a separate budget."""
    from decodekit.text.template_work import BUDGET, Work

    with _sandbox().budget(Work(MAX_OUTPUT, BUDGET)):
        return _sandbox().from_string(template)


class _RefusedByTemplate(Exception):
    """The template called raise_exception."""


def _raise_exception(message: object) -> NoReturn:
    raise _RefusedByTemplate(message[:500] if isinstance(message, str) else f"with a {type(message).__name__}")


def _strftime_now(format: str) -> str:  # noqa: A002 - templates know it by this name
    return datetime.now().strftime(format[:100])
