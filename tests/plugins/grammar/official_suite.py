"""Run json_schema against the official JSON Schema suite, and write the tables of docs/constraints.md.

    python tests/plugins/grammar/official_suite.py [FOLDER]

The suite is a part of the source archive of the package jsonschema, which is fetched by pip. With FOLDER, the archive's
files are there. Each document is written by ``json.dumps`` without blanks, in its own order of keys.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from decodekit import ParameterError, processor
from decodekit_grammar.keywords import parts
from tests.plugins.grammar.models import accepts

PACKAGE = "jsonschema==4.26.0"
PAGE = Path(__file__).parents[3] / "docs" / "constraints.md"
BEGIN, END = "<!-- tests/plugins/grammar/official_suite.py writes from here -->", "<!-- to here -->"
DRAFTS = {
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
    "draft7": "http://json-schema.org/draft-07/schema#",
}
PARTS = {"": "required", "optional": "optional", "optional/format": "formats"}


@dataclass
class Count:
    """What a part of the suite gave."""

    draft: str
    part: str
    accepted: int = 0
    refused: dict[str, str] = field(default_factory=dict)  # message: schema
    refusals: int = 0
    right: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    invalid_accepted: list[str] = field(default_factory=list)
    restricted: dict[str, int] = field(default_factory=dict)
    valid_refused: list[str] = field(default_factory=list)


def fetched(folder: Path) -> Path:
    """The source archive, unpacked there."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps", "-d", str(folder)]
    subprocess.run([*pip, PACKAGE], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(each for each in folder.iterdir() if each.is_dir())


def constraint(schema: Any) -> Any:
    return processor("json_schema", json_schema=schema, forcing="free", whitespace="any", number_length=None)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def restriction(part: Any, schema: Any, value: Any) -> str | None:
    """Which stated restriction of the texts explains that a valid document is refused."""
    orders = permutations(value.items()) if isinstance(value, dict) and len(value) <= 5 else ()
    if any(accepts(part, compact(dict(each))) for each in orders):
        return "another order of keys"
    text = compact(value)
    whole = re.sub(r"(\d)\.0+\b", r"\1", text)
    if re.fullmatch(r"-?\d+e\+?\d+", text) or (whole != text and accepts(part, whole)):
        return "an integer that is written as 1.0 or 1e3"
    return "a text that the format does not allow" if "format" in schema else None


def counted(cases: Path, draft: str, name: str) -> Count:
    """Every schema and every document of one folder."""
    count = Count(draft, name)
    for file in sorted(cases.glob("*.json")):
        for case in json.loads(file.read_text()):
            schema = case["schema"]
            if isinstance(schema, dict):
                schema = {"$schema": DRAFTS[draft], **schema}
            try:
                part = constraint(schema)
            except ParameterError as error:
                count.refusals += 1
                message = str(error).removeprefix("processor 'json_schema': json_schema: ")
                count.refused.setdefault(message, compact(case["schema"]))
                continue
            count.accepted += 1
            for test in case["tests"]:
                judge(count, part, schema, test, f"{file.name}: {case['description']}: {test['description']}")
    return count


def judge(count: Count, part: Any, schema: Any, test: dict[str, Any], name: str) -> None:
    """Count one document."""
    found = accepts(part, compact(test["data"]))
    if found == test["valid"]:
        count.right[found] += 1
    elif found:
        count.invalid_accepted.append(name)
    else:
        why = restriction(part, schema, test["data"])
        if why is None:
            count.valid_refused.append(name)
        else:
            count.restricted[why] = count.restricted.get(why, 0) + 1


# -- the tables --------------------------------------------------------------------------------------------------------


def figures(counts: list[Count]) -> Iterator[str]:
    """The counts of documents."""
    heads = ("part of the suite", "schemas refused, taken", "valid allowed", "invalid forbidden", "invalid allowed")
    yield f"| {' | '.join(heads)} | valid forbidden |\n{'| --- ' * 6}|"
    for each in counts:
        kept = [f"{number} by {why}" for why, number in each.restricted.items()]
        kept += [f"{len(each.valid_refused)} by another cause"] if each.valid_refused else []
        yield (
            f"| {each.draft}, {each.part} | {each.refusals}, {each.accepted} | {each.right[True]} | "
            f"{each.right[False]} | {len(each.invalid_accepted)} | {'; '.join(kept) or 0} |"
        )


def refusals(counts: list[Count]) -> Iterator[str]:
    """One line for each keyword and reason, with the smallest schema that is refused for it."""
    found: dict[tuple[str, str], str] = {}
    for each in counts:
        for message, schema in each.refused.items():
            example = smallest(json.loads(schema), reason(message), DRAFTS[each.draft])
            why = reason(message)
            key = "any other word" if why == "no keyword" else keywords_of(example), why
            if key not in found or len(compact(example)) < len(found[key]):
                found[key] = compact(example)
    yield "| keyword | refused schema | message |"
    yield "| --- | --- | --- |"
    for (keyword, why), example in sorted(found.items()):
        yield f"| {keyword} | `{example}` | {why} |".replace("||", r"\|\|")


def reason(message: str) -> str:
    """A message without its place and the values in it."""
    text = " ".join(message.partition(": ")[2].split()).removesuffix("; see docs/constraints.md")
    text = text if message.startswith("at ") else " ".join(message.split())
    quoted = re.search(r"\(llguidance: (.*)\)$", text)
    text = quoted[1] if quoted else text
    text = re.sub(r"^Unimplemented keys: .*", "not supported", text)
    text = re.sub(r"^Unknown format: .*", "unknown format", text)
    text = re.sub(r"^Resource '.*", "it is of another document", text)
    text = re.sub(r"^Anchor '.*", "the anchor is not found", text)
    text = re.sub(r"^Unsatisfiable schema.*", "no value is valid", text)
    text = re.sub(r"^oneOf constraints are not supported.*", "branches that one value may satisfy together", text)
    text = re.sub(r"^regex parse error.*", "not in the syntax of Rust's regex crate", text)
    text = re.sub(r"^\w+ is [-+.e0-9]+, which has too many digits.*", "too many digits to be read exactly", text)
    text = re.sub(r"^\w+ has the number .*", "a number with too many digits to be read exactly", text)
    text = re.sub(r"^Expected positive integer for .*", "not written as an integer", text)
    text = re.sub(r"^Value for 'multipleOf' has too many digits.*", "too many digits", text)
    text = re.sub(r"^patternProperty regexes .*", "patterns that one key may match together", text)
    return re.sub(r"^'.*?' is no keyword of JSON Schema.*", "no keyword", text)


def smallest(schema: Any, why: str, draft: str) -> Any:
    """The schema without all that its refusal does not need."""
    for smaller in simpler(schema):
        if refused_for(smaller, draft) == why:
            return smallest(smaller, why, draft)
    return schema


def refused_for(schema: Any, draft: str) -> str | None:
    try:
        constraint({"$schema": draft, **schema} if isinstance(schema, dict) else schema)
    except ParameterError as error:
        return reason(str(error).removeprefix("processor 'json_schema': json_schema: "))
    return None


def simpler(value: Any) -> Iterator[Any]:
    """The value with one thing less: a part of it alone, or a key or an item gone or simpler."""
    if isinstance(value, dict):
        yield from (dict(part) for place, part in parts(value) if place)
        for key in value:
            yield {other: value[other] for other in value if other != key}
        for key in value:
            yield from ({**value, key: each} for each in simpler(value[key]))
    elif isinstance(value, list):
        for at in range(len(value)):
            yield value[:at] + value[at + 1 :]
        for at in range(len(value)):
            yield from ([*value[:at], each, *value[at + 1 :]] for each in simpler(value[at]))


def keywords_of(schema: Any) -> str:
    if not isinstance(schema, dict):
        return f"`{compact(schema)}`"
    if "format" in schema and len(schema) == 1:
        return f"`format` {schema['format']}"
    return ", ".join(f"`{key}`" for key in schema if key not in ("$defs", "definitions", "type", "$id"))


def written(counts: list[Count]) -> str:
    return "\n\n".join(["\n".join(figures(counts)), "\n".join(refusals(counts))])


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        tests = (Path(arguments[0]) if arguments else fetched(Path(folder))) / "json" / "tests"
        counts = [counted(tests / draft / part, draft, name) for part, name in PARTS.items() for draft in DRAFTS]
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n\n{written(counts)}\n\n{END}{tail}")
    print("\n".join(figures(counts)))
    for each in counts:
        for name in each.invalid_accepted + each.valid_refused:
            print(f"{each.draft}, {each.part}: {name}")
    required = [each for each in counts if each.part == "required"]
    return int(any(each.invalid_accepted or each.valid_refused for each in required))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
