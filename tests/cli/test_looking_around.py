"""plugins, doctor, config, help and version."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.adapters.remote.moving import moving
from tests.cli.conftest import TOY, Decodekit


def test_plugins_are_listed_without_being_imported(decodekit: Decodekit) -> None:
    listed = json.loads(decodekit("plugins", "--json").stdout)
    toy = {"name": "toy", "group": "adapters", "distribution": "toy-adapters", "version": "1.5", "loaded": False}
    assert toy in listed
    assert {"name": "broken", **{k: v for k, v in toy.items() if k != "name"}} in listed
    assert [p["loaded"] for p in listed if p["name"] in ("multinomial", "top_p")] == [False, True]
    rows = [line.split() for line in decodekit("plugins").stdout.splitlines()]
    assert rows[0] == ["name", "group", "distribution", "version", "loaded"]
    assert ["toy", "adapters", "toy-adapters", "1.5", "no"] in rows


def test_one_plugin_shows_its_words_and_its_bounds(decodekit: Decodekit) -> None:
    page = decodekit("plugins", "top_p").stdout
    assert page.startswith(f"top_p  (processor, decodekit {version('decodekit')})\nKeep the smallest set")
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in page.splitlines()]
    assert ["top_p", "number", "> 0, <= 1", "required"] in rows
    assert ["min_keep", "integer", ">= 1, <= 1000000", "1"] in rows
    assert ["formula", "keep the fewest tokens by falling p_i with sum(p_i) >= p"] in rows
    assert "Formula:" not in page
    data = json.loads(decodekit("plugins", "toy", "--json").stdout)
    assert data["parameters"]["order"] == {"type": "integer", "bounds": "", "required": False, "default": 4}
    assert data["documentation"].startswith("A byte n-gram")


def test_one_plugin_shows_what_it_does_to_a_sample(decodekit: Decodekit) -> None:
    """With top_p = 0.8, as its docstring's example says: 0.38 + 0.24 + 0.13 < 0.8 <= that + 0.09."""
    drawn = [line.split() for line in decodekit("plugins", "top_p").stdout.splitlines()[-10:-1]]
    assert drawn[0] == ["a", "███████▋", "38.00", "%", "█████████", "45.24", "%"]  # 0.38 / 0.84
    assert drawn[3][-2:] == ["10.71", "%"] and drawn[4][-1] == "-"
    plain = decodekit("plugins", "top_p", env={"PYTHONIOENCODING": "ascii"}).stdout
    assert plain.isascii() and "a  #######               38.00 %  #########             45.24 %" in plain


def test_the_reference_page_says_what_could_not_be_imported_and_goes_on(decodekit: Decodekit) -> None:
    done = decodekit("plugins", "--markdown")
    reason = "processor 'absent' of toy-adapters 1.5 cannot be imported: No module named 'an_extra_that_is_not_here'"
    assert (done.returncode, done.stderr) == (0, "")
    assert f"### absent\n\nNot described here: {reason}.\n" in done.stdout
    assert "### top_p\n\nKeep the smallest set" in done.stdout
    asked = decodekit("plugins", "absent", "--markdown")
    assert (asked.returncode, asked.stdout, asked.stderr) == (2, "", f"decodekit: {reason}\n")


def test_a_plugin_that_is_not_there_is_a_wrong_call(decodekit: Decodekit) -> None:
    done = decodekit("plugins", "top_pp")
    assert (done.returncode, done.stderr) == (2, "decodekit: no plugin is named 'top_pp'; did you mean 'top_p'?\n")
    assert decodekit("plugins", "broken").returncode == 2


def test_the_doctor_shows_versions_and_what_to_install(decodekit: Decodekit) -> None:
    data = json.loads(decodekit("doctor", "--json").stdout)
    assert data["versions"]["decodekit"] == version("decodekit") and data["problems"] == []
    assert data["extras"]["cli"] == {
        "packages": {"typer": version("typer"), "rich": version("rich")},
        "install": None,
    }
    missing = [extra for extra, state in data["extras"].items() if None in state["packages"].values()]
    page = decodekit("doctor").stdout
    assert [extra for extra in data["extras"] if f"pip install 'decodekit[{extra}]'" in page] == missing


def test_the_doctor_asks_an_adapter_twice(decodekit: Decodekit) -> None:
    done = decodekit("doctor", *TOY, "--json")
    found = json.loads(done.stdout)["adapter"]
    assert (done.returncode, done.stderr) == (0, "")
    assert found["same_bits"] is True and found["drift"] == 0 and found["first_answer_s"] >= 0
    assert found["info"]["vocab_size"] == 257 and found["info"]["most"] == "the whole vocabulary"
    assert found["info"]["stochastic"] is False
    page = decodekit("doctor", *TOY).stdout
    assert "the same bits" in page and ["stochastic", "False"] in [line.split() for line in page.splitlines()]


def test_the_doctor_asks_a_server_twice_and_not_its_own_store(decodekit: Decodekit) -> None:
    pytest.importorskip("httpx")
    with moving() as server:
        model = ("--adapter", "remote", "--set", f"base_url={server.url}", "--set", "dialect=llama_server")
        found = json.loads(decodekit("doctor", *model, "--json").stdout)["adapter"]
    assert found["same_bits"] is False and found["drift"] > 0


def test_the_doctor_finds_an_adapter_that_does_not_keep_its_word(decodekit: Decodekit) -> None:
    done = decodekit("doctor", "--adapter", "fickle")
    assert done.returncode == 1 and "declares itself deterministic, but the same question changed by" in done.stderr


