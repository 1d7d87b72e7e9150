"""Type aliases that every layer uses."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ids", "PathLike"]

PathLike = str | os.PathLike[str]
Ids = NDArray[np.int64]  # token ids
Floats = NDArray[np.float64]  # scores, probabilities
