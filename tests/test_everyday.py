"""The programs of docs/everyday.md: decodekit's run, all are counted in the same way, and the table is as it is now."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.remote.servers import serving

ROOT = Path(__file__).parent.parent
EVERYDAY = ROOT / "examples" / "everyday"
SPEC = importlib.util.spec_from_file_location("everyday_table", EVERYDAY / "table.py")
assert SPEC is not None
assert SPEC.loader is not None
table = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(table)


def test_a_line_counts_if_it_has_code() -> None:
    source = '# a comment\nimport os\n\n\ndef f(\n    x,  # why\n    # not this\n):\n    return """a\n\nb"""\n'
    assert table.lines_of_code(source) == 7
    assert table.lines_of_code("") == table.lines_of_code("\n# a\n") == 0


def test_the_table_is_as_the_programs_are_now() -> None:
    page = (ROOT / "docs" / "everyday.md").read_text()
    assert table.rewritten(page) == page, "run: python examples/everyday/table.py docs/everyday.md"
    assert table.rewritten(page.replace("| [3]", "| [2]")) == page


def test_each_program_is_there_or_its_reason_is() -> None:
    for library in table.LIBRARIES:
        there = {path.stem for path in (EVERYDAY / library).glob("*.py")}
        reasons = set(table.NONE.get(library, ()))
        assert not there & reasons and there | reasons == set(table.TASKS), library


def test_decodekits_programs_are_not_longer_in_eight_of_ten_tasks() -> None:
    for library in table.LIBRARIES:
        if library != "decodekit":
            assert sum(table.not_longer(task, library) for task in table.TASKS) >= 8, library


def test_all_are_formatted_alike() -> None:
    """With trailing commas ignored, no list is longer than it must be."""
    settings = ["--isolated", "--line-length", "120", "--config", "format.skip-magic-trailing-comma=true"]
    command = [sys.executable, "-m", "ruff", "format", "--check", *settings, "--exclude", "table.py", str(EVERYDAY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model, in which a program runs."""
    pytest.importorskip("llama_cpp")
    from decodekit.local.model_files import find_model

    (tmp_path / "smollm2.gguf").symlink_to(find_model("smollm2"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(task: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What decodekit's program for a task prints, on one thread, because other tests run at the same time."""
    program = (EVERYDAY / "decodekit" / f"{task}.py").read_text()
    Path("program.py").write_text(program.replace('"smollm2.gguf"', '"smollm2.gguf", n_threads=1'))
    runpy.run_path("program.py")
    return capsys.readouterr().out


@pytest.mark.real_model
@pytest.mark.parametrize("task", ["chat", "complete", "stream"])
def test_a_text_is_continued(task: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(task, capsys)
    assert len(said) > 3
    if task == "complete":
        assert said.count("\n") == 1


@pytest.mark.real_model
def test_alternatives_are_the_most_likely_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed("alternatives", capsys).splitlines()
    logprobs = [float(line.rpartition(" ")[2]) for line in lines]
    assert len(lines) == 5 and lines[0].startswith(" Paris ") and logprobs == sorted(logprobs, reverse=True)


@pytest.mark.real_model
def test_samples_are_the_same_in_the_next_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = printed("samples", capsys)
    assert said.count("\n") >= 8 and printed("samples", capsys) == said


@pytest.mark.real_model
def test_a_batch_goes_on_where_it_ended(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = json.dumps({"prompt": "Two and", "text": " a half"}) + "\n"
    (folder / "answers.jsonl").write_text(done)
    (folder / "prompts.txt").write_text("One and\nTwo and\nThree and\n")
    assert printed("batch", capsys) == ""
    said = (folder / "answers.jsonl").read_text()
    assert said.startswith(done)
    assert sorted(json.loads(line)["prompt"] for line in said.splitlines()) == ["One and", "Three and", "Two and"]
    printed("batch", capsys)
    assert (folder / "answers.jsonl").read_text() == said


@pytest.mark.real_model
def test_a_label_is_chosen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("choose", capsys) == " positive\n"


@pytest.mark.real_model
def test_a_schema_is_kept_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llguidance")
    assert re.fullmatch(r"name='.*' age=-?\d+\n|None\n", printed("structured", capsys))


@pytest.mark.real_model
def test_twenty_callers_are_answered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("callers", capsys).count("\n") >= 20


def test_a_hosted_api_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("httpx")
    monkeypatch.setenv("OPENAI_API_KEY", "a key for the test")
    program = (EVERYDAY / "decodekit" / "hosted.py").read_text()
    with serving("openai_chat") as server:
        (tmp_path / "hosted.py").write_text(program.replace("https://api.openai.com/v1", server.url))
        runpy.run_path(str(tmp_path / "hosted.py"))
        path, headers, body = server.requests[-1]
    assert path == "/v1/chat/completions" and "a key for the test" in str(headers)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert len(capsys.readouterr().out.strip()) > 3
