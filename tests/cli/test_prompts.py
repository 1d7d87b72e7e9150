"""``generate --prompts``: each line has its result, whatever its place; what is done is not done again."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import decodekit as library
from decodekit.testing import NGramAdapter
from tests.cli.conftest import CHAIN, COMMAND, TOY, Decodekit
from tests.cli.toy_adapters import TEXT

Together = Callable[..., list[tuple[int, str, str]]]
LINES: list[Any] = [
    "the ",
    {"prompt": "and ", "id": "b", "max_tokens": 5, "chain": "top_k=3", "sampler": "greedy"},
    {"prompt": [116, 104], "seed": 9},
    {"prompt": "the dog", "id": 7, "stop": "log"},
    "the ",
]
RUN = ("generate", *TOY, *CHAIN, "--seed", "7", "--max-tokens", "12", "--prompts", "in.jsonl", "--out", "out.jsonl")


def written(folder: Path, lines: list[Any], name: str = "in.jsonl") -> None:
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def on(prompts: str = "in.jsonl", out: str = "out.jsonl") -> list[str]:
    return [*RUN[:-4], "--prompts", prompts, "--out", out]


def rows(folder: Path, name: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def by_key(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    assert len({row["key"] for row in found}) == len(found)
    return {row["key"]: row for row in found}


def test_each_line_has_the_result_that_it_has_alone(decodekit: Decodekit, tmp_path: Path) -> None:
    written(tmp_path, LINES)
    done = decodekit(*RUN)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    found = rows(tmp_path)
    assert sorted((str(row.get("id")), row["stream"]) for row in found) == [
        ("7", 0), ("None", 0), ("None", 0), ("None", 1), ("b", 0)]  # fmt: skip
    chain = library.Chain([library.processor("temperature", temperature=0.8), library.processor("top_p", top_p=0.95)])
    session = library.Session(NGramAdapter(TEXT), chain)
    for row in found:
        own: dict[str, Any] = {"max_tokens": 12, "seed": row["seed"], "stream": row["stream"]}
        if row.get("id") == "b":
            own |= {"max_tokens": 5, "chain": library.Chain([library.processor("top_k", top_k=3)], "greedy")}
        if row.get("id") == 7:
            own["stop"] = "log"
        result = session.generate(row["prompt"], **own)
        assert (row["text"], row["token_ids"], row["finish_reason"]) == (
            result.text, list(result.token_ids), result.finish_reason)  # fmt: skip
    assert [row["seed"] for row in found if row["prompt"] == [116, 104]] == [9]


def test_neither_place_nor_neighbours_change_a_result_and_what_is_done_stays(
    one_after_another: Together, tmp_path: Path
) -> None:
    written(tmp_path, LINES)
    written(tmp_path, LINES[1:3], "some.jsonl")
    written(tmp_path, LINES[::-1], "back.jsonl")
    calls = [on("some.jsonl"), on("back.jsonl"), on(), on(), on(out="straight.jsonl")]
    assert one_after_another(calls) == [(0, "", "")] * 5
    found = rows(tmp_path)
    assert sorted(str(row["prompt"]) for row in found[:2]) == ["[116, 104]", "and "] and len(found) == 5
    assert by_key(found) == by_key(rows(tmp_path, "straight.jsonl"))


def test_without_a_seed_a_run_goes_on_with_the_seed_it_began_with(one_after_another: Together, tmp_path: Path) -> None:
    written(tmp_path, LINES[:1])
    written(tmp_path, LINES[:2], "more.jsonl")
    unseeded = [
        [word for word in call if word not in ("--seed", "7")] for call in (on(), [*on("more.jsonl"), "-n", "2"])
    ]
    assert one_after_another(unseeded) == [(0, "", "")] * 2
    found = rows(tmp_path)
    assert len(found) == 4 and len({row["run_seed"] for row in found}) == 1
    assert {(row["prompt"], row["stream"]) for row in found} == {(text, i) for text in ("the ", "and ") for i in (0, 1)}


def test_a_changed_setting_is_refused_and_nothing_is_lost(one_after_another: Together, tmp_path: Path) -> None:
    written(tmp_path, LINES)
    others = [("--seed", "8"), ("--max-tokens", "13"), ("--chain", "top_k=4"), ("--set", "order=3"),
              ("--set", "delay=0.0001")]  # fmt: skip
    first, *refused = one_after_another([on(), *([*on(), *other] for other in others)])
    assert first == (0, "", "") and len(rows(tmp_path)) == 5
    for code, out, err in refused:
        assert (code, out) == (2, "") and "results that this call would not make" in err


def test_a_half_line_is_cut_and_failed_lines_are_tried_again(
    one_after_another: Together, environment: dict[str, str], tmp_path: Path
) -> None:
    written(tmp_path, LINES)
    environment["TOY_FAIL_AT"] = "4"  # the prefix length at which it breaks
    ((code, _, err),) = one_after_another([on()])
    del environment["TOY_FAIL_AT"]
    assert code == 1 and "results failed; the same call tries them again" in err
    assert "the first error: the model" in err
    found = rows(tmp_path)
    errors = [row for row in found if "error" in row]
    assert len(found) == 5 and {row["finish_reason"] for row in errors} == {"error"} and 2 <= len(errors) < 5
    assert all(row["error"].startswith("the model") for row in errors)
    with (tmp_path / "out.jsonl").open("ab") as file:
        file.write(b'{"prompt": "half a li')
    assert one_after_another([on(), on(out="straight.jsonl")]) == [(0, "", "")] * 2
    assert by_key(rows(tmp_path)) == by_key(rows(tmp_path, "straight.jsonl"))
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").write_bytes(whole[:-9])
    assert one_after_another([on()]) == [(0, "", "")]
    assert by_key(rows(tmp_path)) == by_key(rows(tmp_path, "straight.jsonl"))
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl", "straight.jsonl"}


def test_what_no_line_can_have_is_refused_before_the_first(one_after_another: Together, tmp_path: Path) -> None:
    written(tmp_path, LINES)
    wrong = {
        "a stop id": ([*on(), "--stop-id", "999999"], "stop_ids: token id 999999 lies outside the vocabulary"),
        "stdin": (on("-"), "--prompts: stdin is read once only"),
        "stdout": (on(out="-"), "--out: '-' is no file"),
    }
    said = one_after_another([call for call, _ in wrong.values()])
    for (code, out, err), (_, message) in zip(said, wrong.values(), strict=True):
        assert (code, out) == (2, "") and message in err
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}


def test_a_full_disk_is_one_line_and_exit_1(decodekit: Decodekit, tmp_path: Path) -> None:
    written(tmp_path, LINES)
    done = decodekit(*RUN[:-1], "/dev/full")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "cannot write to /dev/full: No space left on device" in done.stderr


def test_ctrl_c_keeps_all_that_is_whole_and_the_same_call_goes_on(
    one_after_another: Together, environment: dict[str, str], tmp_path: Path
) -> None:
    lines = [{"prompt": "the ", "max_tokens": 1 + 2 * i} for i in range(24)]
    written(tmp_path, lines)
    slow = {**environment, "TOY_DELAY": "0.02"}
    process = subprocess.Popen([*COMMAND, *RUN], stderr=subprocess.PIPE, cwd=tmp_path, env=slow)
    out = tmp_path / "out.jsonl"
    while not out.exists() or out.read_bytes().count(b"\n") < 4:
        assert process.poll() is None
        signal.sigtimedwait([], 0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")
    some = out.read_bytes()
    assert some.endswith(b"\n") and 4 <= len(rows(tmp_path)) < 24
    assert one_after_another([on(), on(out="straight.jsonl")]) == [(0, "", "")] * 2
    assert out.read_bytes().startswith(some)
    assert len(rows(tmp_path)) == 24 and by_key(rows(tmp_path)) == by_key(rows(tmp_path, "straight.jsonl"))


def test_a_terminal_shows_how_far_it_is(terminal: Callable[..., tuple[str, int]], tmp_path: Path) -> None:
    written(tmp_path, LINES)
    output, code = terminal(*RUN)
    assert code == 0 and "5/5" in output and " tokens" in output and output.count("\x1b[?25l") == 1
    assert output.count("\x1b[?25h") == 1 and len(rows(tmp_path)) == 5


def test_chat_makes_messages_of_texts(decodekit: Decodekit, tmp_path: Path) -> None:
    written(tmp_path, ["hi", {"prompt": [{"role": "user", "content": "hi"}]}])
    done = decodekit(*RUN, "--chat")
    found = rows(tmp_path)
    assert done.returncode == 1 and {row["error"] for row in found} == {found[0]["error"]}  # the toy has no template
    assert sorted(row["stream"] for row in found) == [0, 1]  # both are the same prompt


def test_a_guesser_saves_time_and_changes_nothing(one_after_another: Together, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text('[adapter]\ntype = "toy"\n[guesser]\nname = "prompt_lookup"\n')
    call, rest = ["generate", "the cat"], ["--seed", "7", "--max-tokens", "40"]
    told = one_after_another([
        [*call, *TOY, *rest],
        [*call, *TOY, *rest, "--guesser", "prompt_lookup max_ngram=3"],
        [*call, "-c", "toy.toml", *rest, "--guesser", "none"],
    ])  # fmt: skip
    assert {(code, err) for code, _, err in told} == {(0, "")} and len({out for _, out, _ in told}) == 1


def test_the_guesser_of_the_flag_is_the_one_that_is_used() -> None:
    from decodekit.plugin.one_line import parse_guesser

    assert parse_guesser("prompt_lookup max_ngram=3") == {"name": "prompt_lookup", "max_ngram": 3}
    assert parse_guesser("none") is None
