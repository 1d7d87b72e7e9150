"""Sessions: an adapter, a chain and a seed, for applications."""

from decodekit.session.async_session import AsyncSession, AsyncSteps
from decodekit.session.progress import Progress
from decodekit.session.prompts import Prompt
from decodekit.session.result import Result
from decodekit.session.score import Ranked, Score
from decodekit.session.session import Session

__all__ = ["AsyncSession", "AsyncSteps", "Progress", "Prompt", "Ranked", "Result", "Score", "Session"]
