"""A library is silent: nothing on stdout or stderr, until the application asks to hear."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import structlog
from structlog.testing import capture_logs

from decodekit import AdapterError, Session
from decodekit.config import load_config
from decodekit.log import get_logger
from tests.session.conftest import Around, chain, table

PROGRAM = """
from decodekit import Chain, Session, Disclosure, processor
from decodekit.testing import NGramAdapter, TableAdapter
Session(NGramAdapter("abcabd"), seed=1).generate("ab", max_tokens=8)
failing = Session(TableAdapter({(): [0.0, 1.0]}, 2, most=Disclosure(top=1)), Chain([processor("top_p", top_p=0.99)]))
assert failing.generate_many([[1]])[0][0].finish_reason == "error"
"""


def test_nothing_is_printed_by_default(tmp_path):
    done = subprocess.run([sys.executable, "-I", "-c", PROGRAM], capture_output=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list(tmp_path.iterdir()) == []


def failing():
    return Around(table(), lambda _, prefixes, __: [AdapterError("no luck")] * len(prefixes))


@pytest.fixture
def configured():
    structlog.configure()
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("configured")
def test_an_application_that_configured_structlog_gets_the_events():
    from decodekit import Disclosure

    remote = Around(table(most=Disclosure(top=3)), lambda inner, prefixes, wanted: inner.predict(prefixes, wanted))
    with capture_logs() as events:
        Session(failing(), seed=1).generate_many([[1]])
        Session(remote, chain(("top_p", {"top_p": 0.999})), seed=1).generate_many([[1]], max_tokens=1)
    names = [event["event"] for event in events]
    assert names == [
        "generation started", "a sequence failed", "generation finished",
        "generation started", "asking for more", "a sequence failed", "generation finished",
    ]  # fmt: skip
    failed = events[1]
    assert [event["run"] for event in events] == [events[0]["run"]] * 3 + [events[3]["run"]] * 4
    assert events[0]["run"] != events[3]["run"] and len(events[0]["run"]) == 8
    assert all(event["adapter"] == "table" and event["seconds"] >= 0 for event in events)
    assert all("stream" in event or event["streams"] == [0] for event in events)
    assert events[0]["trace_level"] == "proof" and events[0]["log_level"] == "debug"
    assert (failed["log_level"], failed["stream"], failed["step"], failed["error"]) == ("warning", 0, 0, "no luck")
    assert events[0]["seed"] == 1
    assert events[2]["reasons"] == ["error"]


@pytest.mark.usefixtures("configured")
def test_another_loggers_lines_have_its_name_where_the_application_prints_them():
    with capture_logs() as events:
        get_logger("llama.cpp").debug("llama_model_loader: loaded")
        get_logger().debug("ours")
    assert [event.get("logger") for event in events] == ["llama.cpp", None]


def test_without_structlog_they_go_to_the_standard_logger_for_those_who_listen(caplog):
    structlog.reset_defaults()
    with caplog.at_level(logging.WARNING, logger="decodekit"):
        Session(failing(), seed=1).generate_many([[1]])
    (record,) = caplog.records
    assert (record.name, record.levelname, record.message) == ("decodekit", "WARNING", record.message)
    assert record.event == "a sequence failed"
    assert record.error == "no luck" and record.adapter == "table"
    assert record.message.startswith("a sequence failed run=") and record.message.endswith("error='no luck'")


def test_advice_on_a_configured_chain_is_a_warning_once_for_each_message(caplog):
    # No other test has these thresholds: what was advised before in this process is not advised again.
    structlog.reset_defaults()
    heated = [{"name": "temperature", "temperature": 1.8}, {"name": "min_p", "min_p": 0.1003}]
    harmless = load_config({"adapter": {"type": "none"}, "chain": heated[::-1]})
    with caplog.at_level(logging.WARNING, logger="decodekit"):
        harmless.build_chain()
        assert caplog.records == []
        for threshold in (0.1003, 0.1003, 0.2003):
            config = {"adapter": {"type": "none"}, "chain": [heated[0], {"name": "min_p", "min_p": threshold}]}
            load_config(config).build_chain()
    told = [(record.levelname, record.event, record.rule) for record in caplog.records]
    assert told == [("WARNING", "chain advice", "cut_after_heat")] * 2  # the message names the threshold
    assert "what min_p=0.0159 would keep" in caplog.records[0].advice and "llama.cpp#3841" in caplog.records[0].source


def test_no_secret_and_no_text_of_the_user_is_in_the_events():
    from decodekit.testing import NGramAdapter

    structlog.configure()
    try:
        with capture_logs() as events:
            Session(NGramAdapter("my secret diary"), seed=1).generate("my secret", max_tokens=4)
    finally:
        structlog.reset_defaults()
    assert "secret" not in repr(events)


def test_a_stream_left_open_is_silent_when_the_interpreter_goes_down():
    program = (
        "from decodekit import Session; from decodekit.testing import NGramAdapter; "
        "stream = Session(NGramAdapter('abcabd'), seed=1).stream('ab', max_tokens=8); next(stream)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
