"""The laws that the tokens of traces are said to be drawn from, as far as the record shows them without the draw.

The evidence of an untruncated draw lists the tokens that the draw itself made worth listing, so it is no law to bet on.
The leading tokens of each step are, and so is the whole support where it was recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import Literal

import numpy as np

from decodekit.analysis.sampler_checks.beginnings import Beginnings
from decodekit.analysis.sampler_checks.bets import Law
from decodekit.errors import ParameterError
from decodekit.plugin.installed import OURS
from decodekit.trace.named_texts import named_texts
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace

__all__ = ["Against", "possible_end", "recorded_draws"]

Against = Literal["chain", "model"]

_MARK = re.compile(r"(<[^<>\s]{1,40}>|\[[^\[\]\s]{1,40}\])?")
_NOT_LISTED = -1
_SEVERAL = 3  # texts that ended, of which one would have shown its end among the likely tokens


def recorded_draws(
    traces: Sequence[Trace],
    against: Against = "chain",
    *,
    ends: Collection[int] = (),
    beginnings: Beginnings | None = None,
) -> Iterator[tuple[Law, int]]:
    """A law and a token for each step that states one, in the order of the record.

    Where a server drew, each beginning of a text counts once (see the module `beginnings`): a prompt with a few short
    answers says little. Its noise for one prompt must still be independent of that for another.

    Args:
        traces: runs with noise of their own: each its seed, or other streams.
        against: 'chain', what the chain left, or what a server says it drew from; or 'model', the model's own
            distribution: whether there was any chain.
        ends: the model's end tokens. A server draws them and does not return them, so what it does return was drawn
            given that no end came. Without them each listed text that looks like a control token may be one, and one
            that is not listed.
        beginnings: of texts that were tested before; they are added to.

    Raises:
        ParameterError: two sequences have the same noise, a sequence is no sample (branches were taken back, or greedy
            drew nothing), a server's list is of raw values and the chain that it was asked for has processors, or a
            server's texts ended by themselves and nothing says what its end tokens are.
    """
    seen: set[tuple[int, int]] = set()
    known = Beginnings() if beginnings is None else beginnings
    for trace in traces:
        _check(trace, against)
        for stream, _ in trace.header.sequences:
            if (trace.header.seed, stream) in seen:
                raise ParameterError(
                    f"two sequences have the seed {trace.header.seed} and the stream {stream}: their noise is the "
                    "same, so they are not independent; test one of them, or give each run its own seed"
                )
            seen.add((trace.header.seed, stream))
    for trace in traces:
        width, told = _listed_by_all(trace), ends
        if trace.by_provider and not ends:
            told = _possible_ends(trace, known)
        places = {stream: _prompt(trace, index) for stream, index in trace.header.sequences}
        for step in trace.steps:
            law, place = _law(trace, step, against, width), places[step.stream]
            places[step.stream] = known.after(place, step.token_id)
            if law is None or (trace.by_provider and not known.is_new(place)):
                continue
            if step.token_id in told and not ends:
                continue  # it is no end after all, and the law of the others is given that none of these comes
            yield law.without(told) if trace.by_provider and step.token_id not in told else law, step.token_id


def possible_end(text: str) -> bool:
    """Whether a listed text looks like a control token, such as ``<|im_end|>``, ``</s>``, ``[EOS]``, or is empty."""
    return _MARK.fullmatch(text) is not None


def _possible_ends(trace: Trace, known: Beginnings) -> set[int]:
    """The ids of texts that may be ends, and one that no list has.

    Raises:
        ParameterError: several texts ended by themselves, and no such text was listed.
    """
    texts = {token: text for step in trace.steps for token, text in named_texts(step.schedule).items()}
    known.ends |= {token for token, text in texts.items() if possible_end(text)}
    ended = trace.footer.ends if trace.footer is not None else ()
    stopped = sum(each.finish_reason == "stop" and each.tokens > 0 for each in ended)
    if stopped >= _SEVERAL and not known.ends and not trace.header.stop.get("strings"):
        raise ParameterError(
            "this server draws an end of text that it does not return, and which of its tokens that is is not known: "
            "name its tokenizer=, or give ends="
        )
    return {*known.ends, _NOT_LISTED}


def _prompt(trace: Trace, index: int) -> Hashable:
    given = trace.header.given
    told = None if given is None else given[index]
    return json.dumps(told) if told is not None else tuple(trace.header.prompts[index])


def _check(trace: Trace, against: Against) -> None:
    if against not in ("chain", "model"):
        raise ParameterError(f"against is 'chain' or 'model', not {against!r}")
    chain = trace.header.chain
    if any(step.abandoned for step in trace.steps):
        raise ParameterError("branches of this run were taken back (ban), so what is left was not drawn from its chain")
    if against == "model":
        return
    sampler = chain.get("sampler", {})
    if sampler.get("distribution") == OURS and sampler.get("name") == "greedy":
        raise ParameterError("greedy draws nothing, so there is no law to test; against='model' tests the model's own")
    raw = any(step.raw.stage != "processed" for step in trace.steps)
    if trace.by_provider and raw and chain.get("processors"):
        asked = ", ".join(str(part.get("name")) for part in chain["processors"])
        raise ParameterError(
            f"the server was asked for {asked}, and its lists are of values before that: they do not say what it drew "
            "from; against='model' tests whether it drew from these lists"
        )


def _listed_by_all(trace: Trace) -> int | None:
    """How many leading tokens each list of a server has; None where decodekit drew.

    A server may add the drawn token to its list, so a longer list says something of the draw.
    """
    if not trace.by_provider:
        return None
    return min((len(step.raw.top) for step in trace.steps if step.raw.top), default=0)


def _law(trace: Trace, step: Step, against: Against, width: int | None) -> Law | None:
    """None where the record states nothing."""
    plain = against == "model" or not step.entries
    if plain and step.row is not None and width is None:
        answer = step.answer(trace.header.adapter.get("vocab_size"))
        return None if answer is None or not answer.knows_normalizer else Law.of(answer)
    if not plain and step.evidence is not None and step.evidence.floor is None:
        return _normalised(step)
    at = step.raw if plain else step.entries[-1]
    top = at.top[:width]
    if not top:
        return None
    ids = np.array([token_id for token_id, _ in top], dtype=np.int64)
    logprobs = np.array([logprob for _, logprob in top])
    complete = at.tail is None and at.support is not None and at.support <= len(top)
    return Law.listed(ids[logprobs > -np.inf], logprobs[logprobs > -np.inf], complete=complete)


def _normalised(step: Step) -> Law:
    """The whole support, by falling probability and then rising id."""
    assert step.evidence is not None
    ids, scores = step.evidence.token_ids, step.evidence.scores
    order = np.lexsort((ids, -scores))
    order = order[scores[order] > -np.inf]
    logprobs = scores[order] - np.logaddexp.reduce(scores[order])
    return Law.listed(ids[order], logprobs, complete=True)
