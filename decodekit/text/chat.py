"""Chat templates: a conversation to the text a model was trained on, and that text to token ids.

A template comes with the model file, so it is a stranger's program: it runs in a sandbox, sees nothing but the
messages, and is stopped when it writes or works too much. What users wrote is a stranger's text: the markup of a
control token in it is plain text, and only the template opens and closes turns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from decodekit.errors import ConfigError, ParameterError, message_of
from decodekit.text.marked import LAST, MESSAGE, UNCLEAR, Marked, joined, marks_of

if TYPE_CHECKING:
    import jinja2

    from decodekit.text.sandbox import Sandbox
    from decodekit.text.tokenizer import Message

__all__ = ["MAX_OUTPUT", "MAX_TEMPLATE", "RenderedChat", "encode_chat", "render", "render_chat"]

MAX_OUTPUT = 1_000_000
"""How many characters a template may write beyond four times the messages themselves."""

MAX_TEMPLATE = 100_000
"""How many characters a template may have itself. The longest ones that models carry have about 30,000."""

_DEEPEST = 100
_ROLE = re.compile(r"[\w .-]{0,64}")
_REASONING = ("reasoning_content", "thinking", "reasoning")


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """A conversation in a model's own format.

    Args:
        text: the text.
        marks: where each of its characters came from, as `decodekit.text.marked` counts it; one byte a character.
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
    """A conversation in a model's own format, and which of its characters are the messages'.

    Texts equal those of transformers' ``apply_chat_template``. Where the last message is the assistant's, the text ends
    with that message, so that the model goes on with it (``continue_final_message`` there).

    Args:
        template: a Jinja template as models carry it.
        messages: mappings with the string key ``role``, and ``content``: a string, None, or a list of parts. Other
            keys, as ``tool_calls``, hold plain data for the template.
        bos_token: what the template may call ``bos_token``.
        eos_token: the same for ``eos_token``.
        add_generation_prompt: end where the assistant's answer begins, or goes on. Otherwise end with the last turn.

    Raises:
        ParameterError: the messages are not of this shape.
        ConfigError: jinja2 is not installed; the template is broken, refuses the messages or does too much; or it
            drops the text that is to be continued.
    """
    plain = _checked(messages)
    goes_on = add_generation_prompt and plain[-1]["role"] == "assistant"
    if goes_on:
        _mark_last(plain)
    visible = {
        "messages": plain,
        "bos_token": bos_token,
        "eos_token": eos_token,
        "add_generation_prompt": add_generation_prompt and not goes_on,
        "tools": None,
        "documents": None,
    }
    text = _written(template, visible)
    marks = marks_of(text)
    if goes_on:
        end = marks.rfind(bytes([LAST])) + 1
        if not end:
            raise ConfigError("the chat template drops the assistant's last message, which is to be continued")
        text, marks = text[:end], marks[:end]
    return RenderedChat(str.__str__(text), marks)


