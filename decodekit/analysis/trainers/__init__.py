"""Samples in the forms that trainers read."""

__all__: list[str] = []
