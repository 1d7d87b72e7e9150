"""Questions to a trace without the model: what another chain, temperature or seed would have drawn."""
