"""Many samples of many prompts with several chains, checked and kept."""

__all__: list[str] = []
