"""Sessions: an adapter, a chain and a seed, for applications."""

from decodekit.session.prompts import Prompt
from decodekit.session.result import Result
from decodekit.session.session import Session

__all__ = ["Prompt", "Result", "Session"]
