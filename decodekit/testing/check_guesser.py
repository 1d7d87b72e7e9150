"""The contract of a guesser as a function."""

from __future__ import annotations

from itertools import islice
from typing import Any

from decodekit.draw.context import Context, TokenIds
from decodekit.model.prefix import Prefix
from decodekit.testing.adapters import NGramAdapter
from decodekit.text.tokenizer import Tokenizer

__all__ = ["check_guesser"]

_TEXT = "the cat sat on the mat, and the dog sat on the log, and the cat sat on the dog. "
_TAKEN = 64  # tokens of each guess


def check_guesser(guesser: Any, *, tokenizer: Tokenizer | None = None, text: str = _TEXT) -> int:
    """Check a guesser against the contract of `decodekit.plugin.protocols.Guesser`.

    What it says can change time and nothing else; what is checked is that it is used at all: it says ids of the
    vocabulary, the same ids for the same tokens, whatever it was asked in between, and changes no argument.

    Args:
        guesser: the guesser, built.
        tokenizer: of the model that it guesses for; one token for each byte by default.
        text: what is decoded; it is asked after each of its tokens.

    Returns:
        How many of the first tokens of its guesses were right.

    Raises:
        AssertionError: the guesser breaks the contract; the message says how.
        DecodekitError: its ``check`` refuses the tokenizer.
    """
    tokenizer = tokenizer or NGramAdapter("a").tokenizer
    assert tokenizer is not None
    assert callable(getattr(guesser, "guess", None)), f"{guesser!r} has no method guess(prefix, ctx)"
    if hasattr(guesser, "check"):
        guesser.check(tokenizer)
    ids = tokenizer.encode(text)
    half = len(ids) // 2
    first = [_guess(guesser, tokenizer, ids[:half], ids[half:end]) for end in range(half, len(ids))]
    for end in reversed(range(half, len(ids))):
        again = _guess(guesser, tokenizer, ids[:half], ids[half:end])
        before = first[end - half]
        assert again == before, f"after the same {end} tokens it guessed {before[:9]}, and then {again[:9]}"
    return sum(guess[:1] == ids[end : end + 1] for end, guess in enumerate(first, half))


def _guess(guesser: Any, tokenizer: Tokenizer, prompt: list[int], output: list[int]) -> list[int]:
    prefix, context = Prefix(prompt).extend(output), Context(TokenIds(prompt), TokenIds(output), tokenizer)
    given = guesser.guess(prefix, context)
    try:
        iterator = iter(given)
    except TypeError:
        raise AssertionError(f"a guess is token ids, an empty list where there is none, and not {given!r}") from None
    found = list(islice(iterator, _TAKEN))
    for token_id in found:
        whole = not isinstance(token_id, bool | float) and hasattr(token_id, "__index__")
        assert whole and 0 <= token_id < tokenizer.vocab_size, (
            f"a guess is token ids below {tokenizer.vocab_size}, and {token_id!r} is none"
        )
    assert [*context.prompt_ids] == prompt and [*context.output_ids] == output, "it changed the context"
    return [int(token_id) for token_id in found]
