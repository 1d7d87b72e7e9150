"""Guessers: what says which tokens may come next. One idea a file."""

from decodekit_guessers.draft import Draft
from decodekit_guessers.fixed import Fixed
from decodekit_guessers.prompt_lookup import PromptLookup

__all__ = ["Draft", "Fixed", "PromptLookup"]
