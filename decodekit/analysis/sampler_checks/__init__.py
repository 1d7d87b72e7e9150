"""Whether tokens were drawn from the laws that are stated for them."""

__all__: list[str] = []
