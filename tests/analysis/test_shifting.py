"""How far a chain moves a model: against enumeration, live and from a trace."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from decodekit import (
    Chain,
    ConfigError,
    Context,
    Disclosure,
    Distribution,
    ParameterError,
    Session,
    Undisclosed,
    processor,
)
from decodekit.analysis.numbers.importance import self_normalised
from decodekit.analysis.texts.enumeration import enumerate_texts
from decodekit.analysis.texts.law import TextLaw
from decodekit.analysis.texts.samples import sampled_beginnings
from decodekit.analysis.texts.shifting import chain_shift, recorded_shift, shift_of
from decodekit.testing import NGramAdapter
from tests.analysis.whole_texts import LENGTH, chained, every_text
from tests.search import tables
from tests.search.tables import PROMPT, model, plain


def exact_kl(chain: Any) -> float:
    """The sum over all texts of the chain."""
    found, p = enumerate_texts(TextLaw(model(), PROMPT, chain=chain), LENGTH, width=1000), every_text(plain)
    return sum(math.exp(e.logprob) * (e.logprob - math.log(p[e.ids])) for e in (*found.open, *found.ended))


@pytest.mark.parametrize("chain", ["temperature=0.6", "top_k=2", "top_p=0.7 temperature=1.4", chained()])
def test_the_divergence_of_whole_texts_is_that_of_all_texts(chain: Any) -> None:
    """Two estimates within 5 standard errors: p below 1.2e-6."""
    found, exact = chain_shift(model(), PROMPT, chain, LENGTH, n=400, seed=5), exact_kl(chain)
    assert found.kl is not None and found.log_ratio is not None
    for estimate in (found.kl, found.log_ratio):
        assert abs(estimate.value - exact) <= 5 * estimate.error


def test_weights_answer_for_the_model_and_tell_how_much_of_it_is_covered() -> None:
    """Under temperature all texts are covered. The mean length of a text of p, from texts of q: within 5 errors."""
    p = every_text(plain)
    hot = chain_shift(model(), PROMPT, "temperature=1.3", LENGTH, n=800, seed=2)
    drawn = sampled_beginnings(TextLaw(model(), PROMPT, chain="temperature=1.3"), 800, LENGTH, 2)
    lengths = [float(len(each.ids)) for each in drawn]
    assert hot.log_weights is not None
    mean = self_normalised(lengths, hot.log_weights)
    assert abs(mean.value - sum(q * len(ids) for ids, q in p.items())) <= 5 * mean.error
    assert mean.effective_size == hot.effective_size < 800 and abs(mean.log_mean_weight) < 0.15
    cut = chain_shift(model(), PROMPT, "top_k=2", LENGTH, n=800, seed=2)
    can = enumerate_texts(TextLaw(model(), PROMPT, chain="top_k=2"), LENGTH)
    kept = sum(p[each.ids] for each in (*can.open, *can.ended))
    assert cut.log_weights is not None
    weights = np.exp(cut.log_weights)
    assert abs(weights.mean() - kept) <= 5 * weights.std(ddof=1) / math.sqrt(800)


@pytest.mark.parametrize(
    ("chain", "level", "exact"),
    [
        ("temperature=0.6", "choice", True),
        ("top_k=3 top_p=0.8", "choice", True),
        ("", "choice", True),
        ("greedy", "choice", True),
        ("top_k=3 temperature=0.6", "choice", False),
        ("top_k=3 temperature=0.6", "full", True),
        (chained(), "full", True),
        ("repetition_penalty=1.3 temperature=0.6", "choice", False),
        ("repetition_penalty=1.3 temperature=0.6", "full", True),
        ("frequency_penalty=0.5 presence_penalty=0.2 temperature=1.4", "full", True),
        ("no_repeat_ngram=2 temperature=0.5", "full", True),
        ("temperature=0.8 mirostat_v2=2.0", "full", True),
    ],
)
def test_a_recorded_run_tells_the_same_as_the_model(chain: Any, level: Any, exact: bool) -> None:
    live = chain_shift(model(), PROMPT, chain, LENGTH, n=6, seed=9)
    with Session(model(), Chain.of(chain)) as session:
        ((*results,),) = session.generate_many([PROMPT], n=6, seed=9, max_tokens=LENGTH, level=level)
    kept = recorded_shift(results[0].trace)
    assert live.log_weights is not None and kept.log_weights is not None and kept.tokens == live.tokens
    np.testing.assert_allclose(kept.log_weights, live.log_weights, atol=1e-12)
    pairs = [(kept.log_ratio, live.log_ratio), (kept.model_entropy, live.model_entropy),
             (kept.chain_entropy, live.chain_entropy)]  # fmt: skip
    if exact:
        pairs += [(kept.kl, live.kl), (kept.kl_per_token, live.kl_per_token), (kept.mass_removed, live.mass_removed)]
    else:
        assert kept.kl is None and kept.kl_per_token is None
    for one, other in pairs:
        assert one is not None and other is not None
        assert (one.value, one.error) == pytest.approx((other.value, other.error), abs=1e-9)


def test_parts_that_read_texts_and_parts_without_a_name_are_given() -> None:
    texts = NGramAdapter("the cat sat on the mat. " * 9)
    trace = Session(texts, "dry=0.8 temperature=0.7").generate("the cat", max_tokens=9, seed=1, level="full").trace
    live = chain_shift(texts, "the cat", "dry=0.8 temperature=0.7", 9, n=1, seed=1)
    told = recorded_shift(trace, tokenizer=texts.tokenizer)
    assert recorded_shift(trace).kl is None and told.kl is not None and live.kl is not None
    assert told.kl.value == pytest.approx(live.kl.value, abs=1e-9)

    def flatter(dist: Distribution, ctx: Context) -> Distribution:
        return dist.with_scores(dist.scores * 0.5)

    def chain(factor: str = "0.9") -> Chain:
        return Chain([flatter, *Chain.of(f"temperature={factor}").processors])

    own = Session(texts, chain()).generate("the cat", max_tokens=3, seed=1, level="full").trace
    live = chain_shift(texts, "the cat", chain(), 3, n=1, seed=1)
    found = recorded_shift(own, chain=chain())
    assert recorded_shift(own).kl is None and found.kl is not None and live.kl is not None
    assert found.kl.value == pytest.approx(live.kl.value, abs=1e-9)
    with pytest.raises(ConfigError, match="the recorded one"):
        recorded_shift(own, chain=chain("0.8"))


def test_a_truncated_head_is_exact_and_a_tail_is_not_guessed() -> None:
    most = Disclosure(top=2, ids=())
    head = chain_shift(model(most=most), PROMPT, "top_k=2", 3, n=10, seed=1)
    full = chain_shift(model(), PROMPT, "top_k=2", 3, n=10, seed=1)
    assert head.kl is not None and full.kl is not None and head.kl.value == pytest.approx(full.kl.value, abs=1e-12)
    assert head.model_entropy is None
    with pytest.raises(Undisclosed):
        chain_shift(model(most=most), PROMPT, "temperature=0.5", 3, n=10, seed=1)


def test_what_is_no_draw_from_one_law_is_refused() -> None:
    with Session(model(), [processor("xtc", xtc=1.0, threshold=0.01)]) as session:
        tossed = session.generate(PROMPT, max_tokens=3, seed=1).trace
        none = session.generate(PROMPT, max_tokens=3, seed=1, level="none").trace
    with pytest.raises(ParameterError, match="drew random numbers at step 0"):
        recorded_shift(tossed)
    with pytest.raises(ParameterError, match="level 'none'"):
        recorded_shift(none)
    with pytest.raises(ParameterError, match="at least one"):
        shift_of([])


def test_the_mass_that_is_removed_is_the_models() -> None:
    """Along the greedy path of a chain that keeps the most likely token, each step removes the rest."""
    found = chain_shift(model(), PROMPT, "top_k=1", 1, n=2, seed=1)
    row = tables.probabilities(tables.scores(tuple(PROMPT)))
    assert found.mass_removed is not None and found.kl is not None
    assert found.mass_removed.value == pytest.approx(1 - row.max(), abs=1e-14)
    assert [len(text) for text in found.moves] == [1, 1] and found.moves[0][0].kl == found.kl.value
    assert found.kl.value == pytest.approx(-math.log(row.max()), abs=1e-12)
