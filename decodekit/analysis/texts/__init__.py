"""The law of whole texts: listed, sampled, its entropy, its mode, and what a chain or a reward makes of it."""

__all__: list[str] = []
