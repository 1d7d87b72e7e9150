"""Numbers and their errors: means, ratios, weights, intervals, sums."""

__all__: list[str] = []
