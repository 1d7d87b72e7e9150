"""How byte-level vocabularies write bytes: the alphabet of GPT-2 (Radford et al. 2019)."""

from __future__ import annotations

__all__ = ["BYTES"]


def _alphabet() -> dict[str, int]:
    """Printable bytes are written as themselves, the others as U+0100 and up, in order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(moved)}


BYTES = _alphabet()
"""From a character to its byte."""
