"""Wrong calls with a record."""

from __future__ import annotations

RECORDS: dict[str, tuple[str, ...]] = {
    "a trace that is not there": ("decodekit.read_trace('nowhere.jsonl')",),
    "a folder": ("decodekit.read_trace('empty')",),
    "a file that is no trace": ("decodekit.read_trace('notes.txt')",),
    "an empty file": ("decodekit.read_trace('nothing.jsonl')",),
    "JSON that is no trace": ("decodekit.read_trace('app.json')",),
    "a trace of another version": ("decodekit.read_trace('future.jsonl')",),
    "a trace that was cut": ("decodekit.read_trace('torn.jsonl')", "decodekit.recover('torn.jsonl', 'whole.jsonl')"),
    "a trace that was changed": ("decodekit.read_trace('changed.jsonl')",),
    "a whole trace recovered": ("decodekit.recover('good.jsonl', 'again.jsonl')",),
    "recovered over a file": ("decodekit.recover('torn.jsonl', 'notes.txt')",),
    "verify of a text": ("decodekit.verify('the cat sat')",),
    "verify of nothing": ("decodekit.verify(None)",),
    "a replay with another model": ("decodekit.replay('good.jsonl', adapter=bare)",),
    "a replay with a name": ("decodekit.replay('good.jsonl', adapter='smollm2')",),
    "a step that is not there": ("result.explain(99)", "result.explain(0)"),
    "a step by its text": ("result.explain('Paris')",),
    "an explanation without a record": ("session.generate('x', level='none', max_tokens=1).explain(0)",
                                        "session.generate('x', level='choice', max_tokens=1).explain(0)"),
    "bytes that are no trace": ("decodekit.Trace.from_bytes(b'hello')",),
    "a text for bytes": ("decodekit.Trace.from_bytes('good.jsonl')", "decodekit.read_trace('good.jsonl')"),
    "a resumption with another model": ("decodekit.resume('torn.jsonl', bare)",),
    "a resumption of a name": ("decodekit.resume('good.jsonl', 'smollm2')",),
}  # fmt: skip
