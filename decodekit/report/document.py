"""What the page draws, as data: the head (JSON) and the columns of both islands."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from decodekit.html.markup import Markup
from decodekit.plugin import registry
from decodekit.plugin.installed import our_version
from decodekit.report.beginning import beginning
from decodekit.report.columns import Columns, packed
from decodekit.report.comparing import difference_of
from decodekit.report.remarks import remarks_of
from decodekit.report.sources import Source
from decodekit.report.steps import StepColumns
from decodekit.text.labels import token_label
from decodekit.text.safe_text import safe_text
from decodekit.trace.header import Header
from decodekit.trace.named_texts import named_labels
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import STRENGTH
from decodekit.view.run_story import RunStory, run_story
from decodekit.view.verdicts import MEANING

__all__ = ["islands"]

_PROMPT_END = 4000  # characters of a prompt that are shown: its end
_MOST_LABELS = 30_000


def islands(sources: Sequence[Source]) -> tuple[Markup, str, str]:
    """What a page is made of: the beginning of its text, the data that the text needs, and the rest of the data.

    Returns:
        Markup, and twice data in base64: deflated, the length of a head in 4 bytes, the head as JSON, the columns.
    """
    tokenizer = next((source.tokenizer for source in sources if source.tokenizer is not None), None)
    label = cache(lambda token_id: token_label(tokenizer, token_id))
    steps = StepColumns(label)
    texts: list[str] = []
    ids: list[int] = []
    remarks: dict[int, dict[str, Any]] = {}
    runs: list[dict[str, Any]] = []
    places: list[dict[tuple[int, int], int]] = []
    names: dict[int, str] = {}
    back: list[int] = []
    for source in sources:
        story = run_story(source.trace, source.tokenizer, verdict=source.verdict)
        ordered = _by_stream(source.trace)
        words = source.verdict.words
        own = [source.trace.steps[number] for number in ordered]
        steps.add(source.trace, own, [words[n] if n < len(words) else "" for n in ordered], source.tokenizer)
        wrong = []
        for at, step in enumerate(own, len(texts)):
            said = remarks_of(step)
            if said:
                remarks[at] = said
            if "impossible" in said:
                wrong.append(step.index)
        runs.append(_run(source, story, len(texts)) | {"impossible": wrong[:1], "wrong": len(wrong)})
        back += [at for at, step in enumerate(own, len(texts)) if step.abandoned]
        for at, number in enumerate(ordered, len(texts)):
            name, text = story.tokens.label[number], story.tokens.text[number]
            if name != f'"{text}"' and not name.startswith("#"):
                names[at] = name
        texts += [story.tokens.text[number] for number in ordered]
        ids += [step.token_id for step in own]
        places.append({(step.stream, step.index): at for at, step in enumerate(own, len(texts) - len(own))})
    first, rest = Columns(), Columns()
    steps.first(first)
    steps.rest(rest)
    head = {
        "decodekit": our_version(),
        "words": STRENGTH,
        "meaning": MEANING,
        "texts": texts,
        "back": back,
        "runs": runs,
        "difference": difference_of(sources, places),
        "columns": first.table,
    }
    more = {
        "columns": rest.table,
        "names": names,
        "labels": _labels(sources, steps.labelled, None if tokenizer is None else label),
        "remarks": remarks,
        "sentences": steps.sentences,
    }
    return beginning(runs[0], texts, ids), _island(head, first), _island(more, rest)


def _island(head: Mapping[str, Any], columns: Columns) -> str:
    text = json.dumps(_exact(head), allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 4) % 8)
    return packed(struct.pack("<I", len(text)) + text + columns.data())


def _exact(value: Any) -> Any:
    """The same data, whole numbers that JavaScript would round as decimal digits."""
    if isinstance(value, Mapping):
        return {key: _exact(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(each) for each in value]
    return str(value) if isinstance(value, int) and abs(value) >= 2**53 else value


def _by_stream(trace: Trace) -> list[int]:
    """The places of the steps of a trace, one sequence after another."""
    order = {stream: at for at, (stream, _) in enumerate(trace.header.sequences)}
    known = [number for number, step in enumerate(trace.steps) if step.stream in order]
    return sorted(known, key=lambda number: order[trace.steps[number].stream])


def _run(source: Source, story: RunStory, start: int) -> dict[str, Any]:
    trace, header = source.trace, source.trace.header
    streams = []
    sample: Counter[int] = Counter()
    several = len(header.prompts) > 1
    for sequence, (_, prompt) in zip(story.sequences, header.sequences, strict=True):
        streams.append(
            {
                "stream": str(sequence.stream),
                "name": f"prompt {prompt}, sample {sample[prompt]}" if several else f"sample {sample[prompt]}",
                "from": start,
                "to": start + sequence.tokens,
                "prompt": _end_of(sequence.prompt or _given(header, prompt)),
                "prompt_tokens": sequence.prompt_tokens,
                "end": sequence.finish_reason,
                "error": sequence.error,
                "calls": list(sequence.tool_calls),
            }
        )
        start += sequence.tokens
        sample[prompt] += 1
    kept = {"vocab_size", "name", "model"}
    return {
        "name": safe_text(source.name),
        "facts": story.facts,
        "header": _safe(
            {
                "seed": str(header.seed),
                "level": header.level,
                "chain": _named(header.chain),
                "adapter": {key: value for key, value in header.adapter.items() if key in kept},
            }
        ),
        "verdict": {"word": story.verdict, "step": source.verdict.step, "why": story.why},
        "complete": trace.footer is not None,
        "fault": safe_text(source.fault),
        "by_provider": trace.by_provider,
        "foreign": source.foreign,
        "resumed": [each.steps for each in trace.resumed],
        "lost": len(trace.steps) - sum(sequence.tokens for sequence in story.sequences),
        "streams": streams,
    }


def _named(chain: Mapping[str, Any]) -> dict[str, Any]:
    """The chain with the name by which each part is shown, where that is not the recorded one alone."""

    def part(group: str, described: Mapping[str, Any]) -> dict[str, Any]:
        shown = registry.shown_name(group, described)
        return {**described, **({"shown": shown} if shown not in ("", described.get("name")) else {})}

    processors = [part("processors", each) for each in chain.get("processors", [])]
    return {**chain, "processors": processors, "sampler": part("samplers", chain.get("sampler", {}))}


def _given(header: Header, prompt: int) -> str | None:
    """A prompt as it was given, where its ids alone do not say it."""
    given = header.given[prompt] if header.given is not None and 0 <= prompt < len(header.given) else None
    if given is None or isinstance(given, str):
        return None if given is None else safe_text(given, newlines=True)
    return safe_text(json.dumps(given, ensure_ascii=False, default=str), newlines=True)


def _end_of(text: str | None) -> str | None:
    return f"... {text[-_PROMPT_END:]}" if text is not None and len(text) > _PROMPT_END else text


def _labels(sources: Sequence[Source], wanted: set[int], label: Callable[[int], str] | None) -> dict[int, str]:
    """The texts of tokens, by id. Two traces with different tokenizers share no ids; the first one's texts win."""
    named: dict[int, str] = {}
    for source in sources:
        for step in source.trace.steps:
            if step.schedule and "tokens" in step.schedule:
                named.update(named_labels(step.schedule))
            for branch in step.abandoned:
                wanted.update(branch.token_ids)
    labels = {token_id: named[token_id] for token_id in wanted if token_id in named}
    if label is not None:
        for token_id in sorted(wanted - named.keys())[:_MOST_LABELS]:
            labels[token_id] = label(token_id)
    return labels


def _safe(value: Any) -> Any:
    """Data with every text made safe to show, and no number that JSON does not have."""
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, Mapping):
        return {_shown(str(key)): _safe(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(each) for each in value]
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    return _shown(str(value))


def _shown(text: str) -> str:
    return safe_text(text, newlines=True)
