"""What every local model does before a forward pass: refuse bad prefixes, and find the fewest tokens to evaluate.

Sorted by content, the prefixes of a call are the leaves and inner nodes of a trie in depth-first order. When one prefix
continues another, one forward pass over its path (a `TokenPath`) answers both.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

import numpy as np

from decodekit.errors import ContextOverflow, DecodekitError, ParameterError
from decodekit.local.content_index import ContentIndex
from decodekit.model.prefix import Prefix
from decodekit.types import Ids

__all__ = ["TokenPath", "cached_length", "fault_of", "paths_of"]

_REPEAT = 4  # evaluating this many known tokens again is cheaper than a slot and a row of its own


@dataclass(slots=True)
class TokenPath:
    """One path of the trie: a prefix and those of its ancestors that were asked for as well.

    Attributes:
        asked: the prefixes whose answers are on the path, shortest first; the last one is the whole path.
        slot: the cache slot where it is evaluated; -1 until it is known.
        start: how many of its tokens the slot holds already.
        ids: int64[len - start], the tokens to evaluate.
    """

    asked: list[Prefix]
    slot: int = -1
    start: int = 0
    ids: Ids = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def prefix(self) -> Prefix:
        """The whole path."""
        return self.asked[-1]

    @property
    def latest_start(self) -> int:
        """The most tokens that may be taken from the cache: the last token of each asked prefix is evaluated."""
        return len(self.asked[0]) - 1


def paths_of(prefixes: Sequence[Prefix], index: ContentIndex) -> tuple[list[TokenPath], set[int]]:
    """The paths that answer these distinct prefixes, in depth-first order, and the slots whose tokens they reuse."""
    if len(prefixes) == 1:
        return [TokenPath([prefixes[0]])], set()
    groups: dict[int, list[tuple[Prefix, int]]] = {}
    for prefix in prefixes:
        match = index.find(prefix)
        groups.setdefault(match.slot, []).append((prefix, min(match.length, len(prefix) - 1)))
    paths: list[TokenPath] = []
    for group in groups.values():
        # All ids before `known` are the same within a group, so they are not compared.
        known = min(length for _, length in group)
        keyed = sorted(((p.since(known).astype(">u8").tobytes(), p, held) for p, held in group), key=lambda k: k[0])
        below: list[TokenPath] = []
        start, key_below = 0, b""
        for key, prefix, held in reversed(keyed):
            if below and key_below.startswith(key) and start - (len(prefix) - 1) <= _REPEAT:
                below[-1].asked.insert(0, prefix)
                start, key_below = min(start, len(prefix) - 1), key
            else:
                below.append(TokenPath([prefix]))
                start, key_below = held, key
        paths += reversed(below)
    return paths, set(groups) - {-1}


def cached_length(prefix: Prefix, index: ContentIndex | None, known: Container[bytes]) -> int:
    """How many leading tokens of a prefix need no evaluation.

    Args:
        prefix: the prefix.
        index: what the cache holds; None without a cache.
        known: digests of the prefixes whose answers are kept.
    """
    if prefix.digest in known:
        return len(prefix)
    return 0 if index is None else min(index.find(prefix).length, max(len(prefix) - 1, 0))


def fault_of(
    prefix: Prefix, known: Container[bytes], *, vocab_size: int, context_length: int | None, bos_id: int | None
) -> DecodekitError | None:
    """What is wrong with a prefix, before any evaluation; None for a good one.

    Args:
        prefix: the prefix.
        known: digests of prefixes that were evaluated: their ids are valid and are not checked again.
        vocab_size: the number of tokens.
        context_length: the longest prefix in tokens, or None.
        bos_id: the id to start from, for the message about an empty prefix.
    """
    length = len(prefix)
    if length == 0:
        hint = f"; start from [{bos_id}], its BOS token" if bos_id is not None else "; this model has no BOS token"
        return ParameterError(f"there is nothing to predict from: the prefix is empty{hint}")
    if context_length is not None and length > context_length:
        return ContextOverflow(
            f"a prefix of {length} tokens does not fit a context length of {context_length}"
            "; shorten it, or give the model a larger n_ctx"
        )
    sound = 0
    for node in prefix.ancestors():
        if node.digest in known:
            sound = len(node)
            break
    largest = int(prefix.since(sound).max(initial=0))
    if largest >= vocab_size:
        return ParameterError(f"token id {largest} lies outside the vocabulary of {vocab_size} tokens")
    return None
