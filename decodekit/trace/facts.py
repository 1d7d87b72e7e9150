"""What a run started from, in a sentence for each thing."""

from __future__ import annotations

from collections.abc import Iterable

from decodekit.plugin import registry
from decodekit.trace.header import Header
from decodekit.trace.stages import main_parameter

__all__ = ["chain_line", "facts_of", "sampler_of"]


def facts_of(header: Header) -> Iterable[tuple[str, str]]:
    """(name, sentence) of the model, the chain, the seed and what else was set. The texts are not made safe."""
    adapter = header.adapter
    model = str(adapter.get("model") or adapter.get("name") or "not recorded")
    yield "model", model
    if adapter.get("model_fingerprint"):
        yield "fingerprint", str(adapter["model_fingerprint"])
    yield "chain", chain_line(header)
    yield "seed", str(header.seed)
    yield "level", header.level
    limit = header.stop.get("max_tokens")
    if limit is not None:
        yield "limit", f"{limit} tokens"
    if header.stop.get("strings"):
        yield "stop", ", ".join(map(repr, header.stop["strings"]))
    if header.stop.get("ban"):
        yield "banned", ", ".join(map(repr, header.stop["ban"]))
    yield "versions", ", ".join(f"{name} {version}" for name, version in header.versions.items())


def chain_line(header: Header) -> str:
    """The chain of a run on one line: ``temperature=0.8 top_p=0.9 multinomial``."""
    processors = header.chain.get("processors", [])
    shown = [(registry.shown_name("processors", part) or "?", main_parameter(part)) for part in processors]
    written = [f"{name}={value}" if value else str(name) for name, value in shown]
    return " ".join([*written, sampler_of(header)])


def sampler_of(header: Header) -> str:
    """The sampler's name, as `registry.shown_name`; '' where none is recorded."""
    return registry.shown_name("samplers", header.chain.get("sampler", {}))
