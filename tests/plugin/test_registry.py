"""Plugins by name: listed without being loaded, loaded on use, and never silently the wrong one."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

import decodekit
from decodekit import Choice, Context, Distribution, ParameterError, Plugin, UnknownPlugin
from decodekit.draw.samplers import CORE_SAMPLERS
from decodekit.errors import did_you_mean
from decodekit.plugin import FunctionPlugin


def run(code: str, *paths: Path) -> str:
    """Run code in a fresh interpreter that also finds what is installed in these folders."""
    setup = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n"
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", setup + textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def install(
    folder: Path, name: str, points: dict[str, str], modules: dict[str, str], group: str = "processors"
) -> Path:
    """A distribution as an installer would leave it."""
    info = folder / f"{name}-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    lines = [f"[decodekit.{group}]", *(f"{point} = {target}" for point, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, code in modules.items():
        (folder / f"{module}.py").write_text(textwrap.dedent(code))
    return folder


GOOD = """
    def halve(dist, ctx, *, halve: float = 2.0):
        return dist.scaled(1 / halve)
"""


# -- listing -------------------------------------------------------------------------------------------------------


def test_listing_plugins_loads_none_of_them() -> None:
    out = run("""
        import json, sys, decodekit
        infos = decodekit.plugins()
        ours = [name for name in sys.modules if name.startswith(("decodekit_", "llama_cpp", "torch"))]
        print(json.dumps([ours, [(i.group, i.name, i.distribution, i.loaded) for i in infos]]))
    """)
    loaded, infos = json.loads(out)
    assert loaded == [] and infos == sorted(infos)
    listed = {(group, name): (dist, is_loaded) for group, name, dist, is_loaded in infos}
    assert listed["processors", "temperature"] == ("decodekit", False)
    assert listed["adapters", "llamacpp"] == ("decodekit", False)
    for name in ("greedy", "inverse_cdf", "multinomial"):
        assert listed["samplers", name] == ("decodekit", True)


def test_a_plugin_is_loaded_when_it_is_used_and_says_so() -> None:
    run("""
        import sys, decodekit
        before = {i.name: i.loaded for i in decodekit.plugins() if i.group == "processors"}
        decodekit.processor("top_k", top_k=3)
        after = {i.name: i.loaded for i in decodekit.plugins() if i.group == "processors"}
        assert not before["top_k"] and after["top_k"] and not after["top_p"], (before, after)
        assert "decodekit_sampling" in sys.modules and "llama_cpp" not in sys.modules
    """)


def test_a_strangers_plugin_comes_in_by_the_same_door(tmp_path: Path) -> None:
    install(tmp_path, "stranger", {"halve": "stranger_code:halve"}, {"stranger_code": GOOD})
    run(
        """
        import decodekit
        (info,) = [i for i in decodekit.plugins() if i.name == "halve"]
        assert (info.distribution, info.version, info.loaded) == ("stranger", "1.5", False), info
        built = decodekit.processor("halve", halve=4.0)
        described = decodekit.Chain([built]).describe()["processors"][0]
        assert described == {"name": "halve", "params": {"halve": 4.0}, "distribution": "stranger", "version": "1.5"}
        assert decodekit.Chain([built]).describe()["processors"][0]["name"] == "halve"
        """,
        tmp_path,
    )


# -- what can go wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [decodekit.processor, decodekit.sampler, decodekit.adapter])
def test_an_unknown_name_is_a_typed_error_that_names_its_kind(build) -> None:
    with pytest.raises(UnknownPlugin, match=f"no {build.__name__} is named 'nonesuch'; there (is|are) "):
        build("nonesuch")


def test_a_misspelt_name_is_answered_with_the_likely_one() -> None:
    with pytest.raises(UnknownPlugin, match="did you mean 'temperature'"):
        decodekit.processor("temprature", temperature=1.0)
    with pytest.raises(UnknownPlugin, match="did you mean 'greedy'"):
        decodekit.sampler("gredy")
    with pytest.raises(
        UnknownPlugin,
        match=r"no sampler is named 'temperature'; 'temperature' is a processor, and stands before the sampler",
    ):
        decodekit.sampler("temperature")
    with pytest.raises(UnknownPlugin, match=r"no processor is named 'torch'; 'torch' is an adapter$"):
        decodekit.processor("torch")
    with pytest.raises(UnknownPlugin, match=r"no processor is named 'zzzz'; there are \d+: `decodekit plugins` lists"):
        decodekit.processor("zzzz")
    assert did_you_mean("x", []) == "; there is nothing"


@pytest.mark.parametrize("name", ["os:system", "decodekit_sampling:TopK", "decodekit.samplers.greedy", "../top_k", ""])
def test_a_name_never_is_a_path_to_code(name: str) -> None:
    for build in (decodekit.processor, decodekit.sampler, decodekit.adapter):
        with pytest.raises(UnknownPlugin):
            build(name)


def test_two_distributions_with_one_name_are_refused_by_name_and_listed_both(tmp_path: Path) -> None:
    one = install(tmp_path / "one", "alpha", {"halve": "alpha_code:halve"}, {"alpha_code": GOOD})
    two = install(tmp_path / "two", "beta", {"halve": "beta_code:halve"}, {"beta_code": GOOD})
    run(
        """
        import sys, decodekit
        assert [i.distribution for i in decodekit.plugins() if i.name == "halve"] == ["alpha", "beta"]
        try:
            decodekit.processor("halve")
        except decodekit.ConfigError as error:
            assert "'halve' is provided by alpha and by beta" in str(error) or "by beta and by alpha" in str(error)
        else:
            raise SystemExit("two of one name were accepted")
        assert "alpha_code" not in sys.modules and "beta_code" not in sys.modules
        assert decodekit.processor("top_k", top_k=1)
        """,
        one,
        two,
    )


def test_the_same_distribution_found_twice_is_one(tmp_path: Path) -> None:
    folders = [
        install(tmp_path / where, "alpha", {"halve": "alpha_code:halve"}, {"alpha_code": GOOD}) for where in "ab"
    ]
    run("import decodekit; assert decodekit.processor('halve')", *folders)


def test_of_a_name_of_ours_that_a_stranger_has_too_there_is_a_warning(tmp_path: Path) -> None:
    install(tmp_path, "taker", {"top_k": "taker_code:halve"}, {"taker_code": GOOD})
    run(
        """
        import sys, decodekit, structlog
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                built = decodekit.processor("top_k", top_k=1)
        assert decodekit.Chain([built]).describe()["processors"][0]["distribution"] == "decodekit"
        assert "taker_code" not in sys.modules
        (log,) = [log for log in logs if log["log_level"] == "warning"]
        assert (log["plugin"], log["of"], log["used"]) == ("top_k", "taker", "decodekit"), log
        assert [i.distribution for i in decodekit.plugins() if i.name == "top_k"] == ["decodekit", "taker"]
        """,
        tmp_path,
    )


def wrecks(folder: Path, codes: list[str]) -> None:
    """A distribution for each: ``wreck0`` has the processor ``wreck0`` in the module ``broken0``."""
    for at, code in enumerate(codes):
        install(folder, f"wreck{at}", {f"wreck{at}": f"broken{at}:thing"}, {f"broken{at}": code})


def test_a_plugin_that_cannot_be_imported_is_an_error_only_when_it_is_used(tmp_path: Path) -> None:
    codes = [
        "import no_such_module",
        "x = 1",
        "def thing(:",
        "raise RuntimeError('half installed')",
        "raise SystemExit(5)",
        "class Quiet(Exception):\n def __str__(self): raise KeyError(self)\nraise Quiet",
        "class Odd(BaseException): pass\nraise Odd('x')",
        "raise RuntimeError('\\udcff')",
        "",  # and this module is missing
    ]
    wrecks(tmp_path, codes)
    (tmp_path / f"broken{len(codes) - 1}.py").unlink()
    run(
        f"""
        import decodekit
        from decodekit.config import config_schema
        assert {len(codes)} == sum(i.name.startswith("wreck") for i in decodekit.plugins())
        assert decodekit.processor("top_k", top_k=1)
        assert config_schema()
        for at in range({len(codes)}):
            try:
                decodekit.processor(f"wreck{{at}}")
            except decodekit.ConfigError as error:
                assert f"processor 'wreck{{at}}' of wreck{{at}} 1.5 cannot be imported" in str(error), error
            else:
                raise SystemExit(f"wreck {{at}} was built")
        """,
        tmp_path,
    )


def test_an_entry_point_that_cannot_be_called_is_told_plainly(tmp_path: Path) -> None:
    wrecks(tmp_path, ["thing = 3", "thing = None", "thing = {}"])
    run(
        """
        import decodekit
        for at in range(3):
            try:
                decodekit.processor(f"wreck{at}")
            except decodekit.ConfigError as error:
                assert f"processor 'wreck{at}' of wreck{at} 1.5 is not a function or class" in str(error), error
            else:
                raise SystemExit(f"wreck {at} was built")
        """,
        tmp_path,
    )


def test_a_plugin_that_cannot_be_built_is_one_typed_error(tmp_path: Path) -> None:
    codes = [
        "def thing(dist, ctx, *, k: 'Nowhere' = 1): return dist",
        "class thing:\n def __init__(self, *, k: int = 1): raise SystemExit(5)",
        "from decodekit import Plugin\nclass thing(Plugin):\n def model_post_init(self, context): exit(3)",
    ]
    wrecks(tmp_path, codes)
    run(
        """
        import decodekit
        from decodekit.config import config_schema
        assert config_schema()
        for at in range(3):
            try:
                decodekit.processor(f"wreck{at}")
            except decodekit.ConfigError as error:
                assert f"wreck{at}" in str(error), error
            else:
                raise SystemExit(f"wreck {at} was built")
        """,
        tmp_path,
    )


# -- groups ---------------------------------------------------------------------------------------------------------


def test_a_group_is_open_to_whoever_defines_it(tmp_path: Path) -> None:
    folder = install(tmp_path, "stranger", {}, {"teller": "class Teller:\n    said = 'hello'\nthing = 3\n"})
    (folder / "stranger-1.5.dist-info" / "entry_points.txt").write_text(
        "[decodekit.tellers]\nteller = teller:Teller\nbroken = teller:thing\n"
    )
    run(
        """
        import sys, decodekit
        from decodekit.plugin.registry import define_group
        assert ("tellers", "teller") in [(i.group, i.name) for i in decodekit.plugins()]
        tellers = define_group("tellers", "teller")
        assert define_group("tellers", "teller") is tellers
        assert tellers.names() == ["broken", "teller"] and "teller" not in sys.modules
        assert tellers.build("teller").said == "hello"
        (info,) = [i for i in decodekit.plugins() if i.name == "teller"]
        assert (info.distribution, info.loaded) == ("stranger", True)
        for name, says in (("tller", "no teller is named 'tller'; did you mean"), ("broken", "teller 'broken'")):
            try:
                tellers.build(name)
            except decodekit.ConfigError as error:
                assert says in str(error), error
            else:
                raise SystemExit(name)
        try:
            define_group("tellers", "narrator")
        except decodekit.ParameterError as error:
            assert "already defined" in str(error)
        else:
            raise SystemExit("defined twice")
        """,
        folder,
    )


# -- registering in this process -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_processors")
def test_a_plain_function_becomes_a_processor_of_this_process() -> None:
    @decodekit.register_processor("shift")
    def shift(
        dist: Distribution, ctx: Context, *, shift: Annotated[float, Field(ge=-9, le=9)], token: int = 0
    ) -> Distribution:
        return dist.add([token], [shift])

    assert shift.__name__ == "shift"  # still a plain function
    built = decodekit.processor("shift", shift=2.0)
    assert isinstance(built, FunctionPlugin) and built(Distribution.dense([0, 1]), Context()).scores.tolist() == [2, 1]
    assert repr(built) == "shift(shift=2.0, token=0)"
    (info,) = [info for info in decodekit.plugins() if info.name == "shift"]
    assert (info.group, info.distribution, info.loaded) == ("processors", "", True)
    described = decodekit.Chain([built]).describe()["processors"][0]
    assert described == {"name": "shift", "params": {"shift": 2.0, "token": 0}, "distribution": "", "version": ""}
    for wrong, says in (
        ({"shift": 10.0}, "less than or equal to 9"),
        ({}, "'shift' is missing"),
        ({"shift": 1.0, "tokn": 1}, "unknown parameter 'tokn'; did you mean 'token'"),
        ({"shift": "1"}, "shift"),
        ({"shift": 1.0, "token": True}, "token"),
    ):
        with pytest.raises(ParameterError, match=says):
            decodekit.processor("shift", **wrong)


@pytest.mark.usefixtures("own_processors")
def test_optional_attributes_of_a_function_follow_it_into_the_plugin() -> None:
    @decodekit.register_processor("fussy")
    def fussy(dist: Distribution, ctx: Context) -> Distribution:
        return dist

    fussy.needs, fussy.pure, fussy.needs_logits = decodekit.Disclosure(4), False, True  # type: ignore[attr-defined]
    built = decodekit.processor("fussy")
    assert (built.needs, built.pure, built.needs_logits) == (decodekit.Disclosure(4), False, True)


@pytest.mark.usefixtures("own_processors")
def test_a_name_is_registered_once_and_not_over_an_installed_one() -> None:
    def make(value: int):
        def processor(dist: Distribution, ctx: Context) -> Distribution:
            return dist.scaled(value)

        return processor

    decodekit.register_processor("twice")(make(1))
    decodekit.register_processor("twice")(make(2))  # a notebook cell that runs again

    def another(dist: Distribution, ctx: Context) -> Distribution:
        return dist

    with pytest.raises(ParameterError, match="'twice' is registered already"):
        decodekit.register_processor("twice")(another)
    with pytest.raises(ParameterError, match="'top_k' is decodekit's own"):
        decodekit.register_processor("top_k")(another)
    assert decodekit.processor("top_k", top_k=3)


# -- building ------------------------------------------------------------------------------------------------------


def test_core_samplers_are_themselves_and_take_no_parameters() -> None:
    for name in ("greedy", "inverse_cdf", "multinomial"):
        assert decodekit.sampler(name) is CORE_SAMPLERS[name]
        with pytest.raises(ParameterError, match="unknown parameter 'k'"):
            decodekit.sampler(name, k=1)


def test_names_and_descriptions_of_what_was_never_registered() -> None:
    class Mine(Plugin):
        mine: int = 3

        def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
            return dist

    def sampler(dist: Distribution, ctx: Context, randomness: object) -> Choice:
        raise AssertionError("describing a sampler does not call it")

    chain = decodekit.Chain([Mine()], sampler)
    assert [part["name"] for part in chain.describe()["processors"]] == ["Mine"]
    assert chain.describe()["processors"] == [
        {"name": "Mine", "params": {"mine": 3}, "distribution": "", "version": ""}
    ]
    assert chain.describe()["sampler"]["name"] == "sampler"
    assert decodekit.Chain([]).describe()["sampler"]["distribution"] == "decodekit"


def test_a_registration_without_a_name_says_how_it_is_written() -> None:
    for wrong in (3, "", lambda dist, _: dist, "a:b"):
        with pytest.raises(ParameterError, match=r"register_processor"):
            decodekit.register_processor(wrong)  # type: ignore[call-overload]
