"""The model of lm-evaluation-harness gives the numbers of the harness's own ``hf``, on the same tiny model.

Skipped where lm-eval is not installed, as in ``make test``: it brings 40 packages of 450 MB, a minute of installation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "lm_eval", reason="lm-eval (450 MB) is not a test tool: pip install 'decodekit[lm-eval]' to run this"
)
pytest.importorskip("torch")

import tokenizers
import torch
import transformers

from decodekit import ParameterError

pytestmark = pytest.mark.filterwarnings("ignore")  # of the harness and of what it imports

TEXT = "The cat sat on the mat, and a dog saw the cat. The log lay by the door of the blue sea. "
DATA = Path(__file__).with_name("questions.jsonl")


@pytest.fixture(scope="module", params=["adds <s>", "adds nothing"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights and a byte-level tokenizer with a begin-of-text token, which it may add."""
    where = tmp_path_factory.mktemp("model")
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    backend.train_from_iterator([TEXT] * 3, trainer)
    if request.param == "adds <s>":
        backend.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.save_pretrained(where)
    config = transformers.LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, bos_token_id=0, eos_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = transformers.LlamaForCausalLM(config)
        with torch.no_grad():
            model.lm_head.weight.mul_(40)
    model.save_pretrained(where)
    return where


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Any, Any]:
    from lm_eval.models.huggingface import HFLM

    from decodekit_lm_eval import DecodekitLM

    ours = DecodekitLM(f"torch:{folder}", dtype="float32", batch_size=1)
    theirs = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=2)
    return ours, theirs


def requests(kind: str, *arguments: tuple[Any, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, given, i) for i, given in enumerate(arguments)]


PAIRS = [
    ("The cat sat", " on the mat"), ("", "A dog"), ("The log lay ", "by the door"), (TEXT * 2, " sea"), ("a", "b"),
    ("<s>The cat sat", " on the mat"), ("A dog</s>The cat", " sat"), ("", "<s>A dog"),
]  # fmt: skip


def test_loglikelihood(both: tuple[Any, Any]) -> None:
    ours, theirs = (model.loglikelihood(requests("loglikelihood", *PAIRS)) for model in both)
    assert [each[0] for each in ours] == pytest.approx([each[0] for each in theirs], abs=2e-3)
    assert [each[1] for each in ours] == [bool(each[1]) for each in theirs]


def test_what_greedy_decoding_would_write_is_said_so(both: tuple[Any, Any]) -> None:
    (written,) = both[0].generate_until(requests("generate_until", ("The cat", {"until": [], "max_gen_toks": 2})))
    ids = both[0].tok_encode("The cat")
    greedy = both[0].session.generate(ids, max_tokens=2, chain="greedy").token_ids
    other = [(greedy[0] + 1) % 300, greedy[1]]
    found = both[0]._loglikelihood_tokens([(None, ids, list(greedy)), (None, ids, other)])
    assert [each[1] for each in found] == [True, False] and isinstance(written, str)


def test_loglikelihood_rolling_over_more_than_one_window(both: tuple[Any, Any]) -> None:
    given = requests("loglikelihood_rolling", (TEXT,), (TEXT * 4,), ("a",), ("<s>A dog</s>",))
    ours, theirs = (model.loglikelihood_rolling(given) for model in both)
    assert ours == pytest.approx(theirs, abs=1e-2)


def test_generate_until(both: tuple[Any, Any]) -> None:
    given = requests(
        "generate_until",
        ("The cat", {"until": ["."], "max_gen_toks": 12}),
        ("A dog", {"until": ["a"], "max_gen_toks": 8}),
    )
    ours, theirs = (model.generate_until(given) for model in both)
    assert ours == theirs


