"""Wrong plugins and adapters, as their authors first write them."""

from __future__ import annotations

PLUGINS: dict[str, tuple[str, ...]] = {
    "a name that is ours": ("decodekit.register_processor('top_k')(lambda dist, ctx: dist)",
                            "decodekit.register_processor('my_top_k')(lambda dist, ctx: dist)"),
    "no name and no function": ("decodekit.register_processor(3)",),
    "a lambda without a name": ("decodekit.register_processor(lambda dist, ctx: dist)",
                                "decodekit.register_processor('mine')(lambda dist, ctx: dist)"),
    "a parameter that is not keyword-only": ("""
@decodekit.register_processor('half')
def half(dist, ctx, share=0.5):
    return dist
processor('half', share=0.3)
""", """
@decodekit.register_processor('half')
def half(dist, ctx, *, share=0.5):
    return dist
processor('half', share=0.3)
"""),
    "one argument": ("""
@decodekit.register_processor('alone')
def alone(dist):
    return dist
processor('alone')
""",),
    "a forgotten return": ("session.generate('x', chain=[forgetful])",),
    "an array returned": ("session.generate('x', chain=[lambda dist, ctx: dist.scores])",),
    "every token removed": ("session.generate('x', chain=[lambda dist, ctx: dist.keep([])])",),
    "an error of its own": ("session.generate('x', chain=[failing])",),
    "a state without advance": ("session.generate('x', chain=[StartsOnly()])",),
    "an unknown token asked for": ("session.generate('x', chain=[lambda dist, ctx: dist.add([9999], [1.0])])",),
    "a sampler that returns an id": ("session.generate('x', chain=Chain([], sampler=lambda dist, ctx, random: 3))",),
    "an adapter without an answer": ("Session(Silent()).generate([1])",),
    "an adapter that answers too little": ("Session(Short()).generate([1])",),
    "an adapter without info": ("decodekit.open(Nameless())",),
    "a distribution of NaN": ("decodekit.Distribution.dense(np.array([1.0, np.nan]))",),
    "a distribution of nothing": ("decodekit.Distribution.dense(np.array([]))",),
    "a distribution of a table": ("decodekit.Distribution.dense(np.zeros((2, 3)))",),
    "a head of different lengths": ("decodekit.Distribution.head([1, 2], [-0.5], 9)",),
    "a head of more than all": ("decodekit.Distribution.head([1, 2], [-0.1, -0.1], 9)",),
    "a table model without its row": ("Session(TableAdapter({(2,): [0.0, 1.0]}, 2)).generate([1])",),
    "a guesser without guess": ("session.generate('x', guesser=3)",),
    "a processor that needs logits": ("Session(hidden, 'top_n_sigma=1').generate([1])",),
    "a chain that needs more than is shown": ("Session(hidden, 'top_p=0.999').generate([1], seed=1)",),
}  # fmt: skip
