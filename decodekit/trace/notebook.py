"""A run as a notebook shows it: its text with coloured tokens, and its closest decisions explained."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

from decodekit.html.markup import Markup, block, details, join, note, sentences
from decodekit.html.tokens import Piece, key, tokens
from decodekit.trace.explanation import Explanation
from decodekit.trace.facts import facts_of
from decodekit.trace.header import Footer, Header
from decodekit.trace.named_texts import DRAWN_BY
from decodekit.trace.stages import share_text
from decodekit.trace.step import Step
from decodekit.trace.surprisal import BANDS, band_of, surprisal_of

__all__ = ["MOST_TOKENS", "as_html"]

MOST_TOKENS = 2000  # about 200 bytes each in the notebook's file
_MOST_CHARACTERS = 100_000
_MOST_STORIES = 5
_HALF = math.log(2)


def as_html(
    header: Header,
    steps: Sequence[Step],
    footer: Footer | None,
    *,
    check: str,
    explain: Callable[[int], Explanation],
    text: str = "",
) -> str:
    """The sequences of a run, as many of their tokens as fit in about half a megabyte.

    Args:
        header, steps, footer: of the trace, or of one sequence of it.
        check: what is proved.
        explain: the explanation of the step with this index in ``steps``.
        text: what to show where no steps were kept.
    """
    shown = _shown(steps, explain) if steps else _without_steps(text)
    return block(_facts(header, steps, footer, check), *shown)


def _facts(header: Header, steps: Sequence[Step], footer: Footer | None, check: str) -> Markup:
    streams = {step.stream for step in steps}
    ends = [end for end in (footer.ends if footer else []) if end.stream in streams or not streams]
    reasons = Counter(str(end.finish_reason) for end in ends)
    ended = ", ".join(reason if count == 1 else f"{reason} ({count})" for reason, count in reasons.items())
    told = dict(facts_of(header))
    first = [(name, told.pop(name)) for name in ("model", "chain", "seed")]
    now = [("steps", f"{len(steps)}, {ended or 'no recorded end'}"), ("check", check)]
    now += [("call of a tool", call.line) for end in ends[:_MOST_STORIES] for call in end.tool_calls[:_MOST_STORIES]]
    return join([sentences([*first, *now]), details("all settings", sentences(told.items()))])


def _without_steps(text: str) -> list[Markup]:
    return [tokens([Piece(text[:_MOST_CHARACTERS], 0)]), *_left_out(len(text) - _MOST_CHARACTERS, "characters")]


def _shown(steps: Sequence[Step], explain: Callable[[int], Explanation]) -> list[Markup]:
    """The texts, what is left out of them, and the closest decisions."""
    ordered = sorted(steps, key=lambda step: (step.stream, step.index))
    number, characters = 0, 0
    for step in ordered[:MOST_TOKENS]:
        characters += len(step.text)
        if characters > _MOST_CHARACTERS:
            break
        number += 1
    texts = [_sequence(list(own)) for _, own in groupby(ordered[:number], lambda step: step.stream)]
    return [*texts, key(BANDS), *_left_out(len(steps) - number, "tokens"), *_stories(steps, explain)]


def _left_out(count: int, of_what: str) -> list[Markup]:
    return [note(f"{count} more {of_what} are not shown here; the trace has them all.")] if count > 0 else []


def _sequence(steps: Sequence[Step]) -> Markup:
    """The text of one sequence; where its tokens have no text, their ids."""
    without = not any(step.text for step in steps)
    texts = [f"#{step.token_id} " if without else step.text for step in steps]
    return tokens(
        Piece(
            text, band_of(step.choice.raw_logprob), _title(step), (surprisal_of(step.choice.raw_logprob) or 0.0) > _HALF
        )
        for text, step in zip(texts, steps, strict=True)
        if text
    )


def _title(step: Step) -> str:
    logprob = step.choice.raw_logprob
    surprisal = surprisal_of(logprob)
    if logprob is None or surprisal is None:
        return f"{step.index}: probability not known"
    margin = f", margin {step.choice.margin:.4g}" if _has_margin(step) else ""
    return f"{step.index}: {share_text(math.exp(logprob))}, {surprisal:.2f} nats{margin}"


def _has_margin(step: Step) -> bool:
    return math.isfinite(step.choice.margin) and DRAWN_BY not in (step.schedule or {})


def _stories(steps: Sequence[Step], explain: Callable[[int], Explanation]) -> list[Markup]:
    """The steps with the smallest margins; where no margin is known, those with the most surprising tokens."""
    title = "closest decisions"
    found = [(step.choice.margin, at) for at, step in enumerate(steps) if _has_margin(step)]
    if not found:
        title = "most surprising tokens"
        known = ((step.choice.raw_logprob, at) for at, step in enumerate(steps))
        found = [(logprob, at) for logprob, at in known if logprob is not None]
    told = []
    for _, at in sorted(found)[:_MOST_STORIES]:
        story, stream = explain(at), steps[at].stream
        which = f", stream {stream}" if stream else ""
        told.append(details(story.title + which, Markup(story.to_html())))
    return [details(title, join(told))] if told else []
