"""The command of lm-evaluation-harness, which knows the model ``decodekit`` here."""

from lm_eval.__main__ import cli_evaluate

from decodekit_lm_eval import DecodekitLM

__all__ = ["DecodekitLM"]

if __name__ == "__main__":
    cli_evaluate()
