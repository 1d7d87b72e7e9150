"""Many sequences in one llama.cpp batch, through ctypes and nothing else: one chain of C samplers, no records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class BareBatch:
    """A context of its own over the same model and settings.

    Args:
        parameters: of the context, as an adapter has them.
        chain: (name, value) of the samplers top_k, min_p and temperature, in order.
    """

    def __init__(self, parameters: Any, chain: Sequence[tuple[str, float]]) -> None:
        import llama_cpp as C  # noqa: N812 - it is the C library

        from decodekit.local.model_files import find_model

        self._C, self._chain, self._seed = C, chain, 0
        self._model = C.llama_model_load_from_file(str(find_model("smollm2")).encode(), C.llama_model_default_params())
        self._context = C.llama_init_from_model(self._model, parameters)
        self._rows = int(parameters.n_batch)
        self._batch = C.llama_batch_init(self._rows, 0, 1)

    def run(self, prompts: Sequence[Sequence[int]], copies: int, tokens: int) -> None:
        """Continue each prompt ``copies`` times; a prompt is evaluated once. No end of text ends a sequence."""
        C, context = self._C, self._context  # noqa: N806
        memory = C.llama_get_memory(context)
        C.llama_memory_clear(memory, True)
        self._seed += 1
        sampler = self._sampler()
        count = len(prompts) * copies
        last = [0] * count
        waiting = [
            (i * copies, at, token, at + 1 == len(p)) for i, p in enumerate(prompts) for at, token in enumerate(p)
        ]
        for low in range(0, len(waiting), self._rows):
            part = waiting[low : low + self._rows]
            self._decode(part)
            for row, (sequence, _, _, ends) in enumerate(part):
                if ends:
                    for copy in range(sequence, sequence + copies):
                        last[copy] = C.llama_sampler_sample(sampler, context, row)
        for sequence in range(count):
            if sequence % copies:
                C.llama_memory_seq_cp(memory, sequence - sequence % copies, sequence, -1, -1)
        lengths = [len(prompt) for prompt in prompts for _ in range(copies)]
        for step in range(tokens - 1):
            self._decode([(i, lengths[i] + step, last[i], True) for i in range(count)])
            last = [C.llama_sampler_sample(sampler, context, i) for i in range(count)]
        C.llama_sampler_free(sampler)

    def evaluate(self, texts: Sequence[Sequence[int]]) -> None:
        """Evaluate texts one after the other, with the logits of each token. Nobody reads them."""
        for text in texts:
            self._C.llama_memory_clear(self._C.llama_get_memory(self._context), True)
            for low in range(0, len(text), self._rows):
                self._decode([(0, at, token, True) for at, token in enumerate(text[low : low + self._rows], low)])

    def close(self) -> None:
        self._C.llama_batch_free(self._batch)
        self._C.llama_free(self._context)
        self._C.llama_model_free(self._model)

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """One forward pass of (sequence, position, token, whether its logits are wanted)."""
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, (sequence, position, token, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, wanted
            batch.seq_id[i][0] = sequence
        code = self._C.llama_decode(self._context, batch)
        assert code == 0, code

    def _sampler(self) -> Any:
        C = self._C  # noqa: N806
        made = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        for name, value in self._chain:
            match name:
                case "top_k":
                    part = C.llama_sampler_init_top_k(int(value))
                case "min_p":
                    part = C.llama_sampler_init_min_p(value, 1)
                case _:
                    part = C.llama_sampler_init_temp(value)
            C.llama_sampler_chain_add(made, part)
        C.llama_sampler_chain_add(made, C.llama_sampler_init_dist(self._seed))
        return made
