"""Generated Criteo rows: reproducible, skewed as measured, learnable."""

import numpy as np
import pytest

from criteo_files import assert_same
from models.data import criteo, criteo_fit, criteo_format, synthetic_criteo
from models.data.ranks import HEAD, PowerLaw, RankSampler, Shares
from models.data.synthetic_criteo import Generator, dataset

VALUE = (1 << criteo_format.FIELD_SHIFT) - 1


def auc(label, score):
    """Area under the ROC curve; scores without ties."""
    ranks = np.empty(len(score))
    ranks[np.argsort(score)] = np.arange(1, len(score) + 1)
    positive = label > 0
    p, n = positive.sum(), (~positive).sum()
    return (ranks[positive].sum() - p * (p + 1) / 2) / (p * n)


def arrays(ds):
    return [(f["dense"], f["ids"], label) for f, label in ds.as_numpy_iterator()]


def assert_same_batches(one, other):
    for a, b in zip(one, other, strict=True):
        assert_same(a, b)


def test_elements_are_those_of_the_reader(tmp_path):
    synthetic_criteo.write(tmp_path / "train.txt", 64)
    generated = dataset(32, 3)
    read = criteo.dataset(tmp_path / "train.txt", 32, drop_remainder=True)
    assert generated.element_spec == read.element_spec
    assert int(generated.cardinality()) == 3


def test_a_seed_is_bit_for_bit_the_same_and_steps_stand_alone():
    whole = arrays(dataset(64, 12, seed=5))
    assert_same_batches(whole, arrays(dataset(64, 12, seed=5)))
    assert_same_batches(whole[7:], arrays(dataset(64, 5, seed=5, first_step=7)))
    fresh = Generator(5).batch(7, 64)
    assert_same_batches([whole[7]], [(fresh.dense, fresh.ids, fresh.label)])
    assert (whole[0][1] != whole[1][1]).any()
    assert (whole[0][1] != arrays(dataset(64, 1, seed=6))[0][1]).any()


@pytest.mark.parametrize("rows, distinct, steps", [(128, 1_440, 100), (4_096, 23_400, 5)])
def test_batches_repeat_ids_as_real_ones_do(rows, distinct, steps):
    generator = Generator.of(1)
    counts = [len(np.unique(generator.batch(step, rows).ids)) for step in range(steps)]
    assert np.mean(counts) == pytest.approx(distinct, rel=0.1)


def test_ids_are_fields_of_the_published_cardinalities():
    ids = np.concatenate([Generator.of(1).batch(i, 4096).ids for i in range(10)])
    np.testing.assert_array_equal(ids >> criteo_format.FIELD_SHIFT, [range(1, 27)] * len(ids))
    assert (ids & VALUE).max() == criteo_format.MISSING_VALUE
    for field, count in enumerate(criteo.CARDINALITIES):
        distinct = len(np.unique(ids[:, field]))
        assert distinct <= count
        # All those that 3,998 real rows showed at least once are there.
        assert distinct >= len(criteo_fit.COUNTS.get(field + 1, ()))


def test_missing_values_and_the_most_frequent_have_their_shares():
    ids = np.concatenate([Generator.of(2).batch(i, 8192).ids for i in range(5)])
    missing = ((ids & VALUE) == criteo_format.MISSING_VALUE).mean(axis=0)
    tops = [np.unique(column, return_counts=True)[1].max() / len(ids) for column in ids.T]
    for name, (_, _, share) in criteo_fit.POWER_LAWS.items():
        # A rank is the missing token, so the share is met as nearly as ranks go.
        assert missing[name - 1] == pytest.approx(share, abs=0.008), f"C{name}"
    for name, counts in criteo_fit.COUNTS.items():
        at = criteo_fit.MISSING_COUNT.get(name)
        share = 0.0 if at is None else counts[at] / 3998
        assert missing[name - 1] == pytest.approx(share, abs=0.01), f"C{name}"
        assert tops[name - 1] == pytest.approx(counts[0] / 3998, abs=0.01), f"C{name}"
    # Measured shares of the most frequent token, missing or not.
    measured = {1: 0.5025, 3: 0.0608, 7: 0.014, 10: 0.2704, 19: 0.478, 25: 0.478, 26: 0.478}
    for name, share in measured.items():
        assert tops[name - 1] == pytest.approx(share, abs=0.01), f"C{name}"


