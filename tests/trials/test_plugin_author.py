"""The author of plugins: a package out of our tree is found and used, and each mistake in it has its own message."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
pytest.importorskip("copier")

from tests.trials.night_owl import night_owl
from tests.trials.out_of_tree import Environment, run

PROGRAM = """
import json
import decodekit
from decodekit.testing import check_adapter, check_processor, check_sampler


def run(chain, adapter="nest"):
    with decodekit.open(f"{adapter}:", chain=chain, seed=7) as session:
        return session.generate("the owl ", max_tokens=6)


def checked(name):
    return check_adapter(lambda: decodekit.adapter(name), long=False, rounds=1, many=2)


CALLS = {
    "used": lambda: decodekit.verify(run("wide_eyed=1.5 hoot=0.5").trace).word,
    "checked": lambda: checked("nest").comparisons > 0,
    "theirs": lambda: run("top_p=0.9 night-owl:top_p=0.5").trace.steps[0].choice.logprob == 0.0,
    "both": lambda: [type(part).__name__ for part in decodekit.Chain.of("top_p=0.9 night-owl:top_p=0.5").processors],
    "the tokenizer": lambda: check_processor(decodekit.processor("no_e")) > 5,
    "by position": lambda: run("by_position=2"),
    "an adapter by position": lambda: decodekit.adapter("nest_by_position", text="a"),
    "half a state": lambda: run("half_a_state"),
    "half a state, checked": lambda: check_processor(decodekit.processor("half_a_state")),
    "forgets": lambda: run("forgets"),
    "forgets, checked": lambda: check_processor(decodekit.processor("forgets")),
    "a sampler forgets, checked": lambda: check_sampler(decodekit.sampler("absent_minded"), law="greedy"),
    "returns nothing": lambda: run("returns_nothing"),
    "returns nothing, checked": lambda: check_processor(decodekit.processor("returns_nothing")),
    "probabilities": lambda: checked("loud_nest"),
    "missing": lambda: run("missing"),
    "no model": lambda: decodekit.open("nest"),
}


def said(call):
    try:
        return call()
    except (decodekit.DecodekitError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"


print(json.dumps({name: said(call) for name, call in CALLS.items()}))
"""
RIGHT = {
    "used": "consistent",
    "checked": True,
    "theirs": True,
    "both": ["TopP", "SharpTopP"],
    "the tokenizer": True,
}
FORGOTTEN = "its advance returned None in place of a state; end it with: return the next state"
HALF = "'half_a_state' has initial and no advance: add advance\\(self, state, choice, ctx\\), which returns the next"
MISTAKES = {
    "by position": r"ParameterError: processor 'by_position': its parameter .* is not keyword-only.*\*, by_position",
    "an adapter by position": r"ParameterError: adapter 'nest_by_position': .*def __init__\(self, \*, text, ...\)",
    "half a state": f"ParameterError: {HALF}",
    "half a state, checked": f"AssertionError: {HALF}",
    "forgets": f"PluginError: plugin 'forgets', step 0: {FORGOTTEN}",
    "forgets, checked": f"AssertionError: forgets: {FORGOTTEN}",
    "a sampler forgets, checked": f"AssertionError: absent_minded: {FORGOTTEN}",
    "returns nothing": "PluginError: plugin 'returns_nothing', step 0: .* returns a Distribution, not None",
    "returns nothing, checked": "AssertionError: returns_nothing returned NoneType, not a Distribution",
    "probabilities": "AssertionError: .*they are probabilities; give logits, or their logarithms",
    "missing": "ConfigError: processor 'missing' of night-owl 0.1.0 cannot be imported: .*no attribute 'NotThere'",
    "no model": "ConfigError: 'nest' is an adapter, and needs a colon: 'nest:'",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("night-owl")
    project = night_owl(folder / "project")
    made = Environment.make(folder / "venv")
    made.install(project)
    return made


def test_what_is_right_works_and_each_mistake_has_its_own_message(environment: Environment) -> None:
    found = json.loads(run(environment.python, "-IWerror", "-c", PROGRAM, cwd=environment.folder))
    assert {name: found.pop(name) for name in RIGHT} == RIGHT
    assert found.keys() == MISTAKES.keys()
    for name, message in MISTAKES.items():
        assert isinstance(found[name], str) and re.match(message, found[name]), (name, found[name])


def test_the_commands_find_the_package_and_tell_of_a_name_of_ours(environment: Environment, tmp_path: Path) -> None:
    config = tmp_path / "app.toml"
    config.write_text(
        'chain = "wide_eyed=1.5 night-owl:top_p=0.5"\n[adapter]\ntype = "nest"\n[sampler]\nname = "greedy"\n'
    )
    assert "ok (nest; wide_eyed night-owl:top_p; greedy)" in environment.decodekit("config", "check", str(config))
    said = " ".join(environment.decodekit("doctor", "-c", str(config)).split())
    assert "top_p is decodekit's; each is reached as decodekit:top_p, night-owl:top_p" in said
    assert "this chain works" in said
    assert environment.decodekit("generate", "-c", str(config), "the ", "--max-tokens", "4") == "oak.\n"


def test_its_own_tests_pass_under_these_names(environment: Environment) -> None:
    project = environment.folder.parent / "project"
    passed = run(environment.python, "-Im", "pytest", "-q", "-p", "no:cacheprovider", project / "tests", cwd=project)
    assert " passed" in passed and "skipped" not in passed
