from __future__ import annotations

import json
from pathlib import Path

import pytest

import decodekit as library
from decodekit.testing import NGramAdapter
from tests.cli.conftest import CHAIN, TOY, Decodekit
from tests.cli.toy_adapters import TEXT

RUN = ("generate", "the ", *TOY, *CHAIN, "--seed", "7", "--max-tokens", "20")


def expected(prompt: str = "the ", **call: object) -> library.Result:
    """The same from Python."""
    chain = library.Chain([library.processor("temperature", temperature=0.8), library.processor("top_p", top_p=0.95)])
    call = {"seed": 7, "max_tokens": 20, **call}
    return library.Session(NGramAdapter(TEXT), chain).generate(prompt, **call)


def test_a_pipe_gets_the_text_and_a_newline_and_nothing_else(decodekit: Decodekit) -> None:
    done = decodekit(*RUN)
    assert (done.stdout, done.stderr, done.returncode) == (expected().text + "\n", "", 0)


def test_json_is_one_object_with_the_whole_answer(decodekit: Decodekit) -> None:
    done = decodekit(*RUN, "--json", "--trace", "run.jsonl")
    result = expected()
    usage = {"prompt_tokens": 4, "completion_tokens": 20, "cached_tokens": None}
    one = {
        "text": result.text,
        "token_ids": list(result.token_ids),
        "finish_reason": "length",
        "error": None,
        "tool_calls": [],
    }
    data = json.loads(done.stdout)
    assert data == {
        "seed": 7,
        "trace": "run.jsonl",
        "results": [{**one, "complete": None, "seed": 7, "stream": 0, "usage": usage}],
    }
    assert data["results"] == [result.to_dict()]


def test_without_a_seed_one_is_drawn_and_told_so_that_it_can_be_had_again(decodekit: Decodekit) -> None:
    call = ("generate", "the ", *TOY, "--max-tokens", "9", "--json")
    first = json.loads(decodekit(*call).stdout)
    again = json.loads(decodekit(*call, "--seed", str(first["seed"])).stdout)
    assert first == again
    assert json.loads(decodekit(*call).stdout)["seed"] != first["seed"]


def test_samples_are_those_of_generate_many(decodekit: Decodekit, tmp_path: Path) -> None:
    data = json.loads(decodekit(*RUN, "-n", "3", "--json", "--trace", "run.jsonl").stdout)
    chain = library.Chain([library.processor("temperature", temperature=0.8), library.processor("top_p", top_p=0.95)])
    session = library.Session(NGramAdapter(TEXT), chain)
    [results] = session.generate_many(["the "], n=3, seed=7, max_tokens=20)
    assert [sample["text"] for sample in data["results"]] == [result.text for result in results]
    assert [sample["stream"] for sample in data["results"]] == [0, 1, 2]
    assert (data["seed"], data["trace"]) == (7, "run.jsonl")
    assert library.verify(tmp_path / "run.jsonl").counts == {"proved": 60}


def test_samples_in_a_pipe_stand_between_lines(decodekit: Decodekit) -> None:
    samples = decodekit(*RUN, "-n", "2").stdout.split("\n---\n")
    assert len(samples) == 2 and samples[0] == expected().text


def test_a_stop_text_ends_it_and_is_cut(decodekit: Decodekit) -> None:
    full = expected().text
    done = decodekit(*RUN, "--stop", full[8:11], "--stop", "never", "--json")
    (data,) = json.loads(done.stdout)["results"]
    assert data["text"] == full[: full.index(full[8:11])] and data["finish_reason"] == "stop"


def test_a_stop_id_ends_it(decodekit: Decodekit) -> None:
    result = expected()
    (data,) = json.loads(decodekit(*RUN, "--stop-id", str(result.token_ids[4]), "--json").stdout)["results"]
    first = result.token_ids.index(result.token_ids[4])
    assert data["token_ids"] == list(result.token_ids[: first + 1]) and data["finish_reason"] == "stop"


def test_a_deadline_ends_it(decodekit: Decodekit) -> None:
    call = (*RUN, "--deadline", "0.1", "--set", "delay=0.06", "--json")
    (data,) = json.loads(decodekit(*call).stdout)["results"]
    assert data["finish_reason"] == "deadline" and len(data["token_ids"]) <= 3