def test_the_doctor_tries_the_chain_of_the_profile(decodekit: Decodekit) -> None:
    config = b"""chain = "top_p=0.9"
[adapter]
type = "toy"
[profiles.wrong]
chain = "top_p=2"
"""
    done = decodekit("doctor", "-c", "-", "--profile", "wrong", stdin=config)
    assert done.returncode == 1 and "not 2 (written in profile wrong)" in done.stderr


@pytest.mark.parametrize(("name", "reason"), [("broken", "cannot be imported"), ("nothing", "no adapter is named")])
def test_the_doctor_says_why_an_adapter_does_not_start(decodekit: Decodekit, name: str, reason: str) -> None:
    done = decodekit("doctor", "--adapter", name)
    assert done.returncode == 2 and reason in done.stderr and "numpy" in done.stdout


def test_the_doctor_says_that_an_adapter_does_not_answer(decodekit: Decodekit) -> None:
    done = decodekit("doctor", *TOY, "--set", f"fail_at={len('Once upon a time')}")
    assert (done.returncode, done.stderr) == (1, "decodekit: it does not answer: the model \\x1b[31mbroke\n")


def test_a_good_config_is_ok_and_loads_no_model(decodekit: Decodekit, tmp_path: Path) -> None:
    tmp_path.joinpath("d.toml").write_text(
        '[adapter]\ntype = "toy"\ndelay = 9.0\n[[chain]]\nname = "top_k"\ntop_k = 3\n'
    )
    done = decodekit("config", "check", "d.toml")
    assert (done.stdout.splitlines()[0], done.returncode) == ("d.toml: ok (toy; top_k; multinomial)", 0)
    assert re.search(r"^delay = 9.0  +# d.toml$", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^max_tokens = 256  +# default$", done.stdout, flags=re.MULTILINE)
    tmp_path.joinpath("p.toml").write_text(
        '[adapter]\nname = "toy"\n[profiles.a.session]\nseed = 1\n[profiles.b.adapter]\nordre = 2\n'
    )
    done = decodekit("config", "check", "p.toml")
    assert done.returncode == 2 and "did you mean 'order'? (written in profile b)" in done.stderr
    given = b'[adapter]\nname = "toy"\n[profiles.a.session]\nseed = 1\n'
    told = decodekit("config", "check", "-", stdin=given).stdout
    assert "profile a: ok (toy; no processors; multinomial)" in told
    fast = "[profiles.fast.session]\nmax_tokens = 2\n"
    tmp_path.joinpath("d.toml").write_text(f'chain = "top_k=3"\n[adapter]\nname = "toy"\n{fast}')
    done = decodekit("config", "check", "d.toml", "--profile", "fast", env={"DECODEKIT__ADAPTER__ORDER": "3"})
    assert re.search(r"^max_tokens = 2  +# profile fast$", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^order = 3  +# DECODEKIT__ADAPTER__ORDER$", done.stdout, flags=re.MULTILINE)
    done = decodekit("generate", "the", "-c", "d.toml", "--profile", "fast", "--json")
    assert len(json.loads(done.stdout)["results"][0]["token_ids"]) == 2
    assert decodekit("generate", "the", *TOY, "--profile", "fast").stderr.startswith(
        "decodekit: --profile names a part"
    )


BAD = [
    ("[adapter", "is not valid TOML"),
    ('[adapter]\ntype = "toy"\nordre = 2\n', "unknown parameter 'ordre'; did you mean 'order'?"),
    ('[adapter]\ntype = "toy"\n[[chain]]\nname = "top_k"\ntop_k = 0\n', "top_k"),
    ('[adapter]\ntype = "toy"\n[session]\nsede = 1\n', "did you mean 'seed'?"),
    ('[adapter]\ntype = "toys"\n', "did you mean 'toy'?"),
]


def test_a_bad_config_is_refused_with_the_reason(
    one_after_another: Callable[..., list[tuple[int, str, str]]], tmp_path: Path
) -> None:
    for at, (toml, _) in enumerate(BAD):
        tmp_path.joinpath(f"{at}.toml").write_text(toml)
    told = one_after_another([["config", "check", f"{at}.toml"] for at in range(len(BAD))])
    for (_, reason), (code, out, err) in zip(BAD, told, strict=True):
        assert (code, out) == (2, "")
        assert err.startswith("decodekit: ") and reason in err and err.count("\n") == 1


def test_the_schema_knows_the_parameters_of_installed_plugins(decodekit: Decodekit) -> None:
    schema = json.loads(decodekit("config", "schema").stdout)
    adapters = schema["$defs"]["adapters_by_name"]["anyOf"]
    assert "order" in next(a for a in adapters if "toy" in a["properties"]["type"]["enum"])["properties"]


def test_version_and_verify_load_no_backend_and_no_plugin(decodekit: Decodekit, environment: dict[str, str]) -> None:
    assert decodekit("--version").stdout == f"decodekit {version('decodekit')}\n"
    code = (
        "import sys, decodekit.cli\n"
        "for call in (['--version'], ['--help'], ['verify', 'nothing.jsonl'], ['plugins'], ['doctor']):\n"
        "    try: decodekit.cli.main(call)\n"
        "    except SystemExit: pass\n"
        "print(sorted(set(sys.modules) & {'llama_cpp', 'torch', 'httpx', 'pyarrow', 'jinja2', 'toy_adapters',"
        " 'decodekit_llamacpp', 'decodekit_sampling',"
        " 'decodekit_torch', 'decodekit_watermark'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.count("decodekit") > 3 and done.stdout.endswith("\n[]\n"), done.stdout
