"""A chain on one line: ``temperature=0.8 top_p(top_p=0.95,min_keep=2) some_plugin``.

``name=value`` sets the plugin's main parameter, which has the plugin's own name; parentheses name any parameters; a
name alone takes the defaults. ``dist:name`` is the plugin of that distribution. A value is a TOML scalar, and a bare
word is a string. A sampler comes last: ``top_k=40 greedy``.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from decodekit.errors import ConfigError
from decodekit.plugin import registry
from decodekit.plugin.group import NAME as _NAME

__all__ = [
    "in_chain",
    "parse_chain",
    "parse_guesser",
    "parse_preset",
    "parse_sampler",
    "parse_setting",
    "parse_value",
    "read_chain",
]

_SPACE = re.compile(r"\s*")
_PLUGIN = re.compile(rf"(?:{_NAME.pattern}:)?{_NAME.pattern}")
_QUOTED = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_BARE = re.compile(r"[^\s(),='\"]+")


def read_chain(text: str, where: str = "chain") -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The processors of a chain as a config would list them, and its sampler; None where it names none.

    Args:
        text: the chain.
        where: where it was written, for the error.

    Raises:
        ConfigError: the position in the text, and what was expected there; or a sampler that is not the last.
    """
    parts = parse_chain(text, where)
    samplers = [place for place, part in enumerate(parts) if registry.is_sampler(part["name"])]
    if samplers and samplers != [len(parts) - 1]:
        name = parts[samplers[0]]["name"]
        raise ConfigError(f"{where}: {name!r} is a sampler; a chain has one, and it is written last")
    return (parts[:-1], parts[-1]) if samplers else (parts, None)


def parse_chain(text: str, flag: str = "--chain") -> list[dict[str, Any]]:
    """One table for each plugin of the text, in order.

    Args:
        text: the chain.
        flag: where it was written, for the error.

    Raises:
        ConfigError: the position in the text, and what was expected there.
    """
    reader, parts = _Reader(text, flag), list[dict[str, Any]]()
    reader.take(_SPACE)
    while not reader.done:
        if parts and not reader.starts(_PLUGIN):
            raise reader.after(parts[-1])
        parts.append(reader.part())
        if not reader.take(_SPACE) and not reader.done:
            raise reader.after(parts[-1])
    return parts


def in_chain(name: str, value: object = None, flag: str = "chain=") -> str:
    """Where a plugin belongs that was given as an option: ``"; it is a part of the chain: chain='top_k=40'"``.

    Empty for a name that no processor or sampler has.

    Args:
        name: of the option.
        value: what it was given.
        flag: how a chain is given there.
    """
    if name == "sampler" and isinstance(value, str):
        return f"; a sampler is the last part of the chain: {flag}'top_k=40 {value}'"
    if name == "preset" and isinstance(value, str):
        return f"; a preset is a chain: {flag}Chain.preset({value!r})"
    if not registry.is_part(name):
        return ""
    written = name
    if not registry.is_sampler(name):
        plain = isinstance(value, int | float | str) and not isinstance(value, bool)
        written = f"{name}={value}" if plain else f"{name}=..."
    return f"; it is a part of the chain: {flag}'{written}'"


def parse_sampler(text: str) -> dict[str, Any]:
    """A sampler, written as one processor of a chain.

    Raises:
        ConfigError: it cannot be read, or it is not one.
    """
    parts = parse_chain(text, "--sampler")
    if len(parts) != 1:
        raise ConfigError(f"--sampler takes one sampler, not {len(parts)}")
    return parts[0]


def parse_preset(text: str, flag: str = "--preset") -> tuple[str, str | None, dict[str, Any]]:
    """``llama.cpp temp=0.8 top_k=40``: the preset, the ``version`` if there is one, and its parameters.

    Raises:
        ConfigError: the position in the text, and what was expected there.
    """
    name, parameters = _named(text, flag, "a preset")
    version = parameters.pop("version", None)
    return name, None if version is None else str(version), parameters


def parse_guesser(text: str, flag: str = "--guesser") -> dict[str, Any] | None:
    """``prompt_lookup max_ngram=3`` as a config's [guesser]; None for ``none``.

    Raises:
        ConfigError: the position in the text, and what was expected there.
    """
    name, parameters = _named(text, flag, "a guesser")
    return None if name == "none" and not parameters else {"name": name, **parameters}