def test_the_prompt_can_come_from_stdin(decodekit: Decodekit) -> None:
    call = ["generate", "-", *RUN[2:]]
    assert decodekit(*call, stdin=b"the \n").stdout == expected().text + "\n"
    assert decodekit(*call, stdin=b"the \n\n").stdout == expected("the \n").text + "\n"


def test_a_prompt_that_is_no_text_is_refused(decodekit: Decodekit) -> None:
    done = decodekit("generate", "-", *TOY, stdin=b"\xff\xfe")
    assert decodekit("generate", "\udcff", *TOY).returncode == 2
    assert done.returncode == 2 and done.stderr.startswith("decodekit: the prompt is not UTF-8")


def test_bytes_that_are_hostile_to_a_terminal_are_data_in_a_pipe(decodekit: Decodekit) -> None:
    done = decodekit("generate", "x", "--adapter", "hostile", "--sampler", "greedy", "--max-tokens", "6")
    assert "\x1b]0;pwned\x07" in done.stdout and "\x1b[2J" in done.stdout and "[bold]hi[/bold]" in done.stdout


def test_flags_override_the_config_and_leave_the_rest(decodekit: Decodekit, tmp_path: Path) -> None:
    tmp_path.joinpath("d.toml").write_text(
        '[adapter]\ntype = "toy"\norder = 2\n[[chain]]\nname = "temperature"\ntemperature = 0.5\n'
        '[sampler]\nname = "greedy"\n[session]\nseed = 5\nmax_tokens = 6\n'
    )
    assert decodekit("generate", "the ", "-c", "d.toml", "--trace", "a.jsonl").returncode == 0
    header = library.read_trace(tmp_path / "a.jsonl").header
    assert (header.seed, header.stop["max_tokens"], header.chain["sampler"]["name"]) == (5, 6, "greedy")
    assert header.config is not None and header.config["adapter"] == {"type": "toy", "order": 2}

    flags = ("--seed", "9", "--chain", "top_k(top_k=3)", "--sampler", "multinomial", "--set", "delay=0", "--top", "2")
    assert decodekit("generate", "the ", "-c", "d.toml", "--trace", "b.jsonl", *flags).returncode == 0
    trace = library.read_trace(tmp_path / "b.jsonl")
    assert [part["name"] for part in trace.header.chain["processors"]] == ["top_k"]
    assert trace.header.seed == 9 and trace.header.stop["max_tokens"] == 6
    assert trace.header.config is not None
    assert trace.header.config["adapter"] == {"type": "toy", "order": 2, "delay": 0}
    assert len(trace.steps[0].raw.top) == 2


def test_another_adapter_does_not_inherit_the_parameters_of_the_configs(decodekit: Decodekit, tmp_path: Path) -> None:
    tmp_path.joinpath("d.toml").write_text('[adapter]\ntype = "toy"\norder = 2\n')
    done = decodekit("generate", "abc", "-c", "d.toml", "--adapter", "top3", "--chain", "top_k=2", "--max-tokens", "1")
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_disclosed_is_an_error_unless_told_otherwise(decodekit: Decodekit) -> None:
    call = ("generate", "abc", "--adapter", "top3", "--chain", "top_k=5", "--max-tokens", "2", "--json")
    refused = decodekit(*call)
    assert refused.returncode == 1 and "cannot be answered" in refused.stderr
    assert json.loads(refused.stdout)["results"][0]["finish_reason"] == "error"
    assert decodekit(*call, "--on-undisclosed", "truncate").returncode == 0


def test_a_failing_run_leaves_its_text_and_a_whole_trace(decodekit: Decodekit, tmp_path: Path) -> None:
    done = decodekit(*RUN, "--set", "fail_at=9", "--trace", "run.jsonl")
    assert done.stdout == expected().text[:5] + "\n"
    assert done.stderr == "decodekit: the model \\x1b[31mbroke\n"
    assert done.returncode == 1
    trace = library.read_trace(tmp_path / "run.jsonl")
    assert trace.footer is not None and trace.footer.ends[0].finish_reason == "error"


