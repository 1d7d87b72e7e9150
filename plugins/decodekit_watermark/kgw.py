"""KGW: the tokens before a token divide the vocabulary into green and red, and green tokens get a bias."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import ALL, Context, Detection, Disclosure, Distribution, ParameterError, Undisclosed
from decodekit.plugin.traits import Kind
from decodekit_watermark.contexts import Ids, as_ids
from decodekit_watermark.hashes import philox_uniforms
from decodekit_watermark.keys import Keyed
from decodekit_watermark.tails import log_binomial_tail
from decodekit_watermark.torch_generator import in_permutation_head, permutation_head

__all__ = ["KGW"]

_CANDIDATES = 40  # that the self hash tests
_TABLE = 1_000_003


class KGW(Keyed):
    """Add a bias to the green tokens: a part of the vocabulary that a key and the tokens before select.

    It changes the distribution. Put it after temperature and truncations. A text with the mark has more green tokens
    than the share that is green, and who has the key can count them. The recorded final scores show which tokens are
    green: a trace of level 'proof' or 'full' helps to forge the mark.

    Args:
        kgw: the bias in nats (delta).
        gamma: the share of the vocabulary that is green.
        scheme: 'lefthash' and 'selfhash' are those of transformers on the CPU: the list depends on the last token, or
            on the candidate and the tokens before it, and then only the 40 most likely candidates can be green.
            'philox': a token is green where its number, one of vLLM's red_green, is below gamma.
        context_width: how many tokens there must be, and on how many the list depends; with 'lefthash' it depends on
            the last one alone, with 'selfhash' the candidate is one of them.

    Formula: s_i + kgw * [i is green]
    Edges: with fewer tokens before than context_width nothing is changed; repeated contexts are marked again.
    Source: Kirchenbauer et al. 2023 (arXiv 2301.10226, 2306.04634); transformers ``WatermarkLogitsProcessor``; vLLM
    ``RedGreenWatermarker``.
    Engines: transformers and TGI (gamma 0.5, the last token); the lists of other devices than the CPU differ. The lists
    are made without torch, from the same random words.
    Example: kgw = 2.0, gamma = 0.5, key = "public"

    Raises:
        ParameterError: the key is missing, or none.
    """

    mark: ClassVar[str] = "kgw"
    smallest_key: ClassVar[int] = 1
    largest_key: ClassVar[int] = 2**63 - 1  # torch multiplies in int64
    kind: ClassVar[Kind] = "reshaping"
    random: ClassVar[bool] = False
    needs: ClassVar[Disclosure] = ALL

    kgw: Annotated[float, Field(gt=0, le=100)]
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.25
    scheme: Literal["lefthash", "selfhash", "philox"] = "lefthash"
    context_width: Annotated[int, Field(ge=1, le=64)] = 1

    @property
    def width(self) -> int:
        return self.context_width

    @property
    def scheme_name(self) -> str:
        return f"{self.mark}-{self.scheme}"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """`Undisclosed` on a head: which hidden tokens are green is known, but not their scores."""
        dist.require_complete("a bias on a part of the whole vocabulary")
        if dist.vocab_size is None:
            raise Undisclosed(ALL, "the size of the vocabulary")
        before = _last(ctx, self.context_width)
        if before is None:
            return dist
        if self.scheme == "selfhash":
            candidates = dist.order[:_CANDIDATES].tolist()
            green = [each for each in candidates if self.is_green(before, each, dist.vocab_size)]
            return dist.add(green, self.kgw) if green else dist
        alive = dist.support()
        chosen = alive[self._green(before, alive, dist.vocab_size)]
        return dist.add(chosen, self.kgw) if len(chosen) else dist

    def is_green(self, before: Sequence[int], token: int, vocab_size: int) -> bool:
        """Whether a token is green after these.

        Args:
            before: the last ``context_width`` ids, oldest first; for the self hash one less is enough.
            token: the token.
            vocab_size: the number of scores of the model, padding included.
        """
        if self.scheme == "philox":
            return bool(self._green(before, np.array([token]), vocab_size)[0])
        return in_permutation_head(token, self._seed(before, token), vocab_size, int(vocab_size * self.gamma))

    def _green(self, before: Sequence[int], ids: Ids, vocab_size: int) -> NDArray[np.bool_]:
        """Which of these tokens are green, as bool[n]; not for the self hash, where the list depends on the token."""
        if self.scheme == "philox":
            return self._by_number(np.array([before]), ids)
        green = np.zeros(vocab_size, dtype=np.bool_)
        green[permutation_head(self._seed(before, -1), vocab_size, int(vocab_size * self.gamma))] = True
        return green[ids]

    def _by_number(self, contexts: Ids, ids: Ids) -> NDArray[np.bool_]:
        (key,) = self.secret
        return philox_uniforms(key, contexts, ids) < np.float32(self.gamma)

    def _seed(self, before: Sequence[int], token: int) -> int:
        """What transformers seeds torch's generator with, for the list that decides on a token after these."""
        (key,) = self.secret
        if self.scheme == "lefthash":
            return key * before[-1] % (2**64 - 1)
        entries = _table(key)[np.array((*before, token)[-self.context_width :]) % _TABLE] + 1
        return int((np.array([key]) * entries * entries[-1:]).min()) % (2**64 - 1)  # int64 wraps around in torch too

    def detect(self, ids: Iterable[int], prompt_ids: Iterable[int] = (), *, vocab_size: int) -> Detection:
        """Count the green tokens of a text.

        Args:
            ids: the tokens of the text.
            prompt_ids: those of its prompt, if they are known: they stand before the first tokens, and are never
                scored. Without them the first tokens are left out.
            vocab_size: the number of scores of the model, padding included.

        Returns:
            How many tokens count, each once for the same list, and how many of them are green: binomial in a text
            without the mark. transformers counts a token again where other tokens before it lead to the same list,
            as they often do in 'selfhash'; such tokens are no new evidence.

        Raises:
            ParameterError: an id that is no token of the vocabulary.
        """
        output, prompt = as_ids(ids).tolist(), as_ids(prompt_ids).tolist()
        if max([-1, *output, *prompt]) >= vocab_size:
            raise ParameterError(f"ids: {max([*output, *prompt])} is no token of a vocabulary of {vocab_size}")
        width = self.context_width
        every = [*prompt[-width:], *output]
        needed = width - 1 if self.scheme == "selfhash" else width
        places = range(max(needed, len(every) - len(output)), len(every))
        windows = dict.fromkeys((tuple(every[at - needed : at]), every[at]) for at in places)
        if self.scheme == "philox":
            contexts = np.array([before for before, _ in windows], dtype=np.int64).reshape(-1, width)
            green = int(np.count_nonzero(self._by_number(contexts, as_ids(token for _, token in windows))))
            return _counted(green, len(windows), self.gamma)
        count = int(vocab_size * self.gamma)
        lists = {(self._seed(before, token), token) for before, token in windows}
        green = sum(in_permutation_head(token, seed, vocab_size, count) for seed, token in lists)
        return _counted(green, len(lists), count / vocab_size)


def _counted(green: int, count: int, share: float) -> Detection:
    return Detection(count, float(green), log_binomial_tail(green, count, share))


def _last(ctx: Context, count: int) -> tuple[int, ...] | None:
    """The last ids of prompt and output; None where there are fewer."""
    output = tuple(ctx.output_ids[-count:])
    missing = count - len(output)
    ids = (*tuple(ctx.prompt_ids[-missing:]), *output) if missing else output
    return ids if len(ids) == count else None


@lru_cache(maxsize=2)
def _table(key: int) -> Ids:
    """The permutation that transformers calls ``fixed_table``."""
    head = permutation_head(key, _TABLE, _TABLE - 1)
    return np.append(head, _TABLE * (_TABLE - 1) // 2 - int(head.sum()))  # the number that is left