def _named(text: str, flag: str, what: str) -> tuple[str, dict[str, Any]]:
    """A name, and then key=value."""
    parts = parse_chain(text, flag)
    if not parts or len(parts[0]) > 1:
        raise ConfigError(f"{flag} takes the name of {what} and then key=value, not {text!r}")
    parameters: dict[str, Any] = {}
    for part in parts[1:]:
        key = part["name"]
        if set(part) != {"name", key} or key in parameters:
            raise ConfigError(f"{flag}: {key!r} is written once, as key=value")
        parameters[key] = part[key]
    return parts[0]["name"], parameters


def parse_setting(text: str, owner: str = "--set") -> tuple[str, Any]:
    """``key=value`` as a pair. The value is TOML; anything else is a string. ``owner`` is what takes it, for errors.

    Raises:
        ConfigError: there is no key, or a quote or bracket is not closed.
    """
    key, equals, value = text.partition("=")
    if not equals or not _NAME.fullmatch(key.strip()):
        raise ConfigError(f"{owner} takes key=value, not {text!r}")
    return key.strip(), parse_value(value.strip())


def parse_value(text: str) -> Any:
    """A TOML value, or the text itself where it is a bare word.

    Raises:
        ConfigError: it begins like a quoted string, an array or a table, but is not one.
    """
    try:  # inside an array, so that a comment or a second line cannot hide in the value
        read = tomllib.loads(f"value = [{text}]")
    except (ValueError, RecursionError):
        read = {}
    values = read.get("value", [])
    if len(read) == 1 and len(values) == 1 and not text.endswith(","):
        return values[0] if isinstance(values[0], bool | int | float | str | list | dict) else text
    if text[:1] in ('"', "'", "[", "{"):
        raise ConfigError(f"{text!r} is not a TOML value")
    return text


class _Reader:
    def __init__(self, text: str, flag: str) -> None:
        self._text = text
        self._flag = flag
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._text)

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        found = match.group() if match else ""
        self._at += len(found)
        return found

    def char(self, wanted: str) -> bool:
        found = self._text.startswith(wanted, self._at)
        self._at += found
        return found

    def error(self, expected: str, at: int | None = None) -> ConfigError:
        where = self._at if at is None else at
        rest = self._text[where : where + 20]
        found = repr(rest) if rest else "its end"
        return ConfigError(f"{self._flag}, column {where + 1}: expected {expected}, found {found}")

    def starts(self, pattern: re.Pattern[str]) -> bool:
        return pattern.match(self._text, self._at) is not None

    def after(self, part: dict[str, Any]) -> ConfigError:
        """The error of what cannot follow this part, with what may have been meant."""
        rest = self._text[self._at :]
        value = re.match(r"[:=]?\s*([-+.\d]\S*)", rest)
        if len(part) == 1 and value is not None:
            return self.error(f"{part['name']}={value[1]}, without a space")
        space = "a space, and no comma, before the next one" if rest.startswith(",") else "a space before the next one"
        return self.error(space if not self._text[self._at - 1].isspace() else "a name")

    def part(self) -> dict[str, Any]:
        """``name``, ``name=value`` or ``name(key=value, ...)``."""
        name = self.name("a name", _PLUGIN)
        part: dict[str, Any] = {"name": name}
        if self.char("="):
            self.put(part, name.rpartition(":")[2], self._at - 1)
        elif self.char("("):
            self.take(_SPACE)
            while not self.char(")"):
                at = self._at
                key = self.name("the name of a parameter, or ')'")
                self.take(_SPACE)
                if not self.char("="):
                    raise self.error(f"'=' after {key!r}")
                self.take(_SPACE)
                self.put(part, key, at)
                self.take(_SPACE)
                if self.char(","):
                    self.take(_SPACE)
                elif not self._text.startswith(")", self._at):
                    raise self.error("',' or ')'")
        return part

    def name(self, expected: str, pattern: re.Pattern[str] = _NAME) -> str:
        name = self.take(pattern)
        if not name:
            raise self.error(expected)
        return name

    def put(self, part: dict[str, Any], key: str, at: int) -> None:
        if key in part:
            raise self.error("each parameter once, and none called 'name'", at)
        start = self._at
        if self._text[start : start + 1] in ("{", "["):
            raise self.error("a number, true, false or text; lists and tables go into a config file", start)
        written = self.take(_QUOTED) or self.take(_BARE)
        if not written:
            raise self.error(f"a value for {key!r}")
        try:
            value = parse_value(written)
        except ConfigError:
            raise self.error("a TOML string", start) from None
        part[key] = value
