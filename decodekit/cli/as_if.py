"""The flags that ask about another chain or seed, shared by ``explain`` and ``replay``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from decodekit.errors import ConfigError
from decodekit.plugin.one_line import read_chain

if TYPE_CHECKING:
    from decodekit.chain import Chain
    from decodekit.trace import Trace

__all__ = ["AsIfFlag", "ChainFlag", "OtherSeedFlag", "asked_about"]

AsIfFlag = Annotated[
    str | None,
    typer.Option(
        "--as-if", metavar="TEXT", help="Which token with other parameters? 'temperature=1.2'; the rest as recorded."
    ),
]
ChainFlag = Annotated[
    str | None,
    typer.Option("--chain", metavar="TEXT", help="Which token with this chain in its place?"),
]
OtherSeedFlag = Annotated[int | None, typer.Option("--seed", help="Which token with this seed?")]


def asked_about(trace: Trace, as_if: str | None, chain: str | None) -> Chain | None:
    """The chain that the flags ask about; None for the recorded one.

    Raises:
        ConfigError: both flags, or a text that cannot be read.
        ParameterError: a part that the recorded chain does not have.
    """
    from decodekit.chain import Chain
    from decodekit.trace.rebuild import chain_of
    from decodekit.trace.what_if.counterfactual import chain_as_if

    if as_if is not None and chain is not None:
        raise ConfigError("--as-if changes parts of the recorded chain, --chain gives a whole one; give only one")
    if chain is not None:
        return Chain.from_parts(*read_chain(chain, "--chain"))
    if as_if is None:
        return None
    parts, sampler = read_chain(as_if, "--as-if")
    return chain_as_if(chain_of(trace), parts, sampler)
