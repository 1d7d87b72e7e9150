"""Pairs of runs that differ in one thing, and the cause that `decodekit.diff` must name.

A model is a table of scores over 40 letters, which depend on the last three tokens. `run` makes a trace of it; each
case changes one argument, or the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import decodekit
from decodekit import AdapterInfo, Disclosure, Trace, processor
from decodekit.model.drawn import DrawnToken
from decodekit.testing import PiecesTokenizer, TableAdapter

from .forging import Line, dump, load

SIZE = 40
LETTERS = [bytes([48 + i]) for i in range(SIZE)]
WORDS = PiecesTokenizer(LETTERS)
TURNED = PiecesTokenizer(LETTERS[::-1])
TOP_P = [processor("temperature", temperature=0.9), processor("top_p", top_p=0.9)]


def scores(ids: tuple[int, ...], drift: float = 0.0) -> np.ndarray:
    """A row of 40 scores; with a drift, another number for each token is added, of at most this size."""
    last = list(ids[-3:])
    row = np.random.default_rng(last).normal(0, 2.0, SIZE)
    return row + drift * np.random.default_rng([99, *last]).uniform(-1, 1, SIZE)


def model(drift: float = 0.0, **options: Any) -> TableAdapter:
    return TableAdapter(lambda ids: scores(ids, drift), SIZE, **{"tokenizer": WORDS, **options})


def described(adapter: TableAdapter, **changes: Any) -> TableAdapter:
    """The same answers under another description."""
    adapter.info = replace(adapter.info, **changes)
    return adapter


def run(
    adapter: Any = None, parts: Sequence[Any] = TOP_P, sampler: Any = "multinomial", *,
    seed: int = 7, prompts: Sequence[Any] = ([5],), n: int = 1, session: dict[str, Any] | None = None, **call: Any,
) -> Callable[[Path], Trace]:  # fmt: skip
    """What makes the trace of a run: of 12 tokens."""

    def make(path: Path) -> Trace:
        made = decodekit.Session(adapter or model(), decodekit.Chain(parts, sampler), seed=seed, **(session or {}))
        with suppress(decodekit.DecodekitError):  # the end of the run is in its trace
            made.generate_many(prompts, n=n, trace=path, **{"max_tokens": 12, **call})
        return decodekit.read_trace(path)

    return make


def changed(
    change: Callable[[list[Line]], Any], base: Callable[[Path], Trace] | None = None
) -> Callable[[Path], Trace]:
    """What makes a run and writes its lines anew, with this change."""

    def make(path: Path) -> Trace:
        honest = path.with_suffix(".honest")
        (base or run())(honest)
        lines = load(honest)
        change(lines)
        return decodekit.read_trace(dump(lines, path))

    return make


def header(**values: Any) -> Callable[[list[Line]], Any]:
    return lambda lines: lines[0]["content"].update(values)


def chosen(lines: list[Line], at: int = 4) -> None:
    """Another token in a step, under the same scores."""
    step = lines[at + 1]["content"]
    other = next(each for each in step["final"]["token_ids"] if each != step["token"])
    step["token"] = step["draw"]["lane"] = other


def named(lines: list[Line], at: int = 4, word: str = "") -> None:
    """Another token in a step of level choice; with the word of that token, or the one that was there."""
    step = lines[at + 1]["content"]
    step["token"] = step["draw"]["lane"] = (step["token"] + 1) % SIZE
    if word == "fits":
        noise = decodekit.Randomness(7, 0).words([step["token"]], step=at)
        step["draw"]["word"] = f"{int(noise[0]):016x}"


def scored(lines: list[Line], at: int = 4) -> None:
    """Final scores under which another token wins, and the choice that follows from them."""
    step = lines[at + 1]["content"]
    final = step["final"]
    place = next(i for i, each in enumerate(final["token_ids"]) if each != step["token"])
    final["scores"][place] += 60.0
    step["token"] = step["draw"]["lane"] = final["token_ids"][place]


def resumed(max_tokens: int | None = None, cut: int = 0) -> Callable[[Path], Trace]:
    """A run that was killed, or that was too short, and the rest of it."""

    def make(path: Path) -> Trace:
        begun = path.with_suffix(".begun")
        run()(begun)
        if cut:
            begun.write_bytes(b"".join(begun.read_bytes().splitlines(keepends=True)[: cut + 1]))
        longer = {} if max_tokens is None else {"max_tokens": max_tokens}
        decodekit.resume(begun, model(), trace=path, **longer)
        return decodekit.read_trace(path)

    return make


class Hasty(TableAdapter):
    """It answers once with a token that a banned phrase needs, and then as the others do."""

    def __init__(self, hurry: bool) -> None:
        super().__init__(self._scores, SIZE, tokenizer=WORDS)
        self._hurry = hurry

    def _scores(self, ids: tuple[int, ...]) -> np.ndarray:
        row = scores(ids)
        if len(ids) == 4:
            row[1] = 40.0 if self._hurry else -40.0
            self._hurry = False
        return row


class Drawing:
    """A provider that draws, always the next letter."""

    def __init__(self, step: int) -> None:
        self._step = step
        self.tokenizer = WORDS
        self.info = AdapterInfo(
            name="drawing", model="m", tokenizer_fingerprint=WORDS.fingerprint, vocab_size=SIZE,
            cheap=Disclosure(1), most=Disclosure(1), origin="logprobs",
        )  # fmt: skip
        self.described: dict[str, str] = {}

    async def apredict(self, prefixes: Any, disclose: Any = None) -> list[Any]:
        return [decodekit.AdapterError("it gives no logprobs") for _ in prefixes]

    async def aclose(self) -> None:
        """Nothing is open."""

    def must_draw(self, tokens: int, conversation: bool = False) -> str:
        return "it gives no logprobs"

    def drawing(self, terms: Any) -> Drawing:
        return self

    async def adraw(self, prefixes: Any) -> list[DrawnToken]:
        return [DrawnToken((len(prefix) * self._step) % SIZE) for prefix in prefixes]


def banned_second(path: Path) -> str:
    """The phrase of the third token and token 1, which `Hasty` writes once."""
    trace = run(Hasty(hurry=False))(path)
    return (LETTERS[trace.token_ids()[2]] + LETTERS[1]).decode()


def hasty(hurry: bool) -> Callable[[Path], Trace]:
    def make(path: Path) -> Trace:
        return run(Hasty(hurry), ban=[banned_second(path.with_suffix(".first"))])(path)

    return make


def failing(path: Path) -> Trace:
    def answer(ids: tuple[int, ...]) -> np.ndarray:
        if len(ids) == 6:
            raise decodekit.AdapterError("the model broke")
        return scores(ids)

    return run(TableAdapter(answer, SIZE, tokenizer=WORDS))(path)


def killed(path: Path) -> Trace:
    whole = path.with_suffix(".whole")
    run()(whole)
    path.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:7]))
    return decodekit.read_trace(path)


def hurried(dist: Any, ctx: Any) -> Any:
    return dist if ctx.step < 3 else dist.scaled(0.2)


def steady(dist: Any, ctx: Any) -> Any:
    return dist


steady.name = hurried.name = "pace"  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Case:
    """Two runs. The step is computed from their tokens."""

    name: str
    a: Callable[[Path], Trace]
    b: Callable[[Path], Trace]
    cause: str
    where: str = ""


SAME, GREEDY, TOP1 = run(), run(sampler="greedy"), [processor("top_k", top_k=1)]
HEADS = {"most": Disclosure(12)}
ORDER = [processor("top_k", top_k=4), processor("skew", skew=2.0)]
WIDE = TableAdapter(lambda ids: np.random.default_rng(list(ids[-3:])).normal(0, 2.0, 300), 300)
TINY, LARGE = 1e-7, 1.5
CONFIGURATION = [
    Case("seed", SAME, run(seed=8), "configuration", "seed"),
    Case("seed, with a small drift too", SAME, run(model(TINY), seed=8), "configuration", "seed"),
    Case("seed and sampler", SAME, run(sampler="greedy", seed=8), "configuration", "chain.sampler.name"),
    Case("seed and stop strings", SAME, run(seed=8, stop=["zz"]), "configuration", "seed"),
    Case("seed of a processor's coin", run(parts=[processor("xtc", xtc=0.5, threshold=0.01)], sampler="greedy"),
         run(parts=[processor("xtc", xtc=0.5, threshold=0.01)], sampler="greedy", seed=8), "configuration", "seed"),
    Case("temperature", SAME, run(parts=[processor("temperature", temperature=1.9), TOP_P[1]]),
         "configuration", "chain.processors[0].params.temperature"),
    Case("top_p", SAME, run(parts=[TOP_P[0], processor("top_p", top_p=0.2)]),
         "configuration", "chain.processors[1].params.top_p"),
    Case("top_k", run(parts=[processor("top_k", top_k=30)]), run(parts=[processor("top_k", top_k=2)]),
         "configuration", "chain.processors[0].params.top_k"),
    Case("penalty", run(parts=[processor("repetition_penalty", repetition_penalty=1.0)]),
         run(parts=[processor("repetition_penalty", repetition_penalty=20.0)]),
         "configuration", "chain.processors[0].params.repetition_penalty"),
    Case("order", run(parts=[processor("top_p", top_p=0.5), processor("temperature", temperature=3.0)]),
         run(parts=[processor("temperature", temperature=3.0), processor("top_p", top_p=0.5)]),
         "configuration", "chain.processors"),
    Case("added processor", SAME, run(parts=[*TOP_P, processor("min_p", min_p=0.4)]),
         "configuration", "chain.processors"),
    Case("removed processor", run(parts=[*TOP_P, processor("top_k", top_k=2)]), SAME,
         "configuration", "chain.processors"),
    Case("greedy", SAME, GREEDY, "configuration", "chain.sampler.name"),
    Case("inverse_cdf", SAME, run(sampler="inverse_cdf"), "configuration", "chain.sampler.name"),
    Case("a provider draws", SAME, run(Drawing(3), parts=[]), "configuration", "chain.processors"),
    Case("a provider draws, without processors", run(parts=[]), run(Drawing(3), parts=[]),
         "configuration", "chain.sampler.name"),
    Case("at level choice", run(level="choice"), run(level="choice", seed=8), "configuration", "seed"),
    Case("at other levels", run(level="choice"), run(level="full", seed=8), "configuration", "seed"),
    Case("ban", SAME, lambda path: run(ban=[SAME(path.with_suffix(".at")).steps[3].text])(path),
         "configuration", "stop.ban"),
    Case("on_undisclosed", run(model(**HEADS), session={"on_undisclosed": "truncate"}),
         run(model(**HEADS)), "configuration", "on_undisclosed"),
    Case("stop string", SAME, lambda path: run(stop=[SAME(path.with_suffix(".at")).steps[5].text])(path),
         "configuration", "stop.strings"),
    Case("stop id", SAME, lambda path: run(stop_ids=[SAME(path.with_suffix(".at")).steps[6].token_id])(path),
         "configuration", "stop.ids"),
    Case("max_tokens", SAME, run(max_tokens=9), "configuration", "stop.max_tokens"),
    Case("resumed with more tokens", SAME, resumed(max_tokens=16), "configuration", "stop.max_tokens"),
    Case("more samples", run(n=2), run(n=3), "configuration", "sequences"),
]  # fmt: skip
TOKENISATION = [
    Case("another prompt", SAME, run(prompts=[[6]]), "tokenisation", "prompts"),
    Case("another tokenizer", SAME, run(model(tokenizer=TURNED)), "tokenisation", "adapter.tokenizer_fingerprint"),
    Case("the same text, other ids", GREEDY,
         run(TableAdapter(lambda ids: scores(tuple(SIZE - 1 - i for i in ids))[::-1], SIZE, tokenizer=TURNED),
             sampler="greedy", prompts=[[SIZE - 6]]), "tokenisation", "adapter.tokenizer_fingerprint"),
    Case("another size without texts", run(TableAdapter(scores, SIZE)),
         run(TableAdapter(lambda ids: np.append(scores(ids), 9.0), SIZE + 1)), "tokenisation", "adapter.vocab_size"),
]  # fmt: skip
DISTRIBUTION = [
    Case("drift above the margin", SAME, run(model(LARGE)), "distribution", "raw"),
    Case("drift of greedy", GREEDY, run(model(LARGE), sampler="greedy"), "distribution", "raw"),
    Case("drift at level choice", run(level="choice"), run(model(LARGE), level="choice"), "distribution", "raw"),
    Case("drift at level full", run(level="full"), run(model(LARGE), level="full"), "distribution", "raw"),
    Case("drift between levels", run(level="full"), run(model(LARGE), level="choice"), "distribution", "raw"),
    Case("heads of another model", run(level="full"),
         run(model(LARGE, **HEADS), level="full", session={"on_undisclosed": "truncate"}), "distribution", "raw"),
    Case("heads against rows", run(parts=[processor("top_k", top_k=5)]),
         run(model(LARGE, **HEADS), parts=[processor("top_k", top_k=5)]), "distribution", "raw"),
    Case("a seed that is not used", run(parts=TOP1), run(model(LARGE), parts=TOP1, seed=8), "distribution", "raw"),
    Case("a temperature that changes no mode", run(parts=TOP_P[:1], sampler="greedy"),
         run(model(LARGE), parts=[processor("temperature", temperature=0.5)], sampler="greedy"), "distribution", "raw"),
    Case("a processor that does nothing here", SAME,
         run(model(LARGE), parts=[processor("top_k", top_k=40), *TOP_P[:1], processor("min_p", min_p=1e-9), TOP_P[1]]),
         "distribution", "raw"),
    Case("a parameter that does nothing here", run(parts=[*TOP_P, processor("top_k", top_k=38)]),
         run(model(LARGE), parts=[*TOP_P, processor("top_k", top_k=35)]), "distribution", "raw"),
    Case("another version of the sampler", SAME, changed(
        lambda lines: lines[0]["content"]["chain"]["sampler"].update(version="0.0.1"), run(model(LARGE))
    ), "distribution", "raw"),
    Case("another model", SAME, run(described(model(LARGE), model_fingerprint="sha256:77")), "distribution", "raw"),
]  # fmt: skip
LATER = [
    Case("a processor of other code", run(parts=[steady, *TOP_P]), run(parts=[hurried, *TOP_P]), "processors", "pace"),
    Case("forged score", SAME, changed(scored), "processors", "final"),
    Case("stream", SAME, run(stream=5), "draw", "stream"),
    Case("prompts in another order", run(prompts=[[5], [6]]), run(prompts=[[6], [5]]), "draw", "stream"),
    Case("attempt", hasty(hurry=False), hasty(hurry=True), "draw", "attempt"),
    Case("provider", run(Drawing(3), parts=[]), run(Drawing(7), parts=[]), "draw", "provider"),
    Case("forged choice", SAME, changed(chosen), "choice", "b"),
    Case("forged choice without scores", run(level="choice"), changed(named, run(level="choice")), "choice", "b"),
    Case(
        "forged choice and word without scores",
        run(level="choice"),
        changed(lambda lines: named(lines, word="fits"), run(level="choice")),
        "choice",
        "unknown",
    ),
    Case("forged choice in the first", changed(chosen), SAME, "choice", "a"),
    Case("forged choice under a floor", run(WIDE, parts=[]), changed(chosen, run(WIDE, parts=[])), "choice", "b"),
    Case("forged choice and a small drift", SAME, changed(chosen, run(model(TINY))), "choice", "b"),
    Case("forged choice and other stop strings", SAME, changed(chosen, run(stop=["zz"])), "choice", "b"),
    Case("deadline", SAME, run(deadline=1e-9), "end", "deadline"),
    Case("until", SAME, run(until=lambda step: step.index == 4), "end", "stop"),
    Case("context", SAME, run(model(context_length=8)), "end", "context"),
    Case("error", SAME, failing, "end", "error"),
    Case("killed", SAME, killed, "end", "incomplete"),
]
NONE = [
    Case("equal", SAME, SAME, "none"),
    Case("other timing", SAME, changed(lambda lines: lines[3]["timing"].update(predict=9.0)), "none"),
    Case("small drift", SAME, run(model(TINY)), "none"),
    Case("heads against rows, equal", run(parts=[processor("top_k", top_k=5)]),
         run(model(**HEADS), parts=[processor("top_k", top_k=5)]), "none"),
    Case("seed of greedy", GREEDY, run(sampler="greedy", seed=8), "none"),
    Case("resumed", SAME, resumed(cut=5), "none"),
    Case("guessed", SAME, run(guesser="prompt_lookup"), "none"),
    Case("another prompt without effect", run(prompts=[[1, 5, 6, 7]]), run(prompts=[[2, 5, 6, 7]]), "none"),
]  # fmt: skip
UNIMPORTANT = {  # the field that differs, and another run
    "level": run(level="full"),
    "top_logprobs": run(session={"top_logprobs": 9}),
    "metadata": run(metadata={"user": 1}),
    "versions.numpy": changed(lambda lines: lines[0]["content"]["versions"].update(numpy="0.1")),
    "config.seed": changed(header(config={"seed": 7})),
    "chain.processors[1].version": changed(
        lambda lines: lines[0]["content"]["chain"]["processors"][1].update(version="0.0.1")
    ),
    "rng": changed(header(rng="another")),
    "adapter.model_fingerprint": run(described(model(), model_fingerprint="sha256:77")),
    "adapter.tokenizer_fingerprint": run(described(model(), tokenizer_fingerprint="another digest of it")),
    "stop.strings": run(stop=["zz"]),
    "on_undisclosed": run(session={"on_undisclosed": "truncate"}),
    "stop.ban": run(ban=["zz"]),
}
