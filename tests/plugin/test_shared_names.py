"""A name that decodekit and another distribution have: each is reached with its distribution in front."""

from __future__ import annotations

from pathlib import Path

from tests.plugin.test_registry import GOOD, install, run


def test_a_name_of_ours_stays_ours_and_the_stranger_has_his_name_in_front(tmp_path: Path) -> None:
    install(tmp_path, "its-taker", {"top_k": "taker_code:top_k"}, {"taker_code": GOOD.replace("halve", "top_k")})
    run(
        """
        import contextlib, io, json, decodekit
        from decodekit.config import config_schema
        from decodekit.plugin.registry import shared_names
        from decodekit.testing import NGramAdapter
        from decodekit.trace.rebuild import chain_of
        chain = decodekit.Chain.of("top_k=7 its-taker:top_k=2.5 decodekit:top_k=3 decodekit:greedy")
        parts = chain.describe()["processors"]
        assert [part["distribution"] for part in parts] == ["decodekit", "its-taker", "decodekit"], parts
        assert [part["name"] for part in parts] == ["top_k"] * 3 and parts[1]["params"] == {"top_k": 2.5}
        result = decodekit.Session(NGramAdapter("abab"), chain).generate("a", max_tokens=2)
        assert chain_of(result.trace).describe() == chain.describe()
        from decodekit.cli.chain_writing import written
        from decodekit.trace.what_if.counterfactual import chain_as_if
        theirs = decodekit.Chain.of("temperature=0.8 its-taker:top_k=2.5")
        for named in ("its-taker:top_k", "top_k"):
            changed = chain_as_if(theirs, [{"name": named, "top_k": 3.5}]).describe()["processors"][1]
            assert (changed["distribution"], changed["params"]) == ("its-taker", {"top_k": 3.5}), changed
        assert written(theirs.processors[1]) == "its-taker:top_k=2.5" and "its-taker:top_k(" in repr(theirs)
        assert "its-taker" not in repr(decodekit.Chain.of("top_k=7"))
        assert shared_names() == [("processors", "top_k", ["decodekit", "its-taker"])]
        assert "its-taker:top_k" in json.dumps(config_schema())
        for name in ("nobody:top_k", "its-taker:top_p", ":top_k"):
            try:
                decodekit.processor(name, top_k=1)
            except decodekit.UnknownPlugin as error:
                assert "named" in str(error), error
            else:
                raise SystemExit(name)
        from typer.testing import CliRunner
        from decodekit.cli.app import app
        for asked in ("its-taker:top_k", "decodekit:top_k"):
            shown = json.loads(CliRunner().invoke(app, ["plugins", asked, "--json"]).stdout)
            assert shown["distribution"] == asked.partition(":")[0], shown
            assert ("min_keep" in shown["parameters"]) == (asked == "decodekit:top_k"), shown
        said = " ".join(CliRunner().invoke(app, ["doctor"]).stdout.split())
        assert "top_k is decodekit's; each is reached as decodekit:top_k, its-taker:top_k" in said, said
        """,
        tmp_path,
    )


def test_a_processor_does_not_take_the_name_of_a_sampler_of_ours(tmp_path: Path) -> None:
    code = GOOD.replace("halve", "greedy") + GOOD.replace("halve", "both")
    install(tmp_path, "its-taker", {"greedy": "taker_code:greedy", "both": "taker_code:both"}, {"taker_code": code})
    install(tmp_path, "another", {"both": "taker_code:both"}, {}, group="samplers")
    run(
        """
        import decodekit, json
        from decodekit.config import config_schema
        from decodekit.plugin.registry import shared_names
        from decodekit.testing import NGramAdapter
        from decodekit.trace.rebuild import chain_of
        chain = decodekit.Chain.of("its-taker:greedy=2.5 greedy")
        described = chain.describe()
        assert described["sampler"]["distribution"] == "decodekit", described
        assert described["processors"][0]["distribution"] == "its-taker", described
        result = decodekit.Session(NGramAdapter("abab"), chain).generate("a", max_tokens=2)
        assert chain_of(result.trace).describe() == chain.describe()
        assert ("processors", "greedy", ["decodekit", "its-taker"]) in shared_names(), shared_names()
        assert "its-taker:greedy" in json.dumps(config_schema())
        for wrong, said in (
            (lambda: decodekit.Chain.of("its-taker:greedy=2"), None),
            (lambda: decodekit.processor("greedy"), "that is decodekit's sampler; write its-taker:greedy"),
            (lambda: decodekit.Chain.of("both"), "'both' is the name of a processor and of a sampler"),
        ):
            try:
                wrong()
            except decodekit.ConfigError as error:
                assert said is not None and said in str(error), error
            else:
                assert said is None
        """,
        tmp_path,
    )


