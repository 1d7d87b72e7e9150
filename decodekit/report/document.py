"""What the page draws, as data: the head (JSON) and the columns of both islands."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from decodekit.errors import DecodekitError
from decodekit.plugin.installed import our_version
from decodekit.report.columns import Columns, packed
from decodekit.report.sources import Source
from decodekit.report.steps import StepColumns
from decodekit.text.labels import token_label
from decodekit.text.safe_text import safe_text
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.named_texts import DRAWN_BY, named_texts
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import STRENGTH
from decodekit.view.verdicts import MEANING

__all__ = ["islands"]

_PROMPT_END = 4000  # characters of a prompt that are shown: its end
_MOST_LABELS = 30_000


def islands(sources: Sequence[Source]) -> tuple[str, str]:
    """The data of a page in two pieces: what its text needs, and the rest.

    Returns:
        Each in base64: deflated, the length of a head in 4 bytes, the head as JSON, the columns.
    """
    steps, texts, remarks, runs = StepColumns(), [], {}, []
    for source in sources:
        ordered, streams = _by_stream(source, len(texts))
        words = source.verdict.words
        word_of = {id(step): word for step, word in zip(source.trace.steps, words, strict=False)}
        steps.add(source.trace, ordered, [word_of.get(id(step), "") for step in ordered], source.tokenizer)
        for at, step in enumerate(ordered, len(texts)):
            said = _remarks(step)
            if said:
                remarks[at] = said
        texts += [safe_text(step.text, newlines=True) for step in ordered]
        runs.append(_run(source, streams))
    first, rest = Columns(), Columns()
    steps.first(first)
    steps.rest(rest)
    head = {
        "decodekit": our_version(),
        "words": STRENGTH,
        "meaning": MEANING,
        "texts": texts,
        "runs": runs,
        "columns": first.table,
    }
    more = {"columns": rest.table, "labels": _labels(sources, steps.labelled), "remarks": remarks, "sentences": steps.sentences}
    return _island(head, first), _island(more, rest)


def _island(head: Mapping[str, Any], columns: Columns) -> str:
    text = json.dumps(head, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 4) % 8)
    return packed(struct.pack("<I", len(text)) + text + columns.data())


def _by_stream(source: Source, start: int) -> tuple[list[Step], list[dict[str, Any]]]:
    """The steps of a trace, one sequence after another, and what the page knows of each sequence."""
    trace = source.trace
    parts: dict[int, list[Step]] = {stream: [] for stream, _ in trace.header.sequences}
    for step in trace.steps:
        parts.setdefault(step.stream, []).append(step)
    ends = {end.stream: end for end in (trace.footer.ends if trace.footer is not None else ())}
    prompts = dict(trace.header.sequences)
    ordered: list[Step] = []
    described = []
    for stream, own in parts.items():
        end = ends.get(stream)
        described.append(
            {
                "stream": str(stream),
                "from": start + len(ordered),
                "to": start + len(ordered) + len(own),
                "prompt": _prompt(source, prompts.get(stream)),
                "end": None if end is None else {"reason": end.finish_reason, "error": _shown(end.error or "")},
            }
        )
        ordered += own
    return ordered, described


def _prompt(source: Source, index: int | None) -> dict[str, Any]:
    header = source.trace.header
    if index is None or not 0 <= index < len(header.prompts):
        return {"index": -1, "tokens": 0, "text": None}
    ids = header.prompts[index]
    given = header.given[index] if header.given is not None and index < len(header.given) else None
    text: str | None = None
    if given is not None:
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)
    elif source.tokenizer is not None:
        try:
            text = source.tokenizer.decode(ids).decode("utf-8", "replace")
        except DecodekitError:  # a server that is not there any more, or ids that it never had
            text = None
    if text is not None and len(text) > _PROMPT_END:
        text = f"... {text[-_PROMPT_END:]}"
    return {"index": index, "tokens": len(ids), "text": None if text is None else safe_text(text, newlines=True)}


def _run(source: Source, streams: list[dict[str, Any]]) -> dict[str, Any]:
    trace, verdict = source.trace, source.verdict
    header = {key: value for key, value in trace.header.content().items() if key not in ("prompts", "given", "sequences")}
    return {
        "name": safe_text(source.name),
        "header": _safe({**header, "seed": str(trace.header.seed)}),
        "verdict": {
            "word": verdict.word,
            "step": verdict.step,
            "why": safe_text(verdict.why),
            "counts": dict(verdict.counts),
        },
        "complete": trace.footer is not None,
        "fault": safe_text(source.fault),
        "by_provider": trace.by_provider,
        "labelled": source.tokenizer is not None,
        "resumed": [each.steps for each in trace.resumed],
        "streams": streams,
    }


def _remarks(step: Step) -> dict[str, Any]:
    """What few steps have: branches that were taken back, further questions, a tail that was given up."""
    said: dict[str, Any] = {}
    if step.abandoned:
        said["abandoned"] = [
            {"why": safe_text(branch.why), "attempt": branch.attempt, "token_ids": list(branch.token_ids)}
            for branch in step.abandoned
        ]
    notes = [f"the model was asked again: {safe_text(why)}" for why, _ in step.asked]
    notes += [
        f"{safe_text(entry.name)} gave up a tail of up to {entry.gave_up.mass_high:.2%} of the mass"
        for entry in step.entries
        if entry.gave_up is not None
    ]
    notes += [f"{safe_text(entry.name)} decided within 1e-9 of its boundary" for entry in step.entries if entry.ambiguous]
    if step.raw.tail is not None:
        tail = step.raw.tail
        notes.append(f"the model showed {step.raw.disclosed} tokens; the others have {_mass(tail.mass_low, tail.mass_high)}")
    if step.schedule and DRAWN_BY in step.schedule:
        notes.append("the provider drew this token with random numbers of its own")
    elif step.schedule:
        row = ", ".join(f"{key} {value}" for key, value in step.schedule.items() if key != "tokens")
        notes += [f"schedule: {_shown(row)}"] if row else []
    if notes:
        said["notes"] = notes
    if any(entry.tosses for entry in step.entries):
        said["tosses"] = True
    return said


def _mass(low: float, high: float) -> str:
    return f"{low:.3%} of the mass" if f"{low:.3%}" == f"{high:.3%}" else f"{low:.3%} to {high:.3%} of the mass"


def _labels(sources: Sequence[Source], wanted: set[int]) -> dict[int, str]:
    """The texts of tokens, by id. Two traces with different tokenizers share no ids; the first one's texts win."""
    named: dict[int, str] = {}
    tokenizer: Tokenizer | None = None
    for source in sources:
        tokenizer = tokenizer or source.tokenizer
        for step in source.trace.steps:
            if step.schedule and "tokens" in step.schedule:
                named.update({i: f'"{safe_text(text)}"' for i, text in named_texts(step.schedule).items()})
            for branch in step.abandoned:
                wanted.update(branch.token_ids)
    labels = {token_id: named[token_id] for token_id in wanted if token_id in named}
    if tokenizer is not None:
        for token_id in sorted(wanted - named.keys())[:_MOST_LABELS]:
            labels[token_id] = token_label(tokenizer, token_id)
    return labels


def _safe(value: Any) -> Any:
    """Data with every text made safe to show, and no number that JSON does not have."""
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, Mapping):
        return {_shown(str(key)): _safe(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(each) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    return _shown(str(value))


def _shown(text: str) -> str:
    return safe_text(text, newlines=True)


