"""Whatever a file holds, the check of the page returns a verdict, and the one that `decodekit.verify` gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from decodekit.trace.codec import digest
from tests.trace.forging import load, packed

from .checking import by_decodekit, by_page, differences

if TYPE_CHECKING:
    from playwright.sync_api import Page

CONFORMANCE = Path(__file__).parents[1] / "trace" / "conformance"
SOUND = (CONFORMANCE / "top_p.jsonl").read_bytes()


def refitted(data: bytes) -> bytes:
    """These lines with digests in the steps that fit, and no footer."""
    header, *steps = data.splitlines()[:-1]
    written = [header]
    for line in steps:
        written.append(line[:23] + digest(written[-1]).encode() + line[55:])
    return b"\n".join(written) + b"\n"


def in_step(old: str, new: str) -> bytes:
    """The first step with another text in it, under digests that fit."""
    lines = SOUND.splitlines(keepends=True)
    changed = lines[1].replace(old.encode(), new.encode(), 1)
    assert changed != lines[1]
    return refitted(b"".join([lines[0], changed, *lines[2:]]))


def in_header(old: str, new: str) -> bytes:
    changed = SOUND.replace(old.encode(), new.encode(), 1)
    assert changed != SOUND
    return refitted(changed)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


ODD = [
    in_step('"text":"', '"text":"\\ud800'),
    in_step('"text":"', '"text":"\\ud83d\\ude00\\u0000'),
    in_step('"text":"', '"text":"\\x'),
    in_step('"text":"', '"text":"\u2028\x7f'),
    in_step('"text":"', '"text":"\x01'),
    in_step('"text":"', '"text":"lost","text":"'),
    in_step('"stream":0', '"stream":9,"stream":0'),
    in_step('"stream":0', '"stream":-0'),
    in_step('"stream":0', '"stream":0.0'),
    in_step('"stream":0', '"stream":0e5'),
    in_step('"stream":0', '"stream":00'),
    in_step('"stream":0', '"stream":"__proto__"'),
    in_step('"stream":0', '"__proto__":{"x":1},"stream":0'),
    in_step('"stream":0', '"schedule":{"__proto__":1,"constructor":"x"},"stream":0'),
    in_step('"stream":0', f'"schedule":{{"x":{"9" * 4300}}},"stream":0'),
    in_step('"stream":0', f'"schedule":{{"x":{"9" * 4301}}},"stream":0'),
    in_step('"stream":0', f'"schedule":{{"x":-{"9" * 4300}}},"stream":0'),
    in_step('"stream":0', f'"schedule":{{"x":{nested(300)}}},"stream":0'),
    in_step('"margin":', '"margin":1e999,"x":'),
    in_step('"margin":', '"margin":1e999,"margin":'),
    in_step('"score":', '"score":1e999,"score":'),
    in_step('"temperature":1.0', '"temperature":1e400'),
    in_step('"temperature":1.0', '"temperature":-1e-400'),
    in_step('"temperature":1.0', f'"temperature":{"9" * 400}'),
    in_step('"temperature":1.0', '"temperature":NaN'),
    in_step('"temperature":1.0', '"temperature":Infinity'),
    in_step('"floor":null', '"floor":-Infinity'),
    in_step('"entries":[', '"entries":[,'),
    in_step('"stream":0', '"stream" : 0 '),
    in_step(',"timing":', ', "timing":'),
    in_step('"content":', '"content" :'),
    in_header('"config":null', '"config":{"__proto__":{"config":1}}'),
    in_header('"config":null', f'"config":{{"x":{nested(197)}}}'),
    in_header('"config":null', f'"config":{{"x":{nested(198)}}}'),
    in_header('"config":null', f'"config":{{"x":{nested(199)}}}'),
    in_header('"config":null', f'"config":{{"x":{nested(198).replace("[]", "[0]")}}}'),
    in_header('"config":null', '"config":' + '{"x":' * 199 + "0" + "}" * 199),
    in_header('"config":null', '"config":' + '{"x":' * 198 + "0" + "}" * 198),
    in_header('"config":null', '"config":' + '{"x":' * 198 + "{}" + "}" * 198),
    in_header('"config":null', f'"config":{{"x":{nested(100_000)}}}'),
    in_header('"config":null', f'"config":{{"x":{"1" * 4300}}}'),
    in_header('"config":null', f'"config":{{"x":{"1" * 100_000}}}'),
    in_header('"config":null', '"config":{"x":1e999}'),
    in_header('"config":null', '"config":{"x":"\\udc00"}'),
    in_header('"config":null', '"config":{"\\ud800":1}'),
    in_header('"config":null', '"config":{"x":truE}'),
    in_header('"config":null', '"config":{"x":nullx}'),
    in_header('"config":null', '"config":{"x":.5}'),
    in_header('"config":null', '"config":{"x":1.}'),
    in_header('"config":null', '"config":{"x":"\\""}'),
    in_header('"config":null', '"config":{"x":"\\\\"}'),
    in_header('"rng":"decodekit-rng-1"', '"rng":"decodekit-rng-2"'),
    in_header('"level":"proof"', '"level":"none"'),
    in_header('"context_length":', '"context_length":0,"x":'),
    in_header('"kind":"header"', '"kind":"\u212aheader"'),
]


def test_what_json_may_hold_is_judged_as_by_verify(modules: Page, tmp_path: Path) -> None:
    assert differences(modules, ODD, tmp_path / "one.jsonl") == []


NOT_TRACES = [
    b"",
    b"\n",
    b"\xef\xbb\xbf" + SOUND,
    b"\xff\xfe" + SOUND.decode().encode("utf-16-le"),
    b"PAR1",
    b"null\n",
    b"[]\n",
    b'{"kind":"header","content":null,"created":""}\n',
    b'{"kind":"header","content":{"format":"decodekit-trace/1"},"created":""}\n',
    b'{"kind":"header","content":{"format":"decodekit-trace/1","__proto__":{"seed":0}},"created":""}\n',
    b"[" * 10**5 + b"\n",
    b'{"kind":"header","content":' + b"[" * 10**5 + b',"created":""}\n',
    b'{"kind":"header","content":"' + b'\\"' * 10**5 + b',"created":""}\n',
    b'{"kind":"header","content":' + b"9" * 10**5 + b',"created":""}\n',
    SOUND.replace(b"\n", b"\r\n"),
    SOUND[:-1],
    SOUND + b"\n",
    SOUND + b"x",
    SOUND + SOUND,
]


def test_other_files_are_judged_as_by_verify(modules: Page, tmp_path: Path) -> None:
    assert differences(modules, NOT_TRACES, tmp_path / "one.jsonl") == []


def test_a_trace_cut_anywhere_is_judged_as_by_verify(modules: Page, tmp_path: Path) -> None:
    files = [SOUND[:at] for at in range(0, len(SOUND), 29)]
    assert differences(modules, files, tmp_path / "one.jsonl") == []


def broken(chance: Random) -> bytes:
    """Bytes of a trace, with pieces of it and of JSON in wrong places; or only such pieces."""
    pieces = [
        b'"',
        b"\\",
        b"{",
        b"[",
        b"]",
        b"}",
        b",",
        b":",
        b"1e9",
        b"-",
        b"null",
        b"\n",
        b"\xf0\x9f",
        b"\\ud800",
        b" ",
    ]
    data = bytearray(SOUND if chance.random() < 0.8 else chance.randbytes(200))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data))
        start = chance.randrange(len(data))
        new = chance.choice([*pieces, bytes(data[start : start + chance.randrange(60)])])
        data[at : at + chance.randrange(4)] = new
    return bytes(data)


def test_broken_bytes_are_judged_as_by_verify(modules: Page, tmp_path: Path) -> None:
    chance = Random(3)
    files = [broken(chance) for _ in range(150)]
    files += [refitted(data) for data in files if data.count(b"\n") > 2]
    assert differences(modules, files, tmp_path / "one.jsonl") == []


LONG = """async ([text, before, units, times]) => {
  const { checkTrace } = await import("/check_trace.js");
  return units.map((unit) => {
    const { word, step } = checkTrace(text.replace('"config":null', `"config":{"x":${before}${unit.repeat(times)}}`));
    return `${word} ${step}`;
  });
}"""


def test_a_header_of_many_parts_is_read(modules: Page) -> None:
    """The first step is not the one after this header."""
    units = ["[],", "{},", "0,", '"",', '"\\n",', "9999999999,", "1.5e300,"]
    script = LONG.replace("(times)}", "(times)}0]")
    assert modules.evaluate(script, [SOUND.decode(), "[", units, 200_000]) == ["failed 0"] * len(units)


def test_a_line_that_is_too_long_is_refused(modules: Page) -> None:
    script = LONG.replace("(times)}", '(times)}"')
    assert modules.evaluate(script, [SOUND.decode(), '"', ["a"], 2**24]) == ["refused null"]


CHANGES: dict[str, Callable[[list[dict[str, object]]], object]] = {
    "a number as text": lambda lines: lines[1].update(stream="0"),
    "a number as a boolean": lambda lines: lines[1].update(stream=False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_only_decodekit_takes_fails(modules: Page, tmp_path: Path, change: str) -> None:
    """docs/trace-format.md allows both, and names this difference."""
    lines = load(CONFORMANCE / "top_p.jsonl")
    CHANGES[change]([line["content"] for line in lines])
    data = packed(lines)
    assert by_decodekit(data, tmp_path / "one.jsonl")["word"] == "proved"
    assert by_page(modules, [data])[0]["word"] == "failed"
