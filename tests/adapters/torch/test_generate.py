"""decodekit against transformers' `generate`: the same tokens, and each other's processors inside the other's loop."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from transformers import (
    ForcedEOSTokenLogitsProcessor,
    LogitsProcessorList,
    MinLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

import decodekit
from decodekit import Chain, Context, Distribution, Prefix, Session
from decodekit.errors import ConfigError, ParameterError, PluginError
from decodekit.testing import check_processor
from decodekit_torch import TorchAdapter, as_logits_processor, hf_logits_processor
from tests.adapters.torch.models import DRIFT, ON_A_GPU, VOCAB, tiny

MODELS = ("Llama", "GPT2", "Qwen3", "Mixtral", "Mistral")
EOS, NEW = list(range(20)), 16  # a tenth of the vocabulary ends a text, so that many do end


def laws(length: int) -> dict[str, tuple[dict[str, Any], list[Any]]]:
    """Settings of generate for a prompt of this length, and the same as transformers' own processors."""
    penalty, pairs = RepetitionPenaltyLogitsProcessor(1.4), NoRepeatNGramLogitsProcessor(2)
    least = MinLengthLogitsProcessor(length + 10, EOS)
    return {
        "plain": ({}, []),
        "repetition penalty": ({"repetition_penalty": 1.4}, [penalty]),
        "min length": ({"min_length": length + 10}, [least]),
        "no repeated pairs": ({"no_repeat_ngram_size": 2}, [pairs]),
        "all three": (
            {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "min_length": length + 10},
            [penalty, pairs, least],
        ),
        "forced end": ({"forced_eos_token_id": 3}, [ForcedEOSTokenLogitsProcessor(length + NEW, 3)]),
    }


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {kind: tiny(kind) for kind in MODELS}


def prompts(count: int = 8) -> list[list[int]]:
    rng = random.Random(11)
    return [[rng.randrange(VOCAB) for _ in range(rng.randint(2, 24))] for _ in range(count)]


def generated(model: Any, ids: list[int], **settings: Any) -> list[int]:
    given = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        whole = model.generate(
            given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=NEW, eos_token_id=EOS,
            pad_token_id=0, **settings,
        )  # fmt: skip
    return list(whole[0, len(ids) :].tolist())


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float32"), *ON_A_GPU])
@pytest.mark.parametrize("law", list(laws(0)))
@pytest.mark.parametrize("kind", MODELS)
def test_greedy_gives_the_tokens_of_generate(
    models: dict[str, Any], kind: str, law: str, device: str, dtype: str
) -> None:
    model = models[kind] if device == "cpu" else tiny(kind).to(device, getattr(torch, dtype))
    adapter = TorchAdapter(model=model)
    equal = ended = 0
    for ids in prompts():
        settings, processors = laws(len(ids))[law]
        expected = generated(model, ids, **settings)
        ended += len(expected) < NEW
        session = Session(adapter, Chain([hf_logits_processor(each) for each in processors], "greedy"))
        steps = list(session.stream(Prefix(ids), max_tokens=NEW, stop_ids=EOS))
        got = [step.token_id for step in steps]
        if got == expected:
            equal += 1
            continue
        first = next(i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b)
        assert steps[first].choice.margin < 2 * DRIFT[dtype], (
            f"{got} is not {expected}, and the margin does not excuse it"
        )
    assert equal > 0 and (ended > 0 or law != "plain")


def test_a_batch_of_prompts_of_all_lengths_gives_the_tokens_of_each_alone(models: dict[str, Any]) -> None:
    session = Session(TorchAdapter(model=models["Llama"], max_sequences=8), Chain(sampler="greedy"))
    together = session.generate_many([Prefix(ids) for ids in prompts()], max_tokens=NEW, stop_ids=EOS)
    alone = [generated(models["Llama"], ids) for ids in prompts()]
    assert [list(result.token_ids) for (result,) in together] == alone


# -- a logits processor in a chain -------------------------------------------------------------------------------------

DISTRIBUTION = Distribution.dense([1.0, 2.0, 0.5, -1.0, 0.0, 0.25, -3.0, 1.5])


@pytest.mark.parametrize(
    "processor",
    [
        RepetitionPenaltyLogitsProcessor(1.3),
        NoRepeatNGramLogitsProcessor(2),
        TopKLogitsWarper(3),
        TopPLogitsWarper(0.7),
    ],
)
def test_a_wrapped_processor_keeps_the_contract(processor: Any) -> None:
    check_processor(hf_logits_processor(processor))


def test_it_is_called_as_generate_calls_it() -> None:
    seen: list[Any] = []

    def spy(input_ids: Any, scores: Any) -> Any:
        seen.append((input_ids.tolist(), input_ids.dtype, scores.tolist(), scores.dtype))
        return scores

    wrapped = hf_logits_processor(spy)
    context = Context(prompt_ids=[3, 4], output_ids=[5])
    wrapped(DISTRIBUTION, context)
    wrapped(DISTRIBUTION.top(1), context)
    assert seen[0] == ([[3, 4, 5]], torch.int64, [DISTRIBUTION.scores.tolist()], torch.float32)
    assert seen[1][2] == [[-float("inf"), 2.0, *[-float("inf")] * 6]]
    assert (wrapped.name, wrapped.pure) == ("spy", False)


