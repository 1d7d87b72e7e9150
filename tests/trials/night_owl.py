"""A stranger's package: that of the template, an adapter, a name of decodekit's, and mistakes that authors make."""

from __future__ import annotations

from pathlib import Path

from tests.trials.out_of_tree import render

__all__ = ["night_owl"]

ANSWERS = {"distribution": "night-owl", "package": "owl", "processor": "wide_eyed", "sampler": "hoot"}

POINTS = """
top_p = "owl.more:SharpTopP"
by_position = "owl.more:by_position"
half_a_state = "owl.more:HalfAState"
forgets = "owl.more:Forgets"
returns_nothing = "owl.more:returns_nothing"
no_e = "owl.more:no_e"
missing = "owl.more:NotThere"

[project.entry-points."decodekit.adapters"]
nest = "owl.more:Nest"
loud_nest = "owl.more:LoudNest"
nest_by_position = "owl.more:NestByPosition"
"""
SAMPLER = 'hoot = "owl:Hoot"'


CODE = '''
"""An adapter, a processor with a name of decodekit's, and mistakes."""

import numpy as np
from decodekit import CHEAP, Choice, Distribution, Plugin
from decodekit.testing import NGramAdapter


class Nest(NGramAdapter):
    def __init__(self, *, text: str = "the owl sat in the oak. "):
        super().__init__(text * 3)


class LoudNest(Nest):
    def predict(self, prefixes, disclose=CHEAP):
        answers = super().predict(prefixes, disclose)
        return [Distribution.dense(np.exp(d.logprobs)) if isinstance(d, Distribution) else d for d in answers]


class NestByPosition(Nest):
    def __init__(self, text="the owl. "):
        super().__init__(text=text)


class SharpTopP(Plugin):
    top_p: float

    def __call__(self, dist, ctx):
        return dist.top(1)


def by_position(dist, ctx, by_position: float = 1.0):
    return dist.scaled(by_position)


class HalfAState:
    def initial(self, ctx):
        return 0

    def __call__(self, dist, ctx, state):
        return dist


class Forgets(HalfAState):
    def advance(self, state, choice, ctx):
        state += 1


class AbsentMinded(Forgets):
    def __call__(self, dist, ctx, randomness, state):
        return Choice(int(dist.mode), dist.logprob(int(dist.mode)))


def returns_nothing(dist, ctx):
    dist.scaled(2.0)


def no_e(dist, ctx):
    return dist.add(ctx.tokenizer.encode("e"), [-2.0])
'''


def night_owl(folder: Path) -> Path:
    """The project, rendered into a folder, with what is above added."""
    project = render(folder, ANSWERS)
    pyproject = project / "pyproject.toml"
    before, point, after = pyproject.read_text().partition('wide_eyed = "owl:WideEyed"')
    assert point and SAMPLER in after
    after = after.replace(SAMPLER, f'{SAMPLER}\nabsent_minded = "owl.more:AbsentMinded"')
    pyproject.write_text(before + point + POINTS + after)
    (project / "owl" / "more.py").write_text(CODE.lstrip())
    return project