def test_integers_have_the_measured_shares_and_moments():
    batch = Generator.of(3).batch(0, 40_000)
    for j, (missing, zero, mean, deviation) in enumerate(criteo_fit.INTEGERS):
        x = batch.integers[:, j]
        assert (x < 0).mean() == pytest.approx(missing, abs=0.01), f"I{j + 1}"
        assert (x[x >= 0] == 0).mean() == pytest.approx(zero, abs=0.015), f"I{j + 1}"
        log = np.log1p(x[x > 0])
        # Whole numbers from 1: small means rise, small values crowd together.
        assert log.mean() == pytest.approx(mean, abs=0.13), f"I{j + 1}"
        assert log.std() == pytest.approx(deviation, abs=0.25), f"I{j + 1}"
    assert batch.dense.dtype == np.float32 and batch.dense.min() == 0.0
    assert (batch.dense[batch.integers < 0] == 0.0).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_planted_model_can_be_learnt(seed):
    generator = Generator.of(seed)
    batch = generator.batch(0, 50_000)
    label = batch.label[:, 0]
    assert set(label) == {0.0, 1.0}
    assert label.mean() == pytest.approx(0.25, abs=0.015)
    assert 0.80 <= auc(label, generator.logit(batch)) <= 0.85
    # Another seed's model knows nothing about these labels.
    assert auc(label, Generator.of(seed + 1).logit(batch)) < 0.7


def test_written_rows_read_back_as_the_generated_ones(tmp_path):
    for name in ("train.txt", "train.txt.gz"):
        synthetic_criteo.write(tmp_path / name, 300, seed=9, batch_size=128)
        read = arrays(criteo.dataset(tmp_path / name, 128, max_malformed=0))
        generated = arrays(dataset(128, 3, seed=9))
        assert [len(label) for _, _, label in read] == [128, 128, 44]
        for (dense, ids, label), (dense2, ids2, label2) in zip(read, generated, strict=True):
            n = len(label)
            np.testing.assert_array_equal(ids, ids2[:n])
            np.testing.assert_array_equal(label, label2[:n])
            np.testing.assert_allclose(dense, dense2[:n], rtol=1e-6)


def test_scattering_is_one_to_one():
    for ranks in (np.arange(1, 100_001), np.arange(10_031_227, 10_131_228)):
        scattered = synthetic_criteo._scatter(np.repeat(ranks[:, None], 26, axis=1))
        assert scattered.min() >= 0 and scattered.max() < 1 << 32
        for column in scattered.T:
            assert len(np.unique(column)) == len(ranks)


@pytest.mark.parametrize("a", [0.95, 1.0, 1.05, 2.0])
@pytest.mark.parametrize("count", [HEAD, HEAD + 1, 20_000])
def test_ranks_invert_the_exact_distribution(a, count):
    q = 1.5
    exact = np.cumsum((np.arange(1, count + 1) + q) ** -a)
    exact /= exact[-1]
    # Just inside both ends of every rank, head and tail.
    ends = np.concatenate([[0.0], exact])
    inside = ends[:-1] + np.diff(ends) * 0.001, ends[1:] - np.diff(ends) * 0.001
    sampler = RankSampler([Shares((0.5, 0.5)), PowerLaw(count, a, q)])
    for uniform in inside:
        ranks = sampler(np.stack([np.zeros(count), uniform], axis=1))
        np.testing.assert_array_equal(ranks[:, 1], np.arange(1, count + 1))
        assert (ranks[:, 0] == 1).all()


def test_the_last_uniform_number_stays_in_its_field():
    laws = [Shares((0.25, 0.75)), PowerLaw(5, 1.1, 0.0), PowerLaw(10_131_227, 1.05, 0.458)]
    sampler = RankSampler([*laws, *laws])
    last = np.full((1, 6), np.nextafter(1.0, 0.0))
    np.testing.assert_array_equal(sampler(last), [[2, 5, 10_131_227] * 2])
    np.testing.assert_array_equal(sampler(np.zeros((1, 6))), [[1] * 6])


def test_numbers_out_of_range_are_refused(tmp_path):
    with pytest.raises(ValueError, match="batch_size is 0"):
        dataset(0, 1)
    with pytest.raises(ValueError, match="steps is -1"):
        dataset(1, -1)
    with pytest.raises(ValueError, match="first_step is -1"):
        dataset(1, 1, first_step=-1)
    with pytest.raises(ValueError, match="seed is -1"):
        dataset(1, 1, seed=-1)
    with pytest.raises(ValueError, match="rows is 0"):
        synthetic_criteo.write(tmp_path / "x", 0)
