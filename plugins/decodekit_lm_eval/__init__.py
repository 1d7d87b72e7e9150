"""decodekit's adapters as a model of EleutherAI's lm-evaluation-harness, ``decodekit``. Extra: ``lm-eval``.

Importing this package registers it: ``simple_evaluate(model="decodekit", model_args={"model": "smollm2"}, tasks=...)``;
``python -m decodekit_lm_eval run --model decodekit ...`` is the harness's own command with the model known.
"""

from decodekit_lm_eval.model import DecodekitLM

__all__ = ["DecodekitLM"]
