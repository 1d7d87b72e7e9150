"""Wrong ways to write a chain."""

from __future__ import annotations

CHAINS: dict[str, tuple[str, ...]] = {
    "a misspelt processor": ("Session(model, 'temperture=0.8')", "Session(model, 'temperature=0.8')"),
    "a colon": ("Session(model, 'temperature:0.8')", "Session(model, 'temperature=0.8')"),
    "a space in place of =": ("Session(model, 'temperature 0.8')", "Session(model, 'temperature=0.8')"),
    "spaces around =": ("Session(model, 'temperature = 0.8')", "Session(model, 'temperature=0.8')"),
    "commas between processors": ("Session(model, 'top_k=40, temperature=0.8')",
                                  "Session(model, 'top_k=40 temperature=0.8')"),
    "no value": ("Session(model, 'temperature=')",),
    "a word for a number": ("Session(model, 'temperature=hot')",),
    "a negative temperature": ("Session(model, 'temperature=-1')",),
    "per cent": ("Session(model, 'top_p=90')", "Session(model, 'top_p=0.9')"),
    "the name of another engine": ("Session(model, 'topk=40')", "Session(model, 'top_k=40')"),
    "a parameter that is missing": ("Session(model, 'top_k')", "Session(model, 'top_k=40')"),
    "a misspelt parameter": ("Session(model, 'top_p(top_p=0.9,minkeep=2)')",
                             "Session(model, 'top_p(top_p=0.9,min_keep=2)')"),
    "a bracket that is not closed": ("Session(model, 'top_p(top_p=0.9')", "Session(model, 'top_p(top_p=0.9)')"),
    "the sampler first": ("Session(model, 'greedy top_k=40')", "Session(model, 'top_k=40 greedy')"),
    "two samplers": ("Session(model, 'top_k=40 greedy multinomial')", "Session(model, 'top_k=40 multinomial')"),
    "a number": ("Session(model, 0.8)", "Session(model, 'temperature=0.8')"),
    "a dict of parameters": ("Session(model, {'temperature': 0.8})",
                             "Session(model, [processor('temperature', temperature=0.8)])"),
    "a dict in a list": ("Session(model, [{'temperature': 0.8}])",
                         "Session(model, [processor('temperature', temperature=0.8)])"),
    "a text in a list": ("Session(model, ['top_k=40'])", "Session(model, 'top_k=40')"),
    "a tuple in a list": ("Session(model, [('top_k', 40)])",),
    "a class in a list": ("Session(model, [Doubtful])", "Session(model, [Doubtful()])"),
    "data without a name": ("Chain.from_parts([{'top_k': 40}])", "Chain.from_parts([{'name': 'top_k', 'top_k': 40}])"),
    "an engine that has no preset": ("Chain.preset('olama')",),
    "a text for Chain": ("Chain('top_k=40')", "Chain.of('top_k=40')"),
    "a chain in a chain": ("Chain([Chain([])])",),
    "a sampler in the list": ("Chain([sampler('greedy')])", "Chain([], sampler('greedy'))"),
    "a misspelt sampler": ("Chain([], sampler='gredy')", "Chain([], sampler='greedy')"),
    "a processor as the sampler": ("Chain([], sampler='top_k')",),
    "a number as the sampler": ("Chain([], sampler=0)",),
    "a value without its name": ("processor('top_k', 40)", "processor('top_k', top_k=40)"),
    "a parameter of a short name": ("processor('top_k', k=40)", "processor('top_k', top_k=40)"),
    "nothing where a number is needed": ("processor('top_k')", "processor('top_k', top_k=40)"),
    "a sampler by the name of processors": ("processor('greedy')", "sampler('greedy')"),
    "a processor by the name of samplers": ("sampler('top_k', top_k=40)", "processor('top_k', top_k=40)"),
    "a bias of a word": ("processor('logit_bias', logit_bias={'x': 'high'})",),
    "a bias of a text in several tokens": (("session.generate('x', chain=[processor('logit_bias', "
                                           "logit_bias={' Paris': 5.0})])"),),
    "a bias of a negative id": ("processor('logit_bias', logit_bias={-1: 5.0})",),
    "a bias beyond the vocabulary": (("session.generate('x', chain=[processor('logit_bias', "
                                     "logit_bias={99_999: 5.0})])"),),
    "a bias of an empty text": ("session.generate('x', chain=[processor('logit_bias', logit_bias={'': 5.0})])",),
    "a bias in a list": ("processor('logit_bias', logit_bias=[3, 5.0])",),
    "a bias of text without a tokenizer": (("Session(bare, [processor('logit_bias', logit_bias={'x': 1.0})])"
                                           ".generate([1])"),
                                           ("Session(bare, [processor('logit_bias', logit_bias={3: 1.0})])"
                                           ".generate([1], max_tokens=1)")),
    "a bias of a text that is no token": (("smollm2.generate('x', chain=[processor('logit_bias', "
                                          "logit_bias={'Constantinople': 5.0})])"),),
    "the provider's draw for a model here": ("Session(model, 'temperature=0.8 provider').generate('x')",
                                             "Session(model, 'temperature=0.8').generate('x', max_tokens=1)"),
    "a chain that the provider has not": (("decodekit.open(server, 'mirostat=5 provider', dialect='openai_chat')"
                                          ".generate('x')"),
                                          ("decodekit.open(server, 'temperature=0.8 provider', dialect='openai_chat')"
                                          ".generate([{'role': 'user', 'content': 'x'}], max_tokens=1)")),
    "an order that the provider has not": (("decodekit.open(server, 'top_p=0.9 temperature=0.8 provider', "
                                           "dialect='openai_chat').generate([{'role': 'user', 'content': 'x'}])"),),
    "a ban that a provider cannot obey": (("decodekit.open(server, 'provider', dialect='openai_chat')"
                                          ".generate([{'role': 'user', 'content': 'x'}], ban=['bad'])"),),
}  # fmt: skip
