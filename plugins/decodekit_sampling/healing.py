"""Token healing: write the end of the prompt again, so that the model may choose its tokens too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from decodekit import CHEAP, Context, Disclosure, Distribution, ParameterError, Plugin
from decodekit.plugin.traits import Kind
from decodekit.text.once import once
from decodekit.text.tokenizer import Tokenizer
from decodekit_sampling.history import named
from decodekit_sampling.phrases import Phrase
from decodekit_sampling.texts import words_of

__all__ = ["TokenHealing", "cut_prompt"]


def cut_prompt(tokenizer: Tokenizer, prompt_ids: Sequence[int], tokens: int = 1) -> tuple[list[int], list[int]]:
    """The prompt without its last tokens, and these: the prompt to give, and the ids for `TokenHealing`.

    Stops cutting before a control token, whose text cannot be written again, and never cuts the first token.

    Args:
        tokenizer: the model's.
        prompt_ids: the whole prompt.
        tokens: how many to cut at most.

    Raises:
        ParameterError: a number of tokens below one.
    """
    if tokens < 1:
        raise ParameterError(f"cut_prompt cuts at least one token, not {tokens}")
    ids = list(prompt_ids)
    at = len(ids)
    while at > 1 and len(ids) - at < tokens and tokenizer.token_bytes(ids[at - 1]):
        at -= 1
    return ids[:at], ids[at:]


class TokenHealing(Plugin):
    """Let the output begin with this text: ids that were cut from the end of the prompt (see `cut_prompt`), or a text.

    A model that was trained on ``https`` and ``://`` can so answer the prompt ``http`` with a token of its own. The
    output holds the text again. ``pieces=True`` is the law of the text: every tokenisation of it may come.
    ``pieces=False`` wants one token that begins with all of it.

    Formula: -inf, until the text is written, for every token whose bytes do not go on with it
    Edges: a token goes on with the text when its bytes begin with all that is left of it, or, with ``pieces``, when
    what is left begins with them and the vocabulary can write the remainder.
    Source: guidance's token healing; exllamav2.
    Engines: exllamav2, for one token that was cut, as ``pieces=False``; exllamav3; transformers, whose ``heal_tokens``
    adds 10 nats to such tokens, and 11 to the one that was cut, and generates one token without the rest of the chain.
    Example: token_healing = "http"

    Raises:
        EmptySupport: no token that goes on with the text has probability.
        ParameterError: there is no tokenizer, or no token can begin the text.
    """

    kind: ClassVar[Kind] = "mask"

    token_healing: Phrase
    pieces: bool = True

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that go on with the text, as long as it is not written."""
        allowed = self._allowed(ctx)
        return CHEAP if allowed is None else named(allowed)

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the tokens that go on with the text are disclosed."""
        allowed = self._allowed(ctx)
        return dist if allowed is None else dist.keep(allowed)

    def _allowed(self, ctx: Context) -> NDArray[np.int64] | None:
        """The tokens that go on with the text; None when it is written. O(length of the text)."""
        if ctx.tokenizer is None:
            raise ParameterError("token_healing needs a tokenizer, whose tokens it reads byte by byte")
        tokenizer = ctx.tokenizer
        question = TokenHealing, self.token_healing, self.pieces
        steps = once(tokenizer, question, partial(_steps, self.token_healing, self.pieces, tokenizer))
        written = 0
        for token in ctx.output_ids:
            if written >= len(steps):
                break
            written += len(tokenizer.token_bytes(token) or b"")
        return steps[written] if written < len(steps) else None


def _steps(phrase: str | tuple[int, ...], pieces: bool, tokenizer: Tokenizer) -> list[NDArray[np.int64]]:
    """For each number of bytes written, the tokens that may come next: those from which the text can be finished."""
    data = phrase.encode() if isinstance(phrase, str) else tokenizer.decode(phrase)
    if not data:
        raise ParameterError(f"token_healing: the tokens {phrase} have no text")
    words, text = words_of(tokenizer, "token_healing"), data.decode("latin-1")
    steps: list[list[int]] = [[] for _ in text]
    for start in reversed(range(len(text))):
        rest = text[start:]
        steps[start] += words.beginning(rest).tolist()
        for size in range(1, len(rest) if pieces else 0):
            if steps[start + size]:
                steps[start] += words.exactly(rest[:size]).tolist()
    if not steps[0]:
        raise ParameterError(f"token_healing: no token of this vocabulary can begin {data!r}")
    return [np.array(sorted(allowed), dtype=np.int64) for allowed in steps]
