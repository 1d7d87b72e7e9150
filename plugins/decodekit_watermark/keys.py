"""The key of a watermark: where it comes from, and what is recorded in its place.

A configuration names the environment variable that holds the key; a program may give the key itself, wrapped in a
``pydantic.SecretStr``. Neither a record nor a message has the key: a commitment to it is there, by which a key that is
given later is recognised.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_serializer,
    field_validator,
)
from pydantic.config import JsonDict

from decodekit import ParameterError, Plugin

__all__ = ["Keyed"]

_VARIABLE = re.compile("[A-Z_][A-Z0-9_]{0,127}")
_COMMITMENT = re.compile("[0-9a-f]{32}")
_PERSON = b"decodekit-mark-1"
_MOST_NUMBERS = 64

_Key = Annotated[
    Literal["public"] | SecretStr | None,
    WithJsonSchema({"anyOf": [{"const": "public"}, {"type": "null"}]}),  # in data; in code a SecretStr too
    Field(
        repr=False,
        union_mode="left_to_right",
        description="in code a pydantic.SecretStr of the number; 'public' is a key that everybody knows, to try it out",
    ),
]
_Variable = Annotated[
    str | None,
    Field(description="the environment variable that holds the key"),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_VARIABLE.pattern}$"}, {"type": "null"}]}),
]
_Commitment = Annotated[
    str | None,
    Field(description="filled in and recorded; if it is given, the key must be the one it was made of"),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_COMMITMENT.pattern}$"}, {"type": "null"}]}),
]
_ONE_KEY: JsonDict = {
    "anyOf": [
        {"required": ["key"], "properties": {"key": {"const": "public"}, "key_env": {"type": "null"}}},
        {"required": ["key_env"], "properties": {"key_env": {"type": "string"}, "key": {"type": "null"}}},
    ]
}


class Keyed(Plugin):
    """A watermark with its key. Exactly one of ``key`` and ``key_env`` is given.

    Raises:
        ParameterError: no key, two keys, a key that is no number or another one than was committed to, or a variable
            that is not set. Neither the message nor the error holds the key.
    """

    model_config = ConfigDict(hide_input_in_errors=True, json_schema_extra={"allOf": [_ONE_KEY]})

    mark: ClassVar[str] = ""
    public: ClassVar[tuple[int, ...]] = (15_485_863,)
    smallest_key: ClassVar[int] = 0
    largest_key: ClassVar[int] = 2**64 - 1

    key: _Key = None
    key_env: _Variable = None
    commitment: _Commitment = None
    _numbers: tuple[int, ...] = PrivateAttr(default=())

    @property
    def secret(self) -> tuple[int, ...]:
        """The numbers of the key. Nothing writes them down."""
        return self._numbers

    @property
    def width(self) -> int:
        """How many token ids the mark of a token depends on, besides the key."""
        raise NotImplementedError

    @property
    def scheme_name(self) -> str:
        """The scheme with what else must be equal for a mark to be found."""
        return self.mark

    @field_validator("key", mode="before")
    @classmethod
    def _wrapped(cls, value: Any) -> Any:
        if value is None or value == "public" or isinstance(value, SecretStr):
            return value
        raise ParameterError(
            "never a plain number or text, which would stand in a configuration or a record: name the environment "
            "variable that holds it with key_env; in code, a SecretStr is taken, too"
        )

    @field_validator("key_env", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and _VARIABLE.fullmatch(value)):
            return value
        raise ParameterError(  # it may be the key itself by mistake, so it is not repeated
            "the name of an environment variable, in capitals; never the key itself"
        )

    @field_validator("commitment", mode="before")
    @classmethod
    def _committed(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and _COMMITMENT.fullmatch(value)):
            return value
        raise ParameterError("32 hexadecimal digits, as a record has them; never the key itself")

    @field_serializer("key", mode="wrap")
    def _unwritten(self, value: Any, handler: SerializerFunctionWrapHandler) -> str | None:
        return "public" if value == "public" else None

    def model_post_init(self, context: Any, /) -> None:
        self._numbers = self._read()
        commitment = self._commitment()
        if self.commitment not in (None, commitment):
            raise ParameterError("commitment: it was made of another key than the one that is given")
        self.__dict__["commitment"] = commitment  # the model is frozen for everybody else

    def _read(self) -> tuple[int, ...]:
        if self.key is not None and self.key_env is not None:
            raise ParameterError("key and key_env are both given; give one")
        if self.key == "public":
            return self.public
        if isinstance(self.key, SecretStr):
            return self._parsed(self.key.get_secret_value(), "key")
        if self.key_env is not None:
            text = os.environ.get(self.key_env, "").strip()
            if not text:
                raise ParameterError(f"key_env: the environment variable {self.key_env} is not set")
            return self._parsed(text, f"key_env: {self.key_env}")
        if self.commitment is not None:
            raise ParameterError(
                "only the commitment to its key is recorded, never the key; give the chain with its key"
            )
        raise ParameterError(
            "key_env is missing: the name of the environment variable that holds the key; in code also key, a SecretStr"
        )

    def _parsed(self, text: str, where: str) -> tuple[int, ...]:
        several = len(self.public) > 1
        try:
            numbers = tuple(int(part, 0) for part in text.split(","))
        except ValueError:
            numbers = ()
        most = _MOST_NUMBERS if several else 1
        within = all(self.smallest_key <= number <= self.largest_key for number in numbers)
        if not 1 <= len(numbers) <= most or not within:
            what = f"1 to {most} whole numbers with commas, each" if several else "a whole number"
            bound = f"2**{self.largest_key.bit_length()} - 1"
            raise ParameterError(f"{where}: {what} from {self.smallest_key} to {bound}, decimal or with 0x")
        return numbers

    def _commitment(self) -> str:
        facts = f"{self.scheme_name} {self.width} {','.join(map(str, self._numbers))}"
        return blake2b(facts.encode(), digest_size=16, person=_PERSON).hexdigest()
