"""A constraint that begins after a model's thinking."""

from __future__ import annotations

import json
from dataclasses import dataclass

from decodekit import Context, ParameterError

__all__ = ["Opening", "opening_of", "without_thinking"]

_BLANKS = "/[ \\n]{0,4}/"  # models write line breaks between their thinking and the answer


@dataclass(frozen=True, slots=True)
class Opening:
    """What comes before the constrained text.

    Args:
        rules: the rule ``start`` in Lark, which goes on to ``body``.
        opened: whether the prompt has opened a block.
    """

    rules: str
    opened: bool


def opening_of(ctx: Context, after: str, opened_by: str) -> Opening:
    """The thinking that a text may begin with.

    Where the prompt has opened a block, as some templates do, the text goes on to its end mark. Otherwise the text
    begins with a block or with the constrained text. A mark that is a control token of the model is that token;
    any other is a text.

    Args:
        ctx: holds the prompt and the tokenizer.
        after: the mark that ends the block.
        opened_by: the mark that begins it.
    """
    control = getattr(ctx.tokenizer, "control_tokens", {})
    if after in control:
        ends = f"thinking: /(.|\\n)*/ <[{control[after]}]>"
    else:
        ends = f"thinking[suffix={json.dumps(after)}]: /(.|\\n)*/"
    begin = f"<[{control[opened_by]}]>" if opened_by in control else json.dumps(opened_by)
    opened = _open(ctx, after, opened_by, control)
    first = "thinking" if opened else f"({begin} thinking)?"
    return Opening(f"start: {first} {_BLANKS} body\n{ends}", opened)


def without_thinking(text: str, after: str, opened_by: str) -> str:
    """What follows the block that a text begins with."""
    head, found, rest = text.partition(after)
    if found:
        return rest.lstrip(" \n")
    return text.removeprefix(opened_by).lstrip(" \n") if text.startswith(opened_by) else head.lstrip(" \n")


def _open(ctx: Context, after: str, opened_by: str, control: dict[str, int]) -> bool:
    """Whether the prompt has opened a block that is not closed."""
    if ctx.tokenizer is None:
        raise ParameterError("after= needs a tokenizer")
    ids = list(ctx.prompt_ids)
    written = b"".join(
        mark.encode() if (mark := names.get(token_id)) else ctx.tokenizer.token_bytes(token_id) or b""
        for names in ({token_id: name for name, token_id in control.items()},)
        for token_id in ids
    )
    return written.rfind(opened_by.encode()) > written.rfind(after.encode())
