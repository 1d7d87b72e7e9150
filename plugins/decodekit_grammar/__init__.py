"""Constraints: JSON Schemas, grammars, regexes and choices as masks, on llguidance."""

try:
    import llguidance as _llguidance  # noqa: F401
except ImportError as error:
    raise ImportError(f"constraints need llguidance: pip install 'decodekit[grammar]' ({error})") from error

from decodekit_grammar.constraint import Constraint
from decodekit_grammar.json_schema import Json, JsonSchema
from decodekit_grammar.texts import Choice, Lark, Regex
from decodekit_grammar.tools import Tools

__all__ = ["Choice", "Constraint", "Json", "JsonSchema", "Lark", "Regex", "Tools"]
