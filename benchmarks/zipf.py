"""Generated ids whose frequencies follow Zipf's law."""

from __future__ import annotations

import numpy as np

VOCABULARY = 1_000_000
SKEW = 1.05


class ZipfIds:
    """Ids in [0, VOCABULARY), drawn by rank ** -SKEW, the ranks dealt out to ids at random. Immutable."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        weights = np.arange(1, VOCABULARY + 1) ** -SKEW
        self._cumulative = np.cumsum(weights / weights.sum())
        self._cumulative[-1] = 1.0  # its sum is 1 but for rounding
        self._ids = np.random.default_rng(seed).permutation(VOCABULARY)

    def batch(self, number: int, size: int) -> np.ndarray:
        """int64 (size,), a function of the seed, the number and the size."""
        random = np.random.default_rng([self._seed, number, size])
        return self._ids[np.searchsorted(self._cumulative, random.random(size), side="right")].astype(np.int64)