def encode_chat(
    chat: RenderedChat, control_tokens: Mapping[str, int], encode: Callable[[str, bool], list[int]]
) -> list[int]:
    """The ids of a rendered conversation, in which the control tokens are the template's only.

    Where the messages hold no markup of a control token, the whole text is encoded at once, as transformers does it.
    Elsewhere it is cut at the template's own control tokens, which no token reaches across.

    Args:
        chat: the conversation.
        control_tokens: the ids of all of them, by their markup.
        encode: the ids of a text; with True, the markup in it is read as control tokens.

    Raises:
        ConfigError: the template changed a text with such markup so that nobody can tell whose it is; or the
            vocabulary spells plain text with control tokens.
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
                f"the chat template changes a message so that it cannot be told who wrote {chat.text[start:end]!r}; "
                "take this markup out of the message"
            )
    ids: list[int] = []
    begun = at = 0
    for start, end in [*trusted, (len(chat.text), len(chat.text))]:
        if any(left < start and at < right for left, right in forged):
            ids += encode(chat.text[begun:at], True) if begun < at else []
            ids += _as_text(chat.text[at:start], control_tokens, encode)
            begun = start
        at = end
    return ids + (encode(chat.text[begun:], True) if begun < len(chat.text) else [])


def _as_text(text: str, control_tokens: Mapping[str, int], encode: Callable[[str, bool], list[int]]) -> list[int]:
    ids = encode(text, False)
    if not set(ids).isdisjoint(control_tokens.values()):
        raise ConfigError(f"this vocabulary reads plain text as control tokens; take the markup out of {text[:60]!r}")
    return ids


@lru_cache(maxsize=8)
def _pattern(control_tokens: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, control_tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _written(template: str, visible: dict[str, Any]) -> str:
    """What the template writes."""
    try:
        import jinja2
        from jinja2.exceptions import SecurityError

        from decodekit.text.template_work import BUDGET, Work
    except ImportError:
        raise ConfigError("chat templates need jinja2, as the adapters' extras bring it: pip install jinja2") from None
    if len(template) > MAX_TEMPLATE:
        raise ConfigError(f"the chat template has {len(template)} characters; {MAX_TEMPLATE} are allowed")
    size = Work(2**62, 2**62).size(visible["messages"])
    limit = MAX_OUTPUT + 4 * size
    work = Work(limit, BUDGET + 500 * size)
    pieces: list[str] = []
    written = 0
    try:
        with _sandbox().budget(work):
            for piece in _compiled(template).generate(visible):
                pieces.append(piece)
                written += len(piece)
                if written > limit:
                    raise SecurityError(f"a text of more than {limit} characters")
    except _Refused as error:
        raise ConfigError(f"the chat template refuses these messages: {error}") from None
    except SecurityError as error:
        raise ConfigError(f"the chat template was stopped; it tried what the sandbox forbids: {error}") from None
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"the chat template is not valid Jinja (line {error.lineno}): {error.message}") from None
    except jinja2.TemplateError as error:
        raise ConfigError(f"the chat template failed: {message_of(error)}") from None
    except Exception as error:  # a template can raise anything Python can
        said = message_of(error)[:500]
        raise ConfigError(f"the chat template failed: {type(error).__name__}: {said}") from None
    return joined("", pieces)


@cache
def _sandbox() -> Sandbox:
    from decodekit.text.sandbox import Sandbox

    return Sandbox({"raise_exception": _raise_exception, "strftime_now": _strftime_now})


@lru_cache(maxsize=8)
def _compiled(template: str) -> jinja2.Template:
    """The template as code, in which nothing of a conversation is. What it computes at once has a budget of its own."""
    from decodekit.text.template_work import BUDGET, Work

    with _sandbox().budget(Work(MAX_OUTPUT, BUDGET)):
        return _sandbox().from_string(template)


class _Refused(Exception):
    """The template called raise_exception."""


def _raise_exception(message: object) -> NoReturn:
    raise _Refused(message[:500] if isinstance(message, str) else f"with a {type(message).__name__}")


def _strftime_now(format: str) -> str:  # noqa: A002 - templates know it by this name
    return datetime.now().strftime(format[:100])


def _checked(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as plain data whose texts are marked as such."""
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise ParameterError(
            f"messages must be a list of mappings with role and content, not {type(messages).__name__}"
        )
    if not messages:
        raise ParameterError("there is no message; give one at least")
    checked = []
    for number, message in enumerate(messages):
        where = f"message {number}"
        if not isinstance(message, Mapping):
            raise ParameterError(f"{where} must be a mapping with role and content, not {message!r}")
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str):
            raise ParameterError(f"{where} needs a string 'role'; it has {role!r}")
        if "content" not in message and not message.get("tool_calls"):
            raise ParameterError(f"{where} needs a 'content': a string, None, or a list of parts")
        if not (content is None or isinstance(content, str | list | tuple)):
            raise ParameterError(f"{where} needs a 'content': a string, None, or a list of parts, not {content!r}")
        given: Mapping[str, Any] = message
        data = {key: _data(value, where, 1) for key, value in given.items() if value is not None}
        if _ROLE.fullmatch(role):
            data["role"] = str.__str__(role)  # templates write it into their control tokens
        reasoning = next((data[key] for key in _REASONING if key in data), None)
        if reasoning is not None:  # models know it by several names
            data = {"thinking": reasoning, **data, "reasoning_content": reasoning}
        checked.append(data)
    return checked


def _data(value: Any, where: str, depth: int) -> Any:
    """A value as a template may see it: nothing but plain data, with marked texts."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ParameterError(f"{where} is not valid Unicode at character {error.start}: {error.reason}") from None
        return Marked(str.__str__(value), bytes([MESSAGE]) * len(value)) if value else ""
    if depth > _DEEPEST:
        raise ParameterError(f"{where} holds data in more than {_DEEPEST} levels")
    if isinstance(value, Mapping):
        return {_data(key, where, depth + 1): _data(each, where, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_data(each, where, depth + 1) for each in value]
    raise ParameterError(f"{where} holds a {type(value).__name__}; a chat template sees plain data only")


def _mark_last(messages: list[dict[str, Any]]) -> None:
    """Mark the text that is to be continued: that of the last message, or of its last part that has one."""
    message = messages[-1]
    parts = message.get("content")
    holder, key = message, "content"
    if isinstance(parts, list):
        holder = next((part for part in reversed(parts) if isinstance(part, dict) and part.get("text")), {})
        key = "text"
    text = holder.get(key)
    if not isinstance(text, str) or not text.strip():
        raise ParameterError(
            "the last message is the assistant's and has no text to go on with; leave it out, or let another one follow"
        )
    holder[key] = Marked(text, bytes([LAST]) * len(text))
