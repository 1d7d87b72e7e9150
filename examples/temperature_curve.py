"""How probable two answers are at each temperature, exactly: one pass through the model, and no sample."""

from __future__ import annotations

import numpy as np

import decodekit
from decodekit.analysis import curves

PROMPT, ANSWERS = "The capital of France is", [" Paris", " a city"]

with decodekit.open("smollm2") as session:
    found = curves(session.adapter, PROMPT, ANSWERS, np.linspace(0.1, 4, 14))

print("   T ", *(f"{answer!r:>10}" for answer in ANSWERS), "  entropy after the prompt, nats")
for at, temperature in enumerate(found.temperatures):
    shares = (f"{100 * share:8.4f} %" for share in np.exp(found.logprobs[:, at]))
    print(f"{temperature:5.2f}", *shares, f"{found.entropy.values[0, at]:9.3f}")

for name, answer in zip(ANSWERS, range(2), strict=True):
    for crossing in found.below_chance(answer):
        what = "rises above" if crossing.rising else "falls below"
        print(f"{name!r} {what} chance between T = {crossing.low:.2f} and {crossing.high:.2f}")
