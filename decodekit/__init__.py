"""decodekit: decoding for language models, with the distribution and the draw kept apart.

An adapter answers with a next-token distribution; a chain of processors reshapes it; a sampler draws from it with noise
that is a pure function of seed, stream, step and token id. Each part is recorded, so every token can be explained,
verified without the model, and replayed.
"""

import typing as _typing

from decodekit.chain import Chain, Entry
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, CHEAP, Disclosure, Interval, Tail, Undisclosed
from decodekit.draw.attribution import was_drawn_with
from decodekit.draw.choice import Choice, Draw
from decodekit.draw.context import Context
from decodekit.draw.detection import Detection
from decodekit.draw.randomness import BoundRandomness, Randomness, derive
from decodekit.errors import (
    AdapterError,
    ConfigError,
    ContextOverflow,
    DecodekitError,
    DistributionError,
    EmptySupport,
    ModelNotFound,
    NotPicklable,
    OutOfMemory,
    Overloaded,
    ParameterError,
    PluginError,
    ProviderError,
    TraceError,
    UnknownPlugin,
)
from decodekit.model.adapter import Adapter, AdapterInfo, AsyncAdapter
from decodekit.model.prefix import Prefix
from decodekit.plugin import Plugin
from decodekit.plugin.protocols import Guesser, Processor, Sampler
from decodekit.plugin.registry import (
    PluginInfo,
    adapter,
    guesser,
    plugins,
    processor,
    register_adapter,
    register_processor,
    register_sampler,
    sampler,
    sink,
)
from decodekit.report.widget import widget
from decodekit.search import Validator, ValidSample, ValidSamples, asample_valid, sample_valid
from decodekit.session import AsyncSession, Progress, Ranked, Result, Score, Session
from decodekit.session.decoder import Decoder
from decodekit.session.door import aopen
from decodekit.session.door import open_session as open  # noqa: A004 - the short door
from decodekit.session.resuming import resume, resume_stream
from decodekit.session.stop import Stop
from decodekit.text.messages import messages
from decodekit.text.tokenizer import Tokenizer
from decodekit.text.tool_call import ToolCall
from decodekit.trace import Difference, ReplayReport, Trace, Verdict, diff, read_trace, recover, replay, verify
from decodekit.trace.sinks import Sink
from decodekit.trace.step import Step

__all__ = [
    "ALL",
    "CHEAP",
    "Adapter",
    "AdapterError",
    "AdapterInfo",
    "AsyncAdapter",
    "AsyncSession",
    "BoundRandomness",
    "Chain",
    "Choice",
    "ConfigError",
    "Context",
    "ContextOverflow",
    "DecodekitError",
    "Decoder",
    "Detection",
    "Difference",
    "Disclosure",
    "Distribution",
    "DistributionError",
    "Draw",
    "EmptySupport",
    "Entry",
    "Guesser",
    "Interval",
    "ModelNotFound",
    "NotPicklable",
    "OutOfMemory",
    "Overloaded",
    "ParameterError",
    "Plugin",
    "PluginError",
    "PluginInfo",
    "Prefix",
    "Processor",
    "Progress",
    "ProviderError",
    "Randomness",
    "Ranked",
    "ReplayReport",
    "Result",
    "Sampler",
    "Score",
    "Session",
    "Sink",
    "Step",
    "Stop",
    "Tail",
    "Tokenizer",
    "ToolCall",
    "Trace",
    "TraceError",
    "Undisclosed",
    "UnknownPlugin",
    "ValidSample",
    "ValidSamples",
    "Validator",
    "Verdict",
    "adapter",
    "aopen",
    "asample_valid",
    "derive",
    "diff",
    "guesser",
    "messages",
    "open",
    "plugins",
    "processor",
    "read_trace",
    "recover",
    "register_adapter",
    "register_processor",
    "register_sampler",
    "replay",
    "resume",
    "resume_stream",
    "sample_valid",
    "sampler",
    "sink",
    "verify",
    "was_drawn_with",
    "widget",
]

if _typing.TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """``__version__``, which is read from the installed package when it is asked for."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from decodekit.plugin.installed import our_version

        return our_version()
