"""A constraint that begins after a model's thinking."""

from __future__ import annotations

import json
from dataclasses import dataclass

from decodekit import Context, ParameterError
from decodekit_grammar.marks import control_of

__all__ = ["MOST_BLANKS", "Opening", "opening_of", "quoted", "was_opened"]

_LAST = 300  # tokens: more than a mark and some blanks take
MOST_BLANKS = 4  # models write line breaks between their thinking and the answer
_BLANKS = f"/[ \\n]{{0,{MOST_BLANKS}}}/"


@dataclass(frozen=True, slots=True)
class Opening:
    """What comes before the constrained text.

    Args:
        rules: rules in Lark for all but the constrained text, which is `body`, or `first` where no thinking came.
        opened: whether the prompt has opened a block.
        mark: the text that would begin a block, and so does not begin a constrained text; None where there is none.
    """

    rules: str
    opened: bool
    mark: str | None


def quoted(text: str) -> str:
    """A text as a literal in Lark."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


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
    control = control_of(ctx.tokenizer)
    if after in control:
        ends = f"thinking: /(.|\\n)*/ <[{control[after]}]>"
    else:
        ends = f"thinking[suffix={quoted(after)}]: /(.|\\n)*/"
    if was_opened(ctx, after, opened_by):
        return Opening(f"start: thinking {_BLANKS} body\n{ends}", True, None)
    begin = f"<[{control[opened_by]}]>" if opened_by in control else quoted(opened_by)
    rules = f"start: {begin} thinking {_BLANKS} body | {_BLANKS} first\n{ends}"
    return Opening(rules, False, None if opened_by in control else opened_by)


def was_opened(ctx: Context, after: str, opened_by: str) -> bool:
    """Whether the template has opened a block that is not closed.

    A control token is nobody's text, so one in the prompt counts wherever it stands. A mark that is a text counts at
    the end of the prompt only: a user may have written it before.
    """
    if ctx.tokenizer is None:
        raise ParameterError("after= needs a tokenizer")
    control = control_of(ctx.tokenizer)
    ids = list(ctx.prompt_ids)
    if opened_by in control:
        closed = control.get(after, -1)
        last = next((token_id for token_id in reversed(ids) if token_id in (control[opened_by], closed)), closed)
        return last == control[opened_by]
    written = b"".join(ctx.tokenizer.token_bytes(token_id) or b"" for token_id in ids[-_LAST:])
    return written.rstrip(b" \n").endswith(opened_by.encode())
