"""The parts of a configuration as pydantic models, and what is built from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator

from decodekit.chain import Chain
from decodekit.chain.advice import advice
from decodekit.config.layers import Merged, Origins, where_written
from decodekit.config.objects import recorded, refuse_recorded_objects
from decodekit.draw.context import MOST_TOKENS
from decodekit.errors import ConfigError, message_of
from decodekit.log import get_logger
from decodekit.plugin import parameter_model, registry, validated

__all__ = ["AdapterPart", "Config", "NamedPart", "PresetPart", "SessionPart"]

_advised: set[str] = set()


class _Part(BaseModel):
    """A plugin by name. All other keys are the plugin's parameters, checked by the plugin's own model."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def parameters(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class AdapterPart(_Part):
    """The adapter, and its parameters."""

    type: str


class NamedPart(_Part):
    """A processor, a sampler or a guesser, and its parameters."""

    name: str


class PresetPart(BaseModel):
    """The chain of another engine: the engine's name, and settings in the engine's parameter names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    preset: str
    version: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


def _as_list(given: Any) -> Any:
    """One text as a list of one, and a tuple or a set as a list."""
    if isinstance(given, str):
        return [given]
    return list(given) if isinstance(given, Iterable) and not isinstance(given, Mapping | bytes) else given


_Text = Annotated[str, Field(min_length=1, max_length=100_000)]
_Texts = Annotated[
    list[_Text],
    BeforeValidator(_as_list, json_schema_input_type=Annotated[list[_Text], Field(max_length=10_000)] | _Text),
    Field(max_length=10_000),
]
_Ids = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**63)]],
    BeforeValidator(_as_list, json_schema_input_type=list[Annotated[int, Field(ge=0, lt=2**63)]]),
    Field(max_length=100_000),
]


class SessionPart(BaseModel):
    """The settings of a session, which are the defaults of its calls."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    seed: Annotated[int, Field(ge=0, lt=2**64)] | None = None
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 256
    on_undisclosed: Literal["error", "truncate"] = "error"
    top_logprobs: Annotated[int, Field(ge=0, le=1000)] = 5
    stop: _Texts = Field(default_factory=list)
    stop_ids: _Ids = Field(default_factory=list)
    ban: _Texts = Field(default_factory=list)
    deadline: Annotated[float, Field(ge=0)] | None = None


class Config(BaseModel):
    """A whole configuration, read and checked. A chain that names a preset is replaced by the preset's processors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    adapter: AdapterPart
    chain: list[NamedPart] = Field(default_factory=list, max_length=1000)
    sampler: NamedPart = NamedPart(name="multinomial")
    guesser: NamedPart | None = None
    session: SessionPart = SessionPart()
    _notes: tuple[str, ...] = PrivateAttr(default=())
    _merged: Merged = PrivateAttr(default=Merged({}, {}))

    @field_validator("sampler", "guesser", mode="before")
    @classmethod
    def _by_name_alone(cls, value: Any) -> Any:
        """``sampler = "greedy"`` is a part without parameters."""
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def of(cls, merged: Merged, notes: tuple[str, ...]) -> Self:
        """A configuration from its layers, with its notes. Raises pydantic's ``ValidationError``."""
        config = cls.model_validate(merged.data)
        config._notes, config._merged = notes, merged
        return config

    @property
    def notes(self) -> tuple[str, ...]:
        """Which settings the engine of a preset ignores; empty for a chain that is listed."""
        return self._notes

    @property
    def origins(self) -> Origins:
        """Where each value came from: the file, a profile or a variable of the environment; defaults are not here."""
        return self._merged.origins

    @contextmanager
    def _says_where(self, *tables: str) -> Iterator[None]:
        """An error in one of these tables says which profile or variable of the environment is in it."""
        try:
            yield
        except ConfigError as error:
            message = message_of(error)
            where = where_written(message, tables, self._merged)
            if not where:
                raise
            raise type(error)(message + where) from error

    def build_adapter(self) -> Any:
        """Build the adapter that the configuration names."""
        with self._says_where("adapter"):
            parameters = self.adapter.parameters()
            refuse_recorded_objects(parameters, f"adapter {self.adapter.type!r}")
            return registry.adapter(self.adapter.type, **parameters)

    def build_chain(self) -> Chain:
        """Build the chain, in the order of the list. Advice is logged as warnings, each message once per process."""
        parts = [{"name": part.name, **part.parameters()} for part in (*self.chain, self.sampler)]
        with self._says_where("chain", "sampler"):
            for part in parts:
                refuse_recorded_objects(part, f"{part['name']!r} of the chain", "chain")
            chain = Chain.from_parts(parts[:-1], parts[-1], self._notes)
        for item in advice(chain):
            if item.message not in _advised:
                _advised.add(item.message)
                get_logger().warning("chain advice", rule=item.rule, advice=item.message, source=item.source)
        return chain

    def build_guesser(self) -> Any:
        """Build the guesser; None where there is none."""
        if self.guesser is None:
            return None
        with self._says_where("guesser"):
            parameters = self.guesser.parameters()
            refuse_recorded_objects(parameters, f"guesser {self.guesser.name!r}", "guesser")
            return registry.guesser(self.guesser.name, **parameters)

    def check(self) -> None:
        """Check the parameters of every plugin, without building an adapter or a guesser.

        Raises:
            ConfigError: a plugin that is not installed, or a parameter that it does not have.
        """
        self.build_chain()
        for group, name, part in (
            ("adapters", self.adapter.type, self.adapter),
            ("guessers", None if self.guesser is None else self.guesser.name, self.guesser),
        ):
            if name is not None and part is not None:
                with self._says_where(group[:-1]):
                    target, _ = registry.load(group, name)
                    validated(parameter_model(target), part.parameters(), f"{group[:-1]} {name!r}")

    def session_options(self) -> dict[str, Any]:
        """The keyword arguments of `Session`."""
        return self.session.model_dump()

    def as_given(self) -> dict[str, Any]:
        """The resolved configuration, defaults included, with the Python objects that a dict may hold."""
        guesser = {} if self.guesser is None else {"guesser": {"name": self.guesser.name, **self.guesser.parameters()}}
        return {
            "adapter": {"type": self.adapter.type, **self.adapter.parameters()},
            "chain": [{"name": part.name, **part.parameters()} for part in self.chain],
            "sampler": {"name": self.sampler.name, **self.sampler.parameters()},
            **guesser,
            "session": self.session_options(),
        }

    def as_data(self) -> dict[str, Any]:
        """The same as JSON data for the record: a Python object is named only (`decodekit.config.objects`)."""
        data: dict[str, Any] = recorded(self.as_given())
        return data
