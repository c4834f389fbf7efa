"""Generated Criteo rows with the real cardinalities, skew and a planted model.

Elements and ids are those of `criteo.py`. Categorical values follow the laws of
`criteo_fit.py`, their ranks scattered over the 32-bit values by a bijection, so
ids look like real ones (no order, no gaps to rely on). Integers are rounded
exp-normals with the observed shares of missing and zero values. Labels come
from a logistic model whose weight of every id is a hash of (seed, id): nothing
is stored for 33.8 M ids, and AUC can be learnt. The model is scaled per seed to
a positive rate of about 0.25 and a Bayes AUC of about 0.82.

Step i of a stream is a pure function of (seed, batch size, i): any step can be
made anywhere, in any order, bit for bit. `seed` also is the planted model, so
held-out rows are later steps of the same seed:

    train = dataset(4096, 1000, seed=1)
    test = dataset(4096, 50, seed=1, first_step=1000)

Immutable after construction; thread-safe.
"""

import functools
import gzip
import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models.data import criteo_fit as fit
from models.data.criteo_format import CARDINALITIES, DENSE_FIELDS, FIELD_SHIFT, MISSING_VALUE
from models.data.ranks import PowerLaw, RankSampler, Shares

_POSITIVE_RATE = 0.25
_LOGIT_DEVIATION = 1.6  # makes the Bayes AUC
_CALIBRATION_ROWS = 1 << 15
_DENSE = len(DENSE_FIELDS)
_FIELDS = np.arange(len(CARDINALITIES))

_ROWS, _CALIBRATION = 0, 1  # what a random stream is for


class Batch(NamedTuple):
    """Rows as numpy arrays; integers are raw, -1 is missing."""

    integers: np.ndarray  # int64 (n, 13)
    ids: np.ndarray  # int64 (n, 26)
    label: np.ndarray  # float32 (n, 1)

    @property
    def dense(self) -> np.ndarray:
        """float32 (n, 13): log1p, missing as 0."""
        return np.log1p(np.maximum(self.integers, 0).astype(np.float32))