def test_purity_is_claimed_for_transformers_own_and_nobody_elses() -> None:
    class RepetitionPenaltyLogitsProcessorOfMine(RepetitionPenaltyLogitsProcessor):
        pass

    assert hf_logits_processor(RepetitionPenaltyLogitsProcessor(1.2)).pure
    assert not hf_logits_processor(RepetitionPenaltyLogitsProcessorOfMine(1.2)).pure
    assert hf_logits_processor(RepetitionPenaltyLogitsProcessorOfMine(1.2), pure=True).pure
    assert not hf_logits_processor(LogitsProcessorList([TopKLogitsWarper(3)])).pure


def test_what_is_no_processor_is_refused() -> None:
    with pytest.raises(ParameterError, match="callable"):
        hf_logits_processor(3)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="shape"):
        hf_logits_processor(lambda _, scores: scores[0])(DISTRIBUTION, Context(prompt_ids=[1]))


# -- a chain in generate -----------------------------------------------------------------------------------------------


def chain(sampler: str = "multinomial") -> Chain:
    """Reshapes, tosses a coin, and remembers."""
    build = decodekit.processor
    return Chain(
        [build("temperature", temperature=1.3), build("xtc", xtc=0.5, threshold=0.05), build("top_p", top_p=0.9),
         build("mirostat_v2", mirostat_v2=2.0)],
        sampler,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["Llama", "Mistral"])
def test_generate_draws_what_a_session_draws(models: dict[str, Any], kind: str) -> None:
    session = Session(TorchAdapter(model=models[kind]), chain(), seed=9)
    for stream, ids in enumerate(prompts(6)):
        expected = session.generate(Prefix(ids), max_tokens=NEW, stop_ids=EOS, stream=stream).token_ids
        processor = as_logits_processor(chain(), seed=9, stream=stream, draw=True)
        assert generated(models[kind], ids, logits_processor=LogitsProcessorList([processor])) == list(expected)
        again = generated(models[kind], ids, logits_processor=LogitsProcessorList([processor]))
        assert again == list(expected)  # a new generation begins anew


def test_every_row_of_a_batch_is_a_stream_of_its_own(models: dict[str, Any]) -> None:
    model = models["Llama"]
    session = Session(TorchAdapter(model=model), chain(), seed=9)
    given = prompts(4)
    longest = max(map(len, given))
    padded = torch.tensor([[198] * (longest - len(ids)) + ids for ids in given])
    processor = as_logits_processor(chain(), seed=9, stream=3, draw=True, pad_id=198)
    whole = model.generate(
        padded, attention_mask=(padded != 198).long(), do_sample=False, max_new_tokens=NEW, pad_token_id=0,
        logits_processor=LogitsProcessorList([processor]),
    )  # fmt: skip
    for row, ids in enumerate(given):
        expected = session.generate(Prefix(ids), max_tokens=NEW, stream=3 + row).token_ids
        assert whole[row, longest:].tolist() == list(expected)
    copies = model.generate(
        torch.tensor(given[:1] * 5), do_sample=False, max_new_tokens=NEW, pad_token_id=0,
        logits_processor=LogitsProcessorList([as_logits_processor(chain(), seed=9, draw=True)]),
    )  # fmt: skip
    for row in range(5):
        expected = session.generate(Prefix(given[0]), max_tokens=NEW, stream=row).token_ids
        assert copies[row, len(given[0]) :].tolist() == list(expected)


def test_generate_may_choose_from_the_chains_scores(models: dict[str, Any]) -> None:
    """The final scores are those of transformers' own processors, and states follow the token that was chosen."""
    build = decodekit.processor
    ours = as_logits_processor(Chain([build("temperature", temperature=0.7), build("top_k", top_k=5)]))
    theirs = LogitsProcessorList([TemperatureLogitsWarper(0.7), TopKLogitsWarper(5)])
    ids, scores = torch.tensor([[1, 2, 3]]), torch.randn(1, VOCAB, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ours(ids, scores), theirs(ids, scores), atol=1e-6)
    told: list[int] = []

    class Watching:
        def initial(self, ctx: Context) -> int:
            return 0

        def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
            return dist

        def advance(self, state: int, choice: Any, ctx: Context) -> int:
            told.append(choice.token_id)
            return state + 1

    watched = as_logits_processor(Chain([Watching(), build("top_k", top_k=1)]), seed=1)
    for token in (7, 8, 9):
        watched(ids, scores)
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        told.clear()
    watched(ids, scores)
    assert told[0] == 9


def test_beams_may_change_places(models: dict[str, Any]) -> None:
    model = models["Llama"]
    ids = prompts(1)[0]
    build = decodekit.processor
    processor = as_logits_processor(Chain([build("repetition_penalty", repetition_penalty=1.3)]))
    settings: dict[str, Any] = {"num_beams": 4}
    assert generated(
        model, ids, logits_processor=LogitsProcessorList([processor]), **settings
    ) == generated(model, ids, repetition_penalty=1.3, **settings)  # fmt: skip


def test_a_chain_that_runs_once_a_step_can_only_draw() -> None:
    impure = Chain([hf_logits_processor(lambda _, scores: scores)])
    with pytest.raises(ConfigError, match="draw=True"):
        as_logits_processor(impure)
    as_logits_processor(impure, draw=True)
