from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.cli.conftest import TOY, Decodekit

WRONG: list[tuple[list[str], str]] = [
    (["generat"], "No such command 'generat'. Did you mean 'generate'?; see decodekit --help"),
    (["generate"], "Missing argument 'PROMPT', or --prompts FILE; see decodekit generate --help"),
    (["generate", "x", "--sed", "1"], "No such option: --sed"),
    (["generate", "x", "--seed", "one"], "Invalid value for '--seed'"),
    (["generate", "x", "--level", "everything"], "Invalid value for '--level'"),
    (["generate", "x"], "which model? Name one with --model"),
    (["generate", "x", "--adapter", "tory"], "no adapter is named 'tory'; did you mean 'toy'?"),
    (["generate", "x", *TOY, "--set", "ordre=1"], "unknown parameter 'ordre'; did you mean 'order'?"),
    (["generate", "x", *TOY, "--set", "order"], "--set takes key=value, not 'order'"),
    (["generate", "x", *TOY, "--set", "type=other"], "its type is --adapter"),
    (["generate", "x", *TOY, "--chain", "top_p="], "--chain, column 7: expected a value"),
    (["generate", "x", *TOY, "--chain", "top_pp=0.5"], "did you mean 'top_p'?"),
    (["generate", "x", *TOY, "--chain", "top_p=2"], "less than or equal to 1, not 2"),
    (["generate", "x", *TOY, "--sampler", "greedi"], "did you mean 'greedy'?"),
    (["generate", "x", *TOY, "--sampler", "greedy multinomial"], "--sampler takes one sampler, not 2"),
    (["generate", "x", *TOY, "--seed", "-1"], "seed"),
    (["generate", "x", *TOY, "--max-tokens", "-1"], "max_tokens"),
    (["generate", "x", *TOY, "--deadline", "nan"], "deadline is a number of seconds"),
    (["generate", "x", *TOY, "-n", "0"], "n must be an integer from 1"),
    (["generate", "x", *TOY, "--stop", ""], "a stop string must be text"),
    (["generate", "", *TOY], "is empty"),
    (["generate", "x", "-c", "nowhere.toml"], "cannot read nowhere.toml"),
    (["generate", "x", *TOY, "--chain", "greedy top_k=3"], "--chain: 'greedy' is a sampler; a chain has one"),
    (["generate", "x", *TOY, "--chain", "zzzz"], "`decodekit plugins` lists them"),
    (["plugins", "zzzz"], "`decodekit plugins` lists them"),
    (["verify"], "Missing argument"),
    (["verify", "nowhere.jsonl"], "'nowhere.jsonl' does not exist; see decodekit verify --help"),
    (["verify", "nowhere.jsonl", "--json"], "does not exist"),
    (["replay", "nowhere.jsonl"], "does not exist"),
    (["resume", "nowhere.jsonl", *TOY], "does not exist"),
    (["recover", "nowhere.jsonl", "x.jsonl"], "does not exist"),
    (["verify", "."], "'.' is a directory"),
    (["replay", "x.jsonl", *TOY, "-c", "nowhere.toml"], "'x.jsonl' does not exist"),
    (["chain", "nowhere.toml"], "cannot read nowhere.toml"),
    (["chain", "--chain", "top_k=4", "--against", "vllm", "--logits", "nowhere.npy"], "nowhere.npy"),
    (["generate", "x", "--model", "nowhere.gguf"], "model 'nowhere.gguf' does not exist"),
    (["generate", "x", "--model", "localhost:8080"], "a server is named by its URL: 'http://localhost:8080'"),
    (["generate", "x", "--model", "a.toml"], "a configuration is given with -c a.toml"),
    (["generate", "x", "--model", "hf:o/r/m.gguf"], "--set allow_downloads=true would download m.gguf"),
    (["generate", "x", "--model", "http://127.0.0.1:9", "--set", "attempts=0"], "adapter 'remote': attempts"),
    (["verify", "x.jsonl", "--explain", "1"], "; generate and resume have it; see decodekit verify --help"),
    (["config", "check", "nowhere.toml"], "cannot read nowhere.toml"),
]


def test_a_wrong_call_is_one_line_on_stderr_and_exit_2(
    one_after_another: Callable[..., list[tuple[int, str, str]]],
) -> None:
    told = one_after_another([call for call, _ in WRONG])
    assert len(told) == len(WRONG)
    for (call, message), (code, out, err) in zip(WRONG, told, strict=True):
        assert (code, out) == (2, ""), (call, out, err)
        assert err.startswith("decodekit: ") and err.count("\n") == 1 and message in err, (call, err)


def test_the_traceback_comes_only_when_asked_for_anywhere(decodekit: Decodekit) -> None:
    call = ("generate", "x", *TOY, "--set", "fail_at=1")
    assert decodekit(*call).stderr.count("\n") == 1
    for debugging in (("--debug", *call), (*call, "--debug")):
        done = decodekit(*debugging)
        assert done.returncode == 1 and "Traceback" in done.stderr and "\x1b" not in done.stderr
        assert done.stderr.endswith("decodekit: the model \\x1b[31mbroke\n")


def test_the_doctor_reports_all_the_same_when_the_adapter_is_named_wrongly(decodekit: Decodekit) -> None:
    done = decodekit("doctor", "-c", "nowhere.toml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "cannot read nowhere.toml" in done.stderr
    assert "decodekit" in done.stdout


def test_debug_after_two_dashes_is_a_prompt(decodekit: Decodekit) -> None:
    assert decodekit("generate", *TOY, "--max-tokens", "0", "--", "--debug").returncode == 0


def test_a_fault_in_a_plugin_is_one_line_too(decodekit: Decodekit) -> None:
    done = decodekit("generate", "x", *TOY, "--model", "bomb")
    assert done.returncode == 1 and done.stderr.startswith("decodekit: RuntimeError: boom (")
    assert "--debug" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(missing: str, environment: dict[str, str]) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import decodekit.cli; decodekit.cli.main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"decodekit: the command line needs {missing}")
    assert done.stderr.endswith("pip install 'decodekit[cli]'\n") and done.stderr.count("\n") == 1


def test_a_missing_module_that_is_not_of_the_extra_is_a_fault(environment: dict[str, str]) -> None:
    code = "import sys; sys.modules['decodekit.cli.live'] = None; sys.modules['decodekit.cli.commands.verify'] = None\n"
    code += "import decodekit.cli; decodekit.cli.main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1 and "decodekit.cli.commands.verify" in done.stderr and "pip install" not in done.stderr


def test_another_encoding_shows_escapes(decodekit: Decodekit) -> None:
    done = decodekit("verify", "東.jsonl", env={"PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 2 and "'\\u6771.jsonl' does not exist" in done.stderr


@pytest.mark.parametrize("call", [[], ["config"]])
def test_a_call_that_names_nothing_gets_the_help(decodekit: Decodekit, call: list[str]) -> None:
    done = decodekit(*call)
    assert done.returncode == 2 and "Commands:" in done.stdout + done.stderr


def test_help_lists_every_command_and_is_narrow(decodekit: Decodekit) -> None:
    done = decodekit("--help")
    assert done.returncode == 0 and done.stderr == ""
    for command in ("generate", "verify", "replay", "recover", "plugins", "doctor", "config"):
        assert f"\n  {command} " in done.stdout
    assert max(map(len, decodekit("generate", "--help").stdout.splitlines())) <= 80
