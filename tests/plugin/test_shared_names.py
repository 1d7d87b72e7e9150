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