def test_one_failing_sample_leaves_the_others(decodekit: Decodekit) -> None:
    done = decodekit(*RUN, "--set", "fail_at=9", "-n", "2", "--json")
    assert done.returncode == 1
    assert [sample["error"] for sample in json.loads(done.stdout)["results"]] == ["the model \x1b[31mbroke"] * 2


def test_a_trace_is_never_written_over(decodekit: Decodekit, tmp_path: Path) -> None:
    tmp_path.joinpath("run.jsonl").write_text("mine")
    done = decodekit(*RUN, "--trace", "run.jsonl")
    assert done.returncode == 2 and done.stdout == "" and "run.jsonl exists" in done.stderr
    assert tmp_path.joinpath("run.jsonl").read_text() == "mine"


def test_a_trace_in_a_folder_that_is_not_there_is_a_wrong_call(decodekit: Decodekit) -> None:
    done = decodekit(*RUN, "--trace", "no such folder/run.jsonl")
    assert done.returncode == 2 and "there is no folder 'no such folder'" in done.stderr


def test_a_config_comes_from_stdin(decodekit: Decodekit) -> None:
    toml = b"[adapter]\ntype = 'toy'\n"
    done = decodekit("generate", "the ", *CHAIN, "--seed", "7", "--max-tokens", "20", "--config", "-", stdin=toml)
    assert (done.returncode, done.stdout) == (0, expected().text + "\n")
    assert decodekit("config", "check", "-", stdin=toml).returncode == 0
    wrong = decodekit("generate", "the ", "--config", "-", stdin=b"[adapter\n")
    assert wrong.returncode == 2 and "the configuration on stdin is not valid TOML" in wrong.stderr
    both = decodekit("generate", "-", "--config", "-", stdin=toml)
    assert both.returncode == 2 and "both read stdin" in both.stderr


def test_explain_follows_the_text(decodekit: Decodekit) -> None:
    done = decodekit(*RUN, "--explain", "3")
    text, page = done.stdout.split("\n\nstep 3: ")
    assert text == expected().text
    assert page.startswith(f'"{text[3]}"  after the {text[:3]}\n') and "check   proved" in page
    assert max(map(len, page.splitlines())) <= 80 and "\x1b" not in page
    assert all(line == line.rstrip() for line in page.splitlines())


def test_explain_is_part_of_the_one_object(decodekit: Decodekit) -> None:
    data = json.loads(decodekit(*RUN, "--explain", "-1", "--json").stdout)
    assert data["explain"]["index"] == 19 and data["explain"]["verdict"] == "proved"


@pytest.mark.parametrize("n", ["1", "2"])
def test_explain_of_a_step_that_is_not_there_says_which_are(decodekit: Decodekit, n: str) -> None:
    done = decodekit(*RUN, "-n", n, "--explain", "20")
    assert done.returncode == 2 and "there are steps 0 to 19" in done.stderr
    assert done.stdout.startswith(expected().text)


def test_a_chat_without_a_template_is_told(decodekit: Decodekit) -> None:
    done = decodekit(*RUN, "--chat")
    assert done.returncode == 2 and "no chat template" in done.stderr


def test_a_reader_that_leaves_early_is_no_drama(environment: dict[str, str], tmp_path: Path) -> None:
    import subprocess

    from tests.cli.conftest import COMMAND

    process = subprocess.Popen(
        [*COMMAND, *RUN, "--set", "delay=0.02", "--trace", "run.jsonl"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(20) == 1
    process.stderr.close()
    assert library.verify(tmp_path / "run.jsonl").word == "proved"


def test_who_draws_is_said_where_it_is_not_decodekit(decodekit: Decodekit, tmp_path: Path) -> None:
    done = decodekit("generate", "a", "--adapter", "drawing", "--max-tokens", "3")
    assert (done.returncode, done.stdout.strip()) == (0, "aaa")
    assert done.stderr.startswith("decodekit: the provider draws the tokens: it gives no logprobs; its random numbers")
    assert done.stderr.count("\n") == 1
    wanted = decodekit("generate", "a", "--adapter", "drawing", "--max-tokens", "3", "--sampler", "provider")
    assert (wanted.returncode, wanted.stderr) == (0, "")
