"""Token healing: generate the end of the prompt again, so that the model chooses these tokens too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from decodekit import CHEAP, Context, Disclosure, Distribution, ParameterError, Plugin
from decodekit.plugin.traits import Kind
from decodekit.text.tokenizer import Tokenizer
from decodekit.text.tokenizer_cache import cached_for
from decodekit_sampling.history import named
from decodekit_sampling.phrases import Phrase
from decodekit_sampling.texts import token_texts_of

__all__ = ["TokenHealing", "cut_prompt"]


def cut_prompt(tokenizer: Tokenizer, prompt_ids: Sequence[int], tokens: int = 1) -> tuple[list[int], list[int]]:
    """Split a prompt into the ids to give as the prompt, and the last ids, which `TokenHealing` takes.

    Stops at a control token, whose text cannot be generated again, and never cuts the first token.

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

    For example, a model trained on the tokens ``https`` and ``://`` can then complete the prompt ``http`` with the
    token ``https``. The output contains the text again. ``pieces=True`` allows every tokenisation of the text;
    ``pieces=False`` asks for one token that begins with all of it.

    Formula: -inf, until the text is complete, for every token whose bytes do not continue it
    Edges: a token continues the text when its bytes begin with the whole rest of it or, with ``pieces``, when the rest
    begins with its bytes and the vocabulary can encode what then remains.
    Source: guidance's token healing; exllamav2.
    Engines: exllamav2, for one token that was cut, as ``pieces=False``; exllamav3; transformers, whose ``heal_tokens``
    adds 10 nats to such tokens, and 11 to the one that was cut, and generates one token without the rest of the chain.
    Example: token_healing = "http"

    Raises:
        EmptySupport: no token that continues the text has probability.
        ParameterError: there is no tokenizer, or no token can begin the text.
    """

    kind: ClassVar[Kind] = "mask"

    token_healing: Phrase
    pieces: bool = True

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that continue the text, until it is complete."""
        allowed = self._allowed(ctx)
        return CHEAP if allowed is None else named(allowed)

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the tokens that continue the text are disclosed."""
        allowed = self._allowed(ctx)
        return dist if allowed is None else dist.keep(allowed)

    def _allowed(self, ctx: Context) -> NDArray[np.int64] | None:
        """The tokens that continue the text; None when it is complete. O(length of the text)."""
        if ctx.tokenizer is None:
            raise ParameterError("token_healing needs a tokenizer, whose tokens it reads byte by byte")
        tokenizer = ctx.tokenizer
        question = TokenHealing, self.token_healing, self.pieces
        steps = cached_for(tokenizer, question, partial(_steps, self.token_healing, self.pieces, tokenizer))
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
    texts, text = token_texts_of(tokenizer, "token_healing"), data.decode("latin-1")
    steps: list[list[int]] = [[] for _ in text]
    for start in reversed(range(len(text))):
        rest = text[start:]
        steps[start] += texts.beginning(rest).tolist()
        for size in range(1, len(rest) if pieces else 0):
            if steps[start + size]:
                steps[start] += texts.exactly(rest[:size]).tolist()
    if not steps[0]:
        raise ParameterError(f"token_healing: no token of this vocabulary can begin {data!r}")
    return [np.array(sorted(allowed), dtype=np.int64) for allowed in steps]
