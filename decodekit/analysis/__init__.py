"""Language models as distributions, measured: what people claim about them, computed with its error."""
