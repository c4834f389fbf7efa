"""Skewed ranks for many fields at once, by inverse distribution function.

A `RankSampler` is immutable after construction and draws nothing itself: the
caller gives uniform numbers, so sampling is a pure function and may run on any
thread. A field of ten million ranks costs as much memory as one of a thousand:
the first `HEAD` ranks have an exact table; beyond them the sum of the power law
is its integral to a relative 1e-7 (midpoint rule), which is inverted in closed
form.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

HEAD = 1024


@dataclass(frozen=True)
class PowerLaw:
    """p(rank) proportional to (rank + q) ** -a over ranks 1..count, q > -1."""

    count: int
    a: float
    q: float

    def head(self) -> np.ndarray:
        """Weights, not normalised, of the first ranks."""
        return (np.arange(1, min(self.count, HEAD) + 1) + self.q) ** -self.a

    def tail(self) -> float:
        """The weight of all other ranks."""
        if self.count <= HEAD:
            return 0.0
        return float(_integral(self.count + 0.5 + self.q, self.a) - self.tail_start())

    def tail_start(self) -> float:
        return float(_integral(HEAD + 0.5 + self.q, self.a))


@dataclass(frozen=True)
class Shares:
    """Explicit probabilities of ranks 1, 2, ... (at most HEAD of them)."""

    shares: tuple[float, ...]

    @property
    def count(self) -> int:
        return len(self.shares)


def _integral(x, a):
    """Antiderivative of x ** -a."""
    return np.log(x) if a == 1.0 else x ** (1.0 - a) / (1.0 - a)


def _table(law: PowerLaw | Shares) -> tuple[np.ndarray, tuple[float, ...]]:
    """Distribution function over the head, and what inverts the tail:

    (where in [0, 1] it begins, weight of everything, integral where it begins,
    1 - a, q). A law without a tail begins it at 2: never.
    """
    if isinstance(law, Shares):
        return np.cumsum(law.shares) / sum(law.shares), (2.0, 0.0, 0.0, 1.0, 0.0)
    head, tail = law.head(), law.tail()
    total = float(head.sum()) + tail
    begin = float(head.sum()) / total if tail else 2.0
    return np.cumsum(head) / total, (begin, total, law.tail_start(), 1.0 - law.a, law.q)


class RankSampler:
    """Turns uniform numbers into ranks, one column per field."""

    def __init__(self, laws: Sequence[PowerLaw | Shares]):
        self._fields = np.arange(len(laws))
        self._count = np.array([law.count for law in laws])
        tables, tails = [], []
        for f, law in enumerate(laws):
            table, tail = _table(law)
            # Fields lie one after the other in one table: f + u finds its rank.
            tables.append(f + table)
            tails.append(tail)
        self._table = np.concatenate(tables)
        self._first = np.cumsum([0, *map(len, tables[:-1])])
        self._tail = np.array(tails).T

    def __call__(self, uniform: np.ndarray) -> np.ndarray:
        """Ranks from 1, int64 (n, fields), for uniform [0, 1) (n, fields)."""
        at = np.searchsorted(self._table, uniform + self._fields, side="right")
        # f + u may round up to f + 1, one past the field's table.
        ranks = np.minimum(at - self._first + 1, self._count)
        rows, fields = np.nonzero(uniform >= self._tail[0])
        if rows.size:
            ranks[rows, fields] = self._tail_ranks(uniform[rows, fields], fields)
        return ranks

    def _tail_ranks(self, uniform, fields):
        begin, total, start, power, q = self._tail[:, fields]
        integral = start + (uniform - begin) * total
        logarithmic = power == 0.0
        power = np.where(logarithmic, 1.0, power)
        x = np.where(
            logarithmic,
            np.exp(np.where(logarithmic, integral, 0.0)),
            np.where(logarithmic, 1.0, integral * power) ** (1.0 / power),
        )
        return np.clip(np.floor(x - q + 0.5), HEAD + 1, self._count[fields]).astype(np.int64)
