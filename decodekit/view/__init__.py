"""What a screen says of a record: the story of a step, and that of a run."""

from decodekit.view.run_story import run_story
from decodekit.view.story import story_of

__all__ = ["run_story", "story_of"]
