"""Given answers at many temperatures and under many chains, from one forced pass."""

__all__: list[str] = []