def test_a_task_of_the_harness(folder: Path, both: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import lm_eval

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    task = {
        "task": "tiny_questions", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(DATA)}},
        "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}", "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }  # fmt: skip
    found = [
        lm_eval.simple_evaluate(model=model, tasks=[dict(task)], bootstrap_iters=0, log_samples=True) for model in both
    ]
    ours, theirs = (each["results"]["tiny_questions"] for each in found)
    assert ours["acc,none"] == theirs["acc,none"] and ours["acc_norm,none"] == theirs["acc_norm,none"]
    samples = [
        [float(answer[0]) for each in one["samples"]["tiny_questions"] for answer in each["filtered_resps"]]
        for one in found
    ]
    assert len(samples[0]) == sum(len(json.loads(line)["choices"]) for line in DATA.read_text().splitlines())
    assert samples[0] == pytest.approx(samples[1], abs=2e-3)


def test_the_arguments_that_the_command_of_the_harness_adds(folder: Path) -> None:
    from lm_eval.api.registry import get_model
    from lm_eval.config.evaluate_config import EvaluatorConfig

    import decodekit_lm_eval  # noqa: F401 - registers the name

    added = {"batch_size": 1, "max_batch_size": None}
    said = {"model": f"torch:{folder}"}
    unnamed = get_model("decodekit").create_from_arg_obj(said, {**added, "device": EvaluatorConfig().device})
    assert unnamed.session.adapter.module.device == torch.device("cpu")
    with pytest.raises(ParameterError, match="nowhere"):
        get_model("decodekit").create_from_arg_obj(said, {**added, "device": "nowhere"})


def test_settings_are_obeyed_or_refused(both: tuple[Any, Any]) -> None:
    ask = lambda **wishes: both[0].generate_until(requests("generate_until", ("A dog", {"until": [], **wishes})))  # noqa: E731
    sampled = {"do_sample": True, "temperature": 2.0, "top_k": 50, "max_gen_toks": 10}
    assert ask(**sampled) == ask(**sampled) != ask(max_gen_toks=10)
    assert ask(do_sample=True, temperature=0.0, max_gen_toks=10) == ask(max_gen_toks=10)
    assert ask(do_sample=True, top_k=0, max_gen_toks=10) == ask(do_sample=True, max_gen_toks=10)
    with pytest.raises(ParameterError, match="top_p: must be greater than 0"):
        ask(do_sample=True, top_p=0.0, max_gen_toks=10)
    with pytest.raises(ParameterError, match="num_beams"):
        ask(num_beams=4)
    with pytest.raises(ParameterError, match="leaves no room"):
        ask(max_gen_toks=64)


@pytest.mark.parametrize("wrong", [{"max_length": 0}, {"max_length": -5}, {"max_gen_toks": 0}])
def test_lengths_below_one_are_refused(folder: Path, wrong: dict[str, int]) -> None:
    from decodekit_lm_eval import DecodekitLM

    with pytest.raises(ParameterError, match=f"{next(iter(wrong))} must be"):
        DecodekitLM(f"torch:{folder}", **wrong)


def test_repeats_of_a_task_are_different_samples_which_a_second_run_draws_again(both: tuple[Any, Any]) -> None:
    wishes = {"until": [], "do_sample": True, "temperature": 2.0, "max_gen_toks": 10}
    given = requests("generate_until", *[("A dog", wishes)] * 3, ("The cat", wishes))
    texts = both[0].generate_until(given)
    assert len(set(texts[:3])) == 3 and texts == both[0].generate_until(given)
    assert both[0].generate_until(given[3:]) == texts[3:]  # whatever other requests come before


@pytest.mark.parametrize(("context", "continuation"), [("A do", ""), ("", "<s>"), ("th", "e")])
def test_a_continuation_without_tokens_is_refused_as_by_hf(
    both: tuple[Any, Any], context: str, continuation: str
) -> None:
    ours, theirs = both
    given = requests("loglikelihood", ("A dog", " sat"), (context, continuation))
    with pytest.raises(AssertionError):
        theirs.loglikelihood(given)
    with pytest.raises(ParameterError, match="adds no token"):
        ours.loglikelihood(given)