def test_dialects_are_told_of_and_a_name_of_both_kinds_has_a_way_out(tmp_path: Path) -> None:
    install(tmp_path, "its-taker", {"both": "taker_code:both"}, {"taker_code": GOOD.replace("halve", "both")})
    install(tmp_path, "another", {"openai_chat": "taker_code:both"}, {}, group="dialects")
    with (tmp_path / "its-taker-1.5.dist-info" / "entry_points.txt").open("a") as points:
        points.write("[decodekit.samplers]\nboth = taker_code:both\n")
    run(
        """
        import decodekit
        from decodekit.plugin.registry import shared_names
        assert ("dialects", "openai_chat", ["decodekit", "another"]) in shared_names(), shared_names()
        try:
            decodekit.Chain.of("its-taker:both=2")
        except decodekit.ConfigError as error:
            calls = "give decodekit.processor('its-taker:both') or decodekit.sampler('its-taker:both')"
            assert calls in str(error), error
        else:
            raise SystemExit("a chain")
        assert len(decodekit.Chain([decodekit.processor("its-taker:both", both=2.0)]).processors) == 1
        """,
        tmp_path,
    )


def test_a_part_of_a_stranger_has_his_name_in_front_wherever_a_run_is_shown(tmp_path: Path) -> None:
    sampler = "import decodekit\ndef greedy(dist, ctx, randomness):\n    return decodekit.Choice(dist.mode, 0.0)\n"
    code = {"taker_code": GOOD.replace("halve", "top_k"), "taker_draw": sampler}
    install(tmp_path, "its-taker", {"top_k": "taker_code:top_k"}, code)
    install(tmp_path, "drawer", {"greedy": "taker_draw:greedy"}, {}, group="samplers")
    run(
        """
        import base64, pathlib, tempfile, zlib
        import decodekit
        from decodekit.report.document import islands
        from decodekit.report.sources import read_sources
        from decodekit.testing import NGramAdapter
        from decodekit.trace.about import about
        from decodekit.trace.facts import chain_line
        from decodekit.view.story import story_of

        def run(chain):
            return decodekit.Session(NGramAdapter("abab"), chain, seed=1).generate("a", max_tokens=2)

        theirs, ours = run("top_k=7 its-taker:top_k=2.5 drawer:greedy"), run("top_k=7 top_k=3 greedy")
        names = ["raw", "top_k", "its-taker:top_k"]
        assert [column.name for column in theirs.explain(0).columns] == names
        assert [column.name for column in theirs.trace.steps[0].explain().columns] == names
        assert "its-taker:top_k 2.5" in str(theirs.explain(0)), theirs.explain(0)
        assert chain_line(theirs.trace.header) == "top_k=7 its-taker:top_k=2.5 drawer:greedy"
        story = story_of(theirs.trace, 0)
        assert [stage.name for stage in story.stages] == names and story.sampler == "drawer:greedy", story
        path = pathlib.Path(tempfile.mkdtemp()) / "theirs.jsonl"
        path.write_bytes(theirs.trace.to_bytes())
        assert about(path)["chain"] == [*names[1:], "drawer:greedy"]
        found = str(decodekit.diff(theirs.trace, ours.trace))
        assert "its-taker:top_k" in found, found
        data = islands(read_sources(theirs.trace, None))[1:]
        assert any(b'"shown":"its-taker:top_k"' in zlib.decompress(base64.b64decode(each)) for each in data)
        from decodekit.chain.advice import advice
        from decodekit.chain.inverse import in_terms_of
        told = map(str, advice(decodekit.Chain.of("top_k=7 its-taker:top_k=2.5")))
        assert not [each for each in told if "2 times" in each]
        for chain, called in (("its-taker:top_k=2.5", "its-taker:top_k"), ("its-taker:top_k=0", "its-taker:top_k")):
            try:
                run(chain)
                in_terms_of("llama.cpp", decodekit.Chain.of(chain), off={})  # another law than llama.cpp's top_k
            except decodekit.ParameterError as error:
                assert called in str(error), error
            except decodekit.PluginError as error:
                assert error.plugin == called and called in str(error), error
            else:
                raise SystemExit(chain)
        assert "its-" not in str(ours.explain(0)) + chain_line(ours.trace.header)
        """,
        tmp_path,
    )
