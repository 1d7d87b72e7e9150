"""Claim 15: a model states the probability of the next token, and these probabilities are calibrated."""

from functools import partial
from pathlib import Path

from claim import SMOLLM2, Claim, in_python, plus_minus, smollm2

from decodekit import Prefix
from decodekit.analysis import calibration, forecasts_of_texts, score
from decodekit.analysis.plots import plot_reliability

PARAGRAPHS = Path(__file__).with_name("paragraphs.txt").read_text().strip().split("\n\n")


def measure(small: bool = False) -> Claim:
    """Calibration on paragraphs of plain prose, and on texts that the model wrote itself."""
    model = smollm2().adapter
    chosen = PARAGRAPHS[:2] if small else PARAGRAPHS
    texts = [model.tokenizer.encode(text) for text in chosen]
    prose = calibration(forecasts_of_texts(model, [(Prefix(ids[:1]), ids[1:]) for ids in texts]))
    figures = {"surprisal of the first paragraph": f"{-score(model, texts[0]).per_token:.3f} nats a token, exact"}
    figures |= {f"{len(chosen)} paragraphs, {name}": value for name, value in _shown(prose).items()}
    own = []
    for chain in [] if small else ["temperature=1", "temperature=0.6"]:
        made = smollm2().generate_many(["The sun is"], n=32, seed=8, chain=chain, max_tokens=32)[0]
        prompt = Prefix(model.tokenizer.encode("The sun is"))
        own.append(calibration(forecasts_of_texts(model, [(prompt, each.token_ids) for each in made])))
        figures |= {f"own texts, {chain}, {name}": value for name, value in _shown(own[-1]).items()}

    bins = prose.bins
    columns = {name: [getattr(each, name) for each in bins] for name in ("confidence", "low", "high")}
    return Claim(
        "Pre-training and RLHF state the probability of a token given those before it, and these are calibrated.",
        f"{SMOLLM2}; the paragraphs (examples/claims/paragraphs.txt) were written for this page",
        figures,
        "nearly, on prose",
        "On the paragraphs the model is somewhat too sure of its most likely token. On its own texts at T = 1 it is "
        "calibrated, as it must be; on colder ones, which it did not draw by its own law, it is not sure enough.",
        small or (
            prose.overconfidence.low > 0 > own[1].overconfidence.high
            and own[0].overconfidence.low < 0 < own[0].overconfidence.high
        ),
        partial(plot_reliability, observed=[b.accuracy for b in bins], counts=[b.count for b in bins], **columns),
        'the first token of each paragraph; "The sun is"',
        (in_python(
            "import decodekit",
            "from decodekit.analysis import calibration, forecasts_of_texts",
            "session = decodekit.open('smollm2', n_threads=1)",
            "made = session.generate_many(['The sun is'], n=8, seed=8, chain='temperature=0.6', max_tokens=32)[0]",
            "prompt = decodekit.Prefix(session.adapter.tokenizer.encode('The sun is'))",
            "found = calibration(forecasts_of_texts(session.adapter, [(prompt, each.token_ids) for each in made]))",
            "print(found.overconfidence.value, found.ece_debiased, found.log_score.value)",
        ),),
    )  # fmt: skip


def _shown(found):
    return {"confidence minus accuracy": plus_minus(found.overconfidence),
            "calibration error without its bias": f"{found.ece_debiased:.3f} (biased: {found.ece:.3f})",
            "surprisal": plus_minus(found.log_score, "nats a token")}  # fmt: skip
