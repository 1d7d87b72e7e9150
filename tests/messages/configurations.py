"""Wrong configurations, from a file and from the environment."""

from __future__ import annotations

CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "no adapter": ("configured('[session]\\nseed = 7')",),
    "an adapter without its type": ("configured('[adapter]\\nmodel = \"m\"')",),
    "a misspelt adapter": ("configured('[adapter]\\ntype = \"ngrm\"')",),
    "a misspelt table": ("configured(NGRAM + '[sesion]\\nseed = 7')", "configured(NGRAM + '[session]\\nseed = 7')"),
    "a misspelt setting": ("configured(NGRAM + '[session]\\nmax_token = 7')",
                           "configured(NGRAM + '[session]\\nmax_tokens = 7')"),
    "a seed in quotes": ("configured(NGRAM + '[session]\\nseed = \"7\"')", "configured(NGRAM + '[session]\\nseed = 7')"),
    "a setting of one adapter that it has not": ("configured(NGRAM + 'n_ctx = 4')",),
    "a chain in one table": ("configured(NGRAM + '[chain]\\ntop_p = 0.9')",
                             "configured(NGRAM + '[[chain]]\\nname = \"top_p\"\\ntop_p = 0.9')"),
    "a processor without a name": ("configured(NGRAM + '[[chain]]\\ntop_p = 0.9')",
                                   "configured(NGRAM + '[[chain]]\\nname = \"top_p\"\\ntop_p = 0.9')"),
    "a processor of the wrong value": ("configured(NGRAM + '[[chain]]\\nname = \"top_p\"\\ntop_p = 90')",),
    "a misspelt processor": ("configured(NGRAM + '[[chain]]\\nname = \"topp\"\\ntop_p = 0.9')",),
    "a sampler among the processors": ("configured(NGRAM + '[[chain]]\\nname = \"greedy\"')",
                                       "configured(NGRAM + '[sampler]\\nname = \"greedy\"')"),
    "two samplers": ("configured('chain = \"top_k=4 greedy\"\\nsampler = \"multinomial\"\\n' + NGRAM)",),
    "a setting outside its table": ("configured('seed = 7\\n' + NGRAM)",),
    "a word without quotes": ("configured('[adapter]\\ntype = ngram')", "configured(NGRAM)"),
    "a preset that is not there": ("configured(NGRAM + '[chain]\\npreset = \"vlm\"')",),
    "a preset's parameter that it has not": (("configured(NGRAM + '[chain]\\npreset = \"vllm\"\\n"
                                             "[chain.parameters]\\ntopk = 4')"),),
    "a misspelt profile": ("configured(NGRAM + '[profiles.dev.session]\\nseed = 1', profile='dve')",
                           "configured(NGRAM + '[profiles.dev.session]\\nseed = 1', profile='dev')"),
    "a profile where there is none": ("configured(NGRAM, profile='dev')",),
    "stop as a number": ("configured(NGRAM + '[session]\\nstop = 3')",),
    "an unknown table in the environment": ("configured(NGRAM, DECODEKIT__SESION__SEED='7')",
                                            "configured(NGRAM, DECODEKIT__SESSION__SEED='7')"),
    "an unknown setting in the environment": ("configured(NGRAM, DECODEKIT__SESSION__SEDE='7')",),
    "a word for a number in the environment": ("configured(NGRAM, DECODEKIT__SESSION__SEED='seven')",),
    "a wrong chain in the environment": ("configured(NGRAM, DECODEKIT__CHAIN='temperture=1')",),
    "a text for a configuration": ("Session.from_config('smollm2')", "decodekit.open('smollm2')"),
    "a number for a configuration": ("Session.from_config(7)",),
}  # fmt: skip
