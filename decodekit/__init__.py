"""decodekit: decoding for language models, with the distribution and the draw kept apart.

An adapter answers with a next-token distribution; a chain of processors reshapes it; a sampler draws from it with noise
that is a pure function of seed, stream, step and token id. Each part is recorded, so every token can be explained,
verified without the model, and replayed.
"""

from decodekit.chain import Chain, Entry
from decodekit.context import Context
from decodekit.decoder import Decoder, Stop
from decodekit.disclosure import ALL, CHEAP, Disclosure, Interval, Tail
from decodekit.distribution import Distribution
from decodekit.errors import (
    AdapterError,
    ConfigError,
    ContextOverflow,
    DecodekitError,
    DistributionError,
    EmptySupport,
    ModelNotFound,
    OutOfMemory,
    ParameterError,
    PluginError,
    ProviderError,
    TraceError,
    Undisclosed,
    UnknownPlugin,
)
from decodekit.plugin import Plugin
from decodekit.prefix import Prefix
from decodekit.protocols import Adapter, AdapterInfo, AsyncAdapter, Processor, Sampler, Tokenizer
from decodekit.randomness import BoundRandomness, Randomness, derive
from decodekit.registry import PluginInfo, adapter, plugins, processor, register_processor, sampler
from decodekit.resuming import resume, resume_stream
from decodekit.samplers import Choice, Draw
from decodekit.session import Result, Session
from decodekit.step import Step
from decodekit.trace import ReplayReport, Trace, Verdict, read_trace, recover, replay, verify

__all__ = [
    "ALL",
    "CHEAP",
    "Adapter",
    "AdapterError",
    "AdapterInfo",
    "AsyncAdapter",
    "BoundRandomness",
    "Chain",
    "Choice",
    "ConfigError",
    "Context",
    "ContextOverflow",
    "DecodekitError",
    "Decoder",
    "Disclosure",
    "Distribution",
    "DistributionError",
    "Draw",
    "EmptySupport",
    "Entry",
    "Interval",
    "ModelNotFound",
    "OutOfMemory",
    "ParameterError",
    "Plugin",
    "PluginError",
    "PluginInfo",
    "Prefix",
    "Processor",
    "ProviderError",
    "Randomness",
    "ReplayReport",
    "Result",
    "Sampler",
    "Session",
    "Step",
    "Stop",
    "Tail",
    "Tokenizer",
    "Trace",
    "TraceError",
    "Undisclosed",
    "UnknownPlugin",
    "Verdict",
    "adapter",
    "derive",
    "plugins",
    "processor",
    "read_trace",
    "recover",
    "register_processor",
    "replay",
    "resume",
    "resume_stream",
    "sampler",
    "verify",
]