def dataset(batch_size: int, steps: int, *, seed: int = 0, first_step: int = 0) -> tf.data.Dataset:
    """`steps` batches of a seed's stream, from `first_step` on.

    Elements: ({"dense": float32 (batch_size, 13), "ids": int64 (batch_size, 26)},
    label float32 (batch_size, 1)).
    """
    for name, number, least in (
        ("batch_size", batch_size, 1), ("steps", steps, 0), ("first_step", first_step, 0),
    ):  # fmt: skip
        if number < least:
            raise ValueError(f"{name} is {number}; expected at least {least}")
    rows = Generator.of(seed)

    def make(step):
        batch = rows.batch(int(step), batch_size)
        return batch.dense, batch.ids, batch.label

    def element(step):
        types = (tf.float32, tf.int64, tf.float32)
        dense, ids, label = tf.numpy_function(make, [step], types, stateful=False)
        features = {
            "dense": tf.ensure_shape(dense, (batch_size, _DENSE)),
            "ids": tf.ensure_shape(ids, (batch_size, len(_FIELDS))),
        }
        return features, tf.ensure_shape(label, (batch_size, 1))

    ds = tf.data.Dataset.range(first_step, first_step + steps)
    ds = ds.map(element, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return ds.prefetch(tf.data.AUTOTUNE)


def write(file: str | os.PathLike[str], rows: int, seed: int = 0, batch_size: int = 4096) -> None:
    """Writes raw Criteo lines: the first `rows` rows of `dataset(batch_size, ..., seed=seed)`.

    `.gz` at the end of the name makes it gzip.
    """
    if rows < 1:
        raise ValueError(f"rows is {rows}; expected at least 1")
    name = os.fspath(file)
    made = Generator.of(seed)
    with gzip.open(name, "wt") if name.endswith(".gz") else open(name, "w") as out:
        for step in range(-(-rows // batch_size)):
            batch = made.batch(step, batch_size)
            values = batch.ids & ((1 << FIELD_SHIFT) - 1)
            left = min(batch_size, rows - step * batch_size)
            for label, integers, value in zip(
                batch.label[:left, 0], batch.integers[:left].tolist(), values[:left].tolist(),
                strict=True,
            ):  # fmt: skip
                cells = [str(int(label))]
                cells += ["" if x < 0 else str(x) for x in integers]
                cells += ["" if x == MISSING_VALUE else f"{x:08x}" for x in value]
                out.write("\t".join(cells) + "\n")


class Generator:
    """The rows and the planted model of one seed."""

    @staticmethod
    @functools.lru_cache(maxsize=8)
    def of(seed: int) -> "Generator":
        """The generator of a seed, made once (it takes a moment to scale)."""
        return Generator(seed)

    def __init__(self, seed: int):
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected at least 0")
        self._seed = seed
        laws = [_law(field) for field in range(len(CARDINALITIES))]
        self._ranks = RankSampler(laws)
        self._missing_rank = np.array([_missing_rank(f, law) for f, law in enumerate(laws)])
        self._key = mix64(np.array([seed], np.uint64) ^ np.uint64(0x9E3779B97F4A7C15))
        # A field's weights are the smaller the more values it has: what can be
        # learnt lies where rows repeat, as it does in real logs.
        self._field_scale = (1.0 / (1.0 + np.log10(CARDINALITIES))).astype(np.float32)
        stream = np.random.default_rng([seed, _CALIBRATION])
        self._dense_weight = stream.normal(0.0, 0.1, _DENSE).astype(np.float32)
        self._scale, self._offset = 1.0, 0.0
        integers, ids = self._features(stream, _CALIBRATION_ROWS)
        score = self.logit(Batch(integers, ids, np.empty(0)))
        # Rounded, so that another machine's last bit does not show.
        self._scale = round(_LOGIT_DEVIATION / float(score.std()), 4)
        self._offset = round(_offset(score * self._scale, _POSITIVE_RATE), 4)

    def batch(self, step: int, batch_size: int) -> Batch:
        """Rows of one step, a pure function of (seed, step, batch_size)."""
        stream = np.random.default_rng([self._seed, _ROWS, batch_size, step])
        integers, ids = self._features(stream, batch_size)
        unlabelled = Batch(integers, ids, np.empty(0))
        chance = 1.0 / (1.0 + np.exp(-self.logit(unlabelled)))
        label = stream.random(batch_size) < chance
        return Batch(integers, ids, label.astype(np.float32)[:, None])

    def logit(self, batch: Batch) -> np.ndarray:
        """The planted model's logit, float64 (n,)."""
        weights = _hashed_normal(batch.ids, self._key) * self._field_scale
        score = weights.sum(axis=1, dtype=np.float64) + batch.dense @ self._dense_weight
        return score * self._scale + self._offset

    def _features(self, stream: np.random.Generator, rows: int):
        return _integers(stream, rows), self._ids(stream, rows)

    def _ids(self, stream, rows):
        ranks = self._ranks(stream.random((rows, len(_FIELDS))))
        ids = _scatter(ranks)
        ids[ranks == self._missing_rank] = MISSING_VALUE
        ids |= (_FIELDS + 1) << FIELD_SHIFT
        return ids


def _law(field: int) -> PowerLaw | Shares:
    """The distribution of categorical field 0..25."""
    count = CARDINALITIES[field]
    counts = fit.COUNTS.get(field + 1)
    if counts is None:
        a, q, _ = fit.POWER_LAWS[field + 1]
        return PowerLaw(count, a, q)
    # Values not in the sample together weigh what its single ones do
    # (Good and Turing), or half a row where it has none.
    unseen = count - len(counts)
    shares = [*counts, *[max(0.5, counts.count(1)) / unseen] * unseen] if unseen else list(counts)
    return Shares(tuple(s / sum(shares) for s in shares))


def _missing_rank(field: int, law: PowerLaw | Shares) -> int:
    """The rank that is the missing token of field 0..25, 0 if none is."""
    if isinstance(law, Shares):
        return fit.MISSING_COUNT.get(field + 1, -1) + 1
    share = fit.POWER_LAWS[field + 1][2]
    if not share:
        return 0
    head = law.head()
    return int(np.argmin(np.abs(head / (head.sum() + law.tail()) - share))) + 1


def _integers(stream, rows):
    missing, zero, mean, deviation = np.array(fit.INTEGERS).T
    log = stream.standard_normal((rows, _DENSE)) * deviation + mean
    x = np.maximum(np.rint(np.expm1(np.minimum(log, 20.0))), 1.0).astype(np.int64)
    # One uniform number decides: missing, zero or positive.
    u = stream.random((rows, _DENSE))
    x[u < missing + (1.0 - missing) * zero] = 0
    x[u < missing] = -1
    return x


def _scatter(ranks):
    """Ranks to 32-bit values, one to one within a field (murmur3's finalizer)."""
    x = (ranks + (_FIELDS << 27)).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return x.astype(np.int64)


def mix64(x):
    """splitmix64's finalizer."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _hashed_normal(ids, key):
    """About normal (0, 1), float32, a function of id and key alone.

    The sum of four 16-bit uniform numbers: within +-3.5, deviation 1.
    """
    parts = mix64(ids.astype(np.uint64) ^ key).view(np.uint16)
    total = parts.reshape(*ids.shape, 4).sum(axis=-1, dtype=np.int32)
    return (total - 2 * 65535).astype(np.float32) * np.float32(3.0**0.5 / 65536)


def _offset(logits, rate):
    """What to add to `logits` for a mean chance of `rate`."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if np.mean(1.0 / (1.0 + np.exp(-(logits + middle)))) < rate:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
