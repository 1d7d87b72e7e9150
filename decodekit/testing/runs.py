"""Small recorded runs, to give to sinks: made by the chain and the draw, as those of a session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from decodekit.chain import Chain
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import CHEAP, Disclosure
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import Randomness
from decodekit.model.adapter import Adapter
from decodekit.model.prefix import Prefix
from decodekit.testing.adapters import NGramAdapter, TableAdapter
from decodekit.trace.evidence import gather
from decodekit.trace.header import Header, Resumption, SequenceEnd, plain
from decodekit.trace.step import Abandoned, FinishReason, Level, Step, Timing
from decodekit.trace.summary import RawSummary

__all__ = ["RecordedRun", "recorded_runs"]

_PROMPTS = ([116, 104, 101], [97])
_ERROR = "the model is gone \u2028 \U0001f600"


@dataclass(frozen=True)
class RecordedRun:
    """What a sink gets of one run.

    Args:
        name: what is special about it.
        header, steps, ends: as a session records them.
        resumed: notes that come after the first step.
    """

    name: str
    header: Header
    steps: list[Step]
    ends: list[SequenceEnd]
    resumed: tuple[Resumption, ...] = ()


def recorded_runs() -> Iterator[RecordedRun]:
    """Runs of every level and end, of one sequence and of two, with and without tokens, draws and hidden tokens."""
    words = NGramAdapter("the cat sat on the mat and the dog sat on the log. ")
    head = TableAdapter(lambda ids: np.arange(200.0) * 0.3 + len(ids), 200, most=Disclosure(top=4))
    yield _run("two sequences", words, "temperature=0.8 top_p=0.95", "proof", 4, 2)
    yield _run("a greedy one at level choice", words, "greedy", "choice", 3)
    yield _run("raw rows", words, "top_k=3", "full", 2)
    yield _run("hidden tokens", head, "top_k=3", "proof", 3)
    yield _run("no tokens", words, "", "proof", 0)
    yield _run("a branch that was taken back", words, "", "proof", 2, abandoned=(Abandoned("cat", 0, (99, 97)),))
    yield _run("an error", words, "", "proof", 2, reason="error")
    yield _run("an interrupt", words, "", "proof", 1, reason="cancelled")
    whole = _run("a resumed one", words, "", "proof", 3)
    yield RecordedRun(whole.name, whole.header, whole.steps, whole.ends, (Resumption(1, 7, plain(words.info)),))


def _run(
    name: str,
    adapter: Adapter,
    text: str,
    level: Level,
    tokens: int,
    streams: int = 1,
    reason: FinishReason = "length",
    abandoned: tuple[Abandoned, ...] = (),
) -> RecordedRun:
    chain, numbers = Chain.of(text), [0, 2**64 - 1][:streams]
    header = Header(
        seed=7,
        level=level,
        prompts=[[*prompt] for prompt in _PROMPTS[:streams]],
        sequences=[(stream, at) for at, stream in enumerate(numbers)],
        chain=chain.describe(),
        adapter=plain(adapter.info),
        stop={"max_tokens": tokens, "strings": [], "ids": []},
    )
    each = [_steps(adapter, chain, level, list(_PROMPTS[at]), stream, tokens) for at, stream in enumerate(numbers)]
    if abandoned:
        each = [[replace(step, abandoned=abandoned if step.index else ()) for step in steps] for steps in each]
    error = _ERROR if reason == "error" else None
    ends = [SequenceEnd(stream, tokens, reason, error) for stream in numbers]
    return RecordedRun(name, header, [step for row in zip(*each, strict=True) for step in row], ends)


def _steps(adapter: Adapter, chain: Chain, level: Level, prompt: list[int], stream: int, tokens: int) -> list[Step]:
    output: list[int] = []
    steps = []
    for index in range(tokens):
        (dist,) = adapter.predict([Prefix(prompt + output)], CHEAP)
        assert isinstance(dist, Distribution)
        context = Context(TokenIds(prompt), TokenIds(output), adapter.tokenizer)
        noise = Randomness(7, stream).at(index)
        final, choice, entries, _ = chain.step(dist, context, chain.initial(context), noise, top=3, truncate=True)
        steps.append(
            Step(
                index=index,
                token_id=choice.token_id,
                text=chr(choice.token_id),
                raw=RawSummary.of(dist, 3),
                entries=entries,
                draw=choice.draw,
                choice=choice,
                schedule=dist.schedule,
                timing=Timing(0.5, 0.25),
                stream=stream,
                evidence=None if level == "choice" else gather(final, choice, chain.sampler, noise),
                row=(dist.token_ids, dist.scores) if level == "full" else None,
                complete=None if index else False,
            )
        )
        output.append(choice.token_id)
    return steps
