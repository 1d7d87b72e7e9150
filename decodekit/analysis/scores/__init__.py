"""Given texts: how probable a model finds each token, and whether its probabilities are right."""

__all__: list[str] = []
