"""Every recorded body, read by the dialect it belongs to: what it shows, or which error it is."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest

pytest.importorskip("httpx")

from decodekit.distribution.disclosure import Undisclosed
from decodekit.errors import (
    AdapterError,
    ContextOverflow,
    DistributionError,
    ModelNotFound,
    ProviderError,
)
from decodekit.testing import PiecesTokenizer
from decodekit_remote import Capabilities, Position, Request
from decodekit_remote.dialects.llama_cpp_python import LlamaCppPythonDialect
from decodekit_remote.dialects.llama_server import LlamaServerDialect
from decodekit_remote.dialects.openai_chat import OpenAIChatDialect
from decodekit_remote.dialects.openai_completions import OpenAICompletionsDialect
from decodekit_remote.dialects.vllm import VLLMDialect
from decodekit_remote.list_distribution import distribution
from decodekit_remote.probing import dialect_named
from decodekit_remote.reading import read_event, read_reply
from decodekit_remote.refusals import refusal
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary
from tests.adapters.remote.recorded import bodies, names

PARIS = (504, 3575, 282, 4649, 314)
NATIVE = {"llama_server": LlamaServerDialect(), "llama_cpp_python": LlamaCppPythonDialect(), "vllm": VLLMDialect()}
READ = {"/completion", "/v1/completions", "/v1/chat/completions"}
READ_BY_NO_DIALECT = {  # another route's shape, or a server that would be refused
    "completion_post_sampling": "asked for values after the chain, which no dialect does",
    "completion_post_sampling_temp0": "the same",
    "completion_stop_midtoken": "a stop inside a token leaves no list: stops are never sent",
    "spec_ngram_logprob0": "speculation is refused",
    "v1_chat_top_logprobs0": "no lists were asked for",
    "completions_echo_scoring_max_tokens1": "scores one off, from an option that is not used",
    "completion_prompt_logprobs": "no lists were asked for, but for the prompt",
    "structured_ended": "no lists were asked for",
}


def dialect_of(server: str, path: str) -> Any:
    if path == "/v1/chat/completions":
        return OpenAIChatDialect()
    if server == "llama_server" and path == "/v1/completions":
        return OpenAIChatDialect()  # it answers there in the shape of a chat
    return NATIVE[server]


REFUSED = [(server, name) for server, name in names() if bodies(server)[name]["status"] != 200]


def _has_lists(entry: Any) -> bool:
    """Whether an answer was asked for its lists; one with tools is read in test_tools.py."""
    return entry["path"] in READ and "tools" not in entry["request"]


ANSWERED = [each for each in names() if each not in REFUSED and _has_lists(bodies(each[0])[each[1]])]


@pytest.mark.parametrize(("server", "name"), REFUSED)
def test_every_recorded_refusal_is_a_typed_error_in_the_servers_words(server: str, name: str) -> None:
    entry = bodies(server)[name]
    error = refusal(f"http://host{entry['path']}", entry["status"], {}, json.dumps(entry["body"]).encode())
    assert isinstance(error, AdapterError)
    words = entry["body"].get("error", {}).get("message", entry["body"].get("detail", ""))
    assert " ".join(words.split())[:60] in str(error)
    assert isinstance(error, ContextOverflow) == ("context" in name)
    assert isinstance(error, ModelNotFound) == (name == "error_model")


@pytest.mark.parametrize(("server", "name"), [each for each in ANSWERED if each[1] in READ_BY_NO_DIALECT])
def test_what_no_dialect_asks_for_is_not_read_as_something_else(server: str, name: str) -> None:
    entry = bodies(server)[name]
    dialect, question = dialect_of(server, entry["path"]), question_of(server, entry)
    with contextlib.suppress(ProviderError):
        assert not any(len(reply.positions) for reply in read_reply(dialect, "there", entry["body"], question))


@pytest.mark.parametrize(("server", "name"), [each for each in ANSWERED if each[1] not in READ_BY_NO_DIALECT])
def test_every_recorded_answer_is_read(server: str, name: str) -> None:
    entry = bodies(server)[name]
    dialect, question = dialect_of(server, entry["path"]), question_of(server, entry)
    positions = positions_of(server, dialect, entry, question)
    if name == "completion_emoji":
        assert positions == [] or server == "vllm"  # its first token has no list
        return
    if entry["request"].get("max_tokens") == 0 and server == "vllm":
        (reply,) = read_reply(dialect, "there", entry["body"], question)
        assert positions == [] and len(reply.prompt) == 4
        return
    assert positions
    for position in positions:
        by_ids = all(isinstance(token, int) for token in position.tokens)
        vocabulary = None if by_ids else HashedVocabulary()
        try:
            answer = distribution(
                position, question, dialect.capabilities, vocabulary=vocabulary, vocab_size=None, stage="raw"
            )
        except Undisclosed:
            assert server == "llama_cpp_python"  # texts that fell together
            continue
        assert answer.tail is not None
        total = math.fsum(math.exp(value) for value in position.logprobs)
        assert answer.tail.mass_high <= 1 - total + 1e-5 or len(answer.scores) < len(position.logprobs)


def question_of(server: str, entry: dict[str, Any]) -> Request:
    """The question that a recorded body answers: as many prompts and samples, and as long lists."""
    asked = entry["request"]
    top = asked.get("n_probs") or asked.get("top_logprobs") or asked.get("logprobs") or 1
    prompts = asked.get("prompt", "")
    count = len(prompts) if isinstance(prompts, list) and isinstance(prompts[0], str | list) else 1
    copies = asked.get("n_cmpl", 1) if server == "llama_server" else 1
    echo = bool(asked.get("echo")) and server == "vllm"
    return Request((("x",) * count) * copies, top=int(top), echo=echo, stream="text" in entry)


def positions_of(server: str, dialect: Any, entry: dict[str, Any], question: Request) -> list[Position]:
    if "text" in entry:
        return streamed(dialect, "there", entry["text"])
    if server == "llama_server" and entry["path"] == "/v1/completions" and "choices" in entry["body"]:
        told = [choice["logprobs"]["content"] for choice in entry["body"]["choices"]]
        return [each for content in told for each in read_chat(content)]
    replies = read_reply(dialect, "there", entry["body"], question)
    assert len(replies) == len(question.prompts)
    return [position for reply in replies for position in reply.positions]


def read_chat(content: Any) -> list[Position]:
    from decodekit_remote.dialects.content import by_bytes, positions

    return positions(content, by_bytes, "openai_chat")


def streamed(dialect: Any, where: str, text: str) -> list[Position]:
    found: list[Position] = []
    done = False
    for line in text.split("\n"):
        if line.startswith("data: {"):
            reply = read_event(dialect, where, json.loads(line[6:]), len(found))
            found += reply.positions
            done = done or reply.finished
    assert done
    return found


def lists(server: str, name: str, dialect: Any = None, **asked: Any) -> list[Any]:
    entry = bodies(server)[name]
    question = Request(("x",), **{"top": 5, **asked})
    return read_reply(dialect or NATIVE[server], "there", entry["body"], question)


def test_llama_server_aligns_by_id_and_stops_where_a_list_is_missing() -> None:
    (reply,) = lists("llama_server", "completion_emoji")
    assert list(reply.positions) == [] and reply.cut  # six tokens, two lists, each of the last token of a character
    (reply,) = lists("llama_server", "completion_n_probs5")
    assert [position.chosen for position in reply.positions] == [7042, 30] and not reply.cut
    assert reply.positions[0].pieces[7042] == b" Paris"


def test_llama_server_lists_are_not_taken_for_those_of_other_tokens() -> None:
    body = bodies("llama_server")["completion_n_probs5"]["body"]
    late = {**body, "completion_probabilities": body["completion_probabilities"][1:]}  # the first list is missing
    (reply,) = LlamaServerDialect().reply(late, Request(("x",), top=5))
    assert list(reply.positions) == [] and reply.cut
    text = bodies("llama_server")["completion_n_probs5_stream"]["text"]
    second = json.loads(text.split("\n\n")[1][6:])
    assert len(LlamaServerDialect().event(second, 1).positions) == 1
    skipped = LlamaServerDialect().event(second, 0)  # two tokens were predicted, and this is the first list
    assert list(skipped.positions) == [] and skipped.cut and not skipped.finished


def test_llama_server_keeps_the_raw_values_under_a_forced_token() -> None:
    (free,) = lists("llama_server", "completion_n_probs5")
    (forced,) = lists("llama_server", "completion_logit_bias_force")
    assert forced.positions[0].chosen == 100
    assert list(forced.positions[0].logprobs) == list(free.positions[0].logprobs)[:3]


def test_a_speculating_llama_server_is_refused() -> None:
    with pytest.raises(ProviderError, match="speculative decoding"):
        lists("llama_server", "spec_ngram_logprob0")
    body = {**bodies("llama_server")["spec_ngram_logprob0"]["body"], "timings": {}}
    with pytest.raises(ProviderError, match=r"token 1876 the logprob .* and no list"):
        LlamaServerDialect().reply(body, Request(("x",), top=2))


def test_a_batch_has_one_reply_per_prompt_in_their_order() -> None:
    first, second = read_reply(
        LlamaServerDialect(), "there", bodies("llama_server")["completion_batch2"]["body"], Request(("x", "y"), top=2)
    )
    assert (first.positions[0].chosen, second.positions[0].chosen) == (7042, 260)
    both = bodies("vllm")["completion_batch2"]["body"]
    swapped = {**both, "choices": both["choices"][::-1]}
    replies = read_reply(VLLMDialect(), "there", swapped, Request(("x", "y"), top=3))
    assert [reply.positions[0].chosen for reply in replies] == [7042, 260]
    with pytest.raises(ProviderError, match="2 replies"):
        read_reply(VLLMDialect(), "there", both, Request(("x",), top=3))


def test_vllm_scores_a_prompt_and_bounds_the_hidden_by_the_list_not_by_the_scored_token() -> None:
    (reply,) = lists("vllm", "completion_max0", echo=True, top=3)
    assert len(reply.prompt) == 4 and list(reply.positions) == []
    (reply,) = lists("vllm", "completion_echo_score", echo=True, top=2)
    first = reply.prompt[0]
    assert first is not None and first.chosen == 3575
    question = Request((PARIS,), top=2)
    head = distribution(first, question, VLLMDialect().capabilities, vocabulary=None, vocab_size=49152, stage="raw")
    assert head.logprob(3575) == pytest.approx(-11.539274, abs=1e-6)
    assert head.tail is not None and head.tail.max_logprob == pytest.approx(-2.6532406, abs=1e-6)


def test_vllm_is_raw_at_any_temperature_and_minus_9999_is_probability_zero() -> None:
    (hot,) = lists("vllm", "completion_temp2_raw")
    (cold,) = lists("vllm", "completion_ids_top5")
    warm, cool = (dict(zip(each.positions[0].tokens, each.positions[0].logprobs, strict=True)) for each in (hot, cold))
    assert {token: warm[token] for token in cool} == cool
    position = Position(0, [0, 1], [0.0, -9999.0])
    answer = distribution(
        position, Request((PARIS,), top=2), VLLMDialect().capabilities, vocabulary=None, vocab_size=2, stage="raw"
    )
    assert answer.support().tolist() == [0]
    spoken = distribution(
        Position("a", ["a", "b"], [-0.5, -9999.0]),
        Request(("x",), top=2),
        OpenAIChatDialect().capabilities,
        vocabulary=HashedVocabulary(),
        vocab_size=None,
        stage="unknown",
    )
    assert len(spoken.scores) == 1 and spoken.tail is not None  # there it means: not among the twenty


def test_texts_that_fall_together_are_told_apart_by_a_vocabulary_or_not_at_all() -> None:
    (reply,) = lists("llama_cpp_python", "completions_emoji_logprobs")
    question = Request(("x",), top=5)
    capabilities = LlamaCppPythonDialect().capabilities
    with pytest.raises(Undisclosed):
        distribution(
            reply.positions[1], question, capabilities, vocabulary=HashedVocabulary(), vocab_size=None, stage="raw"
        )
    pieces = [b".", b"\n", b" ", b" \xf0\x9f", b"\x9f", b"\x98", None, b"\n\n"]
    known = KnownVocabulary(PiecesTokenizer(pieces), "ignore")
    last = distribution(reply.positions[5], question, capabilities, vocabulary=known, vocab_size=8, stage="raw")
    assert set(last.token_ids.tolist()) == {0, 1, 7}  # neither "" nor " ", which is half an emoji as well
    assert last.logprob(0) == pytest.approx(-1.3604696)
    assert last.tail is not None and last.tail.max_logprob == pytest.approx(-1.1973321)  # one token is behind ""
    few = distribution(reply.positions[2], question, capabilities, vocabulary=known, vocab_size=8, stage="raw")
    assert few.tail is not None and few.tail.max_logprob is not None
    assert few.tail.max_logprob > -1.0052525  # several fell together: each may have all that is left


def test_one_id_per_text_without_a_vocabulary_and_the_same_one_tomorrow() -> None:
    vocabulary = HashedVocabulary()
    (paris,) = vocabulary.identify([" Paris"])
    assert paris == 7075399995537513743 and vocabulary.identify([b" Paris"]) == [paris]
    assert vocabulary.token_bytes(paris) == b" Paris"
    assert vocabulary.identify(["", "�", " �", b"\xf0\x9f"])[:3] == [None, None, None]
    assert json.loads(vocabulary.table([paris])) == {str(paris): " Paris"}


@pytest.mark.parametrize(
    ("values", "error"),
    [([0.5, -1.0], "positive|no log-probabilities"), ([-0.1, -0.1], "sum"), ([], "empty"), ([math.nan, -1.0], "NaN")],
)
def test_numbers_that_are_no_list_are_typed_errors(values: list[float], error: str) -> None:
    position = Position(0, list(range(len(values))), values)
    with pytest.raises(DistributionError, match=error):
        distribution(position, Request((PARIS,), top=2), Capabilities(), vocabulary=None, vocab_size=9, stage="raw")


def test_a_token_named_twice_is_an_error_or_not_identified() -> None:
    position = Position(0, [3, 3], [-1.0, -2.0])
    with pytest.raises(DistributionError, match="twice"):
        distribution(position, Request((PARIS,), top=2), Capabilities(), vocabulary=None, vocab_size=9, stage="raw")
    texts = Position("a", ["a", "b", "a"], [-1.0, -1.5, -2.0])
    answer = distribution(
        texts, Request(("x",), top=3), Capabilities(), vocabulary=HashedVocabulary(), vocab_size=None, stage="raw"
    )
    assert len(answer.scores) == 1 and answer.tail is not None and answer.tail.max_logprob == -1.0


@pytest.mark.parametrize("name", ["fireworks", "sglang", "ollama", "tgi"])
def test_dialects_known_from_documentation_ask_and_read(name: str) -> None:
    dialect = dialect_named(name)
    ids = dialect.capabilities.ids_in
    question = Request(((1, 2) if ids else "ab",), top=3, tokens=2, model="m")
    path, body = dialect.request(question)
    assert path.startswith("/") and json.dumps(body)
    listed = [{"token": "x", "token_id": 4, "logprob": -0.5}, {"token": "y", "token_id": 5, "logprob": -1.0}]
    tgi = [{"id": 4, "text": "x", "logprob": -0.5, "special": False}]
    data: dict[str, Any] = {
        "fireworks": {"choices": [{"index": 0, "logprobs": {"content": [{**listed[0], "top_logprobs": listed}]}}]},
        "sglang": {
            "meta_info": {
                "output_token_logprobs": [[-0.5, 4, None]],
                "output_top_logprobs": [[[-0.5, 4, None], [-1.0, 5, None]]],
            }
        },
        "ollama": {"response": "x", "logprobs": [{**listed[0], "top_logprobs": listed}]},
        "tgi": {"details": {"tokens": tgi, "top_tokens": [tgi]}},
    }
    (reply,) = read_reply(dialect, "there", data[name], question)
    assert len(reply.positions) == 1 and reply.positions[0].logprobs[0] == -0.5
    with pytest.raises(ProviderError, match=r"shape|logprobs"):
        read_reply(dialect, "there", {"choices": [{}], "meta_info": {}, "details": {}}, question)


def test_completions_that_ignore_logprobs_are_refused() -> None:
    body = {"choices": [{"index": 0, "text": "hi", "finish_reason": "length", "logprobs": None}]}
    with pytest.raises(ProviderError, match="without logprobs"):
        read_reply(OpenAICompletionsDialect(), "there", body, Request(("x",), top=5))
    assert OpenAICompletionsDialect().reply(
        {"choices": [{"logprobs": {"tokens": ["bytes:\\xf0\\x9f"], "top_logprobs": [{"bytes:\\xf0\\x9f": -1.0}]}}]},
        Request(("x",), top=5),
    )[0].positions[0].tokens == [b"\xf0\x9f"]
