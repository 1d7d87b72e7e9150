"""The model ``decodekit`` of lm-evaluation-harness: its requests answered by an adapter.

Texts become tokens as the harness's own model ``hf`` makes them, so that the numbers are those of ``hf``: a context and
its continuation are encoded as one text, markup in them is read as control tokens, and an empty context is the begin-
or end-of-text token that the model's files name, also where its tokenizer puts none in front of a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lm_eval import utils
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs

import decodekit
from decodekit.analysis.scores.forced import forced
from decodekit.distribution.disclosure import Disclosure
from decodekit.draw.randomness import derive
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.log import get_logger
from decodekit.model.prefix import Prefix
from decodekit.text.base import server_ids
from decodekit.text.tokenizer import Tokenizer

__all__ = ["DecodekitLM"]

_SHAPING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
"""What a task may say of sampling; each is the processor of its name, in this order."""
_UNNAMED_DEVICE = "cuda:0"
"""What the harness's command gives where its caller named no device."""


@register_model("decodekit")
class DecodekitLM(TemplateLM):  # type: ignore[misc]
    """Any adapter of decodekit, for lm-evaluation-harness.

    Args:
        model: as of `decodekit.open`: a name, a path, ``"torch:path"``, a URL, a configuration or an adapter.
        max_length: the longest input in tokens; the adapter's context length when None.
        max_gen_toks: of a generation that says nothing of it.
        seed: of sampled generations.
        device: the adapter's parameter of this name. The harness's command gives "cuda:0" where no ``--device`` is
            named, also to models that have none: this one value leaves the adapter where it is by default. Write
            "cuda" for the first GPU.
        options: of `decodekit.open`; ``batch_size``, which the harness adds, plays no part.

    Raises:
        ParameterError: the adapter has no tokenizer, or neither a begin- nor an end-of-text token.
        DecodekitError: as `decodekit.open`.
    """

    def __init__(
        self,
        model: Any,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        seed: int = 1234,
        device: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        options["device"] = None if device == _UNNAMED_DEVICE else device
        for name in ("batch_size", "max_batch_size"):  # the harness always gives them; an adapter has its own batches
            options.pop(name, None)
        given = {name: value for name, value in options.items() if value is not None}
        self._max_length = None if max_length is None else whole(max_length, "max_length", 1, 2**31)
        self._max_gen_toks = whole(max_gen_toks, "max_gen_toks", 1, 2**31)
        self._seed, self.session = seed, decodekit.open(model, seed=seed, **given)
        tokenizer = self.session.adapter.tokenizer
        self._begin, self._end = (None, None) if tokenizer is None else _boundaries(tokenizer)
        if tokenizer is None or self._begin is self._end is None:
            raise ParameterError("lm-eval scores texts after a begin- or end-of-text token, and this model has none")
        self._tokenizer: Tokenizer = tokenizer

    @property
    def eot_token_id(self) -> int:
        """The end-of-text token; the begin-of-text token of a model without one."""
        end = self._end
        return self.prefix_token_id if end is None else end

    @property
    def prefix_token_id(self) -> int:
        """What an empty context is: the begin-of-text token, or the end-of-text token of a model without one."""
        begin = self._begin
        return begin if begin is not None else self.eot_token_id

    @property
    def max_length(self) -> int:
        """Of an input, in tokens."""
        return self._max_length or self.session.adapter.info.context_length or 2**31

    @property
    def tokenizer_name(self) -> str:
        """Of the harness's cache of requests."""
        return str(self._tokenizer.fingerprint)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """The ids that the model's own tokenizer gives, with one begin-of-text token where it adds that."""
        ids = server_ids(self._tokenizer, string)
        begin = self._tokenizer.bos_id
        added = begin is not None and ids[:1] == [begin]
        written = added and ids[1:2] == [begin]
        unwanted = written if add_special_tokens is None else not add_special_tokens
        return ids[1:] if added and unwanted else ids

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of whole texts, in windows that do not overlap in what they predict."""
        owners: list[int] = []
        windows: list[Any] = []
        for i, request in enumerate(requests):
            parts = utils.get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            for part in map(utils.make_disjoint_window, parts):
                owners.append(i)
                windows.append((None, *part))
        totals = [0.0] * len(requests)
        for i, (logprob, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[i] += logprob
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def _loglikelihood_tokens(self, requests: Sequence[Any], **_: Any) -> list[tuple[float, bool]]:
        """For each (texts, context, continuation) the log-likelihood, and whether greedy decoding would write it."""
        for key, _, continuation in requests:
            if len(continuation) == 0:  # its log-likelihood of 0 would make it the best of all choices
                raise ParameterError(f"{key or 'a window'}: the continuation adds no token to those of its context")
        texts = [self._fitting(context, continuation) for _, context, continuation in requests]
        totals, greedy = [0.0] * len(texts), [True] * len(texts)
        for i, at, dist in forced(self.session.adapter, texts, Disclosure(top=1)):
            token = texts[i][1][at]
            totals[i] += dist.logprob(token)
            greedy[i] = greedy[i] and dist.mode == token
        answers = list(zip(totals, greedy, strict=True))
        for (key, _, _), answer in zip(requests, answers, strict=True):
            if key is not None:
                self.cache_hook.add_partial("loglikelihood", key, answer)
        return answers

    def _fitting(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[Prefix, list[int]]:
        """A context that is cut from the left where both do not fit, as ``hf`` cuts it."""
        room = self.max_length + 1 - len(continuation)  # the last token is predicted, and no input
        if room < 1:
            raise ParameterError(f"a continuation of {len(continuation)} tokens exceeds max_length {self.max_length}")
        if len(context) > room:
            get_logger().warning("context cut from the left", tokens=len(context), kept=room)
        return Prefix(list(context)[-room:]), list(continuation)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Continue each context until one of its stop texts, greedily unless its task says otherwise.

        The noise of a sample follows from the seed, the context, and how often this context came before in the list:
        a task's ``repeats`` are different samples, and those of different contexts are independent.
        """
        before = Counter[str]()
        texts = []
        for request in requests:
            context, gen_kwargs = request.args
            texts.append(self._generated(context, gen_kwargs, before[context]))
            before[context] += 1
        return texts

    def _generated(self, context: str, gen_kwargs: dict[str, Any], sample: int) -> str:
        wishes = normalize_gen_kwargs(gen_kwargs, self._max_gen_toks)
        until, limit = wishes.pop("until", None) or [], wishes.pop("max_gen_toks")
        chain = _chain(wishes)
        ids = self.tok_encode(context)
        room = self.max_length - limit
        if room < 1:
            raise ParameterError(f"max_gen_toks {limit} leaves no room for a context in max_length {self.max_length}")
        stop = [until] if isinstance(until, str) else [text for text in until if text]
        stream = derive(self._seed, context, sample)
        result = self.session.generate(Prefix(ids[-room:]), chain=chain, max_tokens=limit, stop=stop, stream=stream)
        self.cache_hook.add_partial("generate_until", (context, gen_kwargs), result.text)
        return result.text


def _boundaries(tokenizer: Any) -> tuple[int | None, int | None]:
    """The begin- and the end-of-text token, as the model's files name them; of several ends the lowest where not."""
    named = getattr(tokenizer, "template_tokens", lambda: ("", ""))()
    begin, end = (getattr(tokenizer, "control_tokens", {}).get(markup) for markup in named)
    return (
        begin if tokenizer.bos_id is None else tokenizer.bos_id,
        min(tokenizer.eos_ids, default=None) if end is None else end,
    )


def _chain(wishes: dict[str, Any]) -> str:
    """The chain of a task's generation settings, as text. Raises `ParameterError` for one that has none here."""
    sampling = wishes.pop("do_sample", False)
    shaping = {name: wishes.pop(name) for name in _SHAPING if name in wishes}
    unknown = [name for name, value in wishes.items() if value is not None]
    if unknown:
        raise ParameterError(f"generation setting {unknown[0]!r} has no meaning here; known are {', '.join(_SHAPING)}")
    penalty = shaping.pop("repetition_penalty", None)
    parts = [] if penalty is None else [f"repetition_penalty={penalty}"]
    if not sampling:
        return " ".join([*parts, "greedy"])
    if shaping.get("top_k") == 0:  # as in transformers: none
        del shaping["top_k"]
    parts += [f"{name}={shaping[name]}" for name in _SHAPING if shaping.get(name) is not None]
    return " ".join(parts) or "multinomial"
