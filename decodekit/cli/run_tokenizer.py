"""The tokenizer of a recorded run, from the model that the flags name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from decodekit.cli.adapter_choice import AdapterChoice

if TYPE_CHECKING:
    from decodekit.text.tokenizer import Tokenizer
    from decodekit.trace import Trace

__all__ = ["tokenizer_of"]


@contextmanager
def tokenizer_of(chosen: AdapterChoice, trace: Trace) -> Iterator[Tokenizer | None]:
    """The tokenizer of the model that the flags name, open for as long as it is used; None where they name none.

    Raises:
        ParameterError: it is not that of the run.
    """
    from decodekit.model.asking import blocking
    from decodekit.trace.verifying import same_tokenizer

    built = chosen.build()
    if built is None:
        yield None
        return
    live = blocking(built)
    try:
        yield None if live.tokenizer is None else same_tokenizer(trace, live.tokenizer)
    finally:
        live.close()
