"""The Criteo reader: forms, values, malformed lines, parts of a file."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from criteo_files import (
    CHUNK,
    LOGGER,
    assert_same,
    cells,
    first_integers,
    read,
    write_csv,
    write_raw,
)
from models.data import criteo, criteo_format


def test_published_cardinalities_sum():
    assert len(criteo.CARDINALITIES) == 26
    assert sum(criteo.CARDINALITIES) == 33_762_577


def test_element_has_the_promised_shapes_and_types(tmp_path):
    file = write_raw(tmp_path / "train.txt", map(cells, range(10)))
    spec = criteo.dataset(file, 4).element_spec
    assert spec == (
        {
            "dense": tf.TensorSpec((None, 13), tf.float32),
            "ids": tf.TensorSpec((None, 26), tf.int64),
        },
        tf.TensorSpec((None, 1), tf.float32),
    )
    assert [label.shape for _, label in criteo.dataset(file, 4)] == [(4, 1), (4, 1), (2, 1)]
    full = criteo.dataset(file, 4, drop_remainder=True)
    assert [label.shape for _, label in full] == [(4, 1), (4, 1)]
    assert full.element_spec[1].shape == (4, 1)


def test_values_of_a_line(tmp_path):
    row = cells(1)
    row[1:4] = ["-3", "", "7.0"]
    row[14:17] = ["", "FFFFFFFF", "1f"]
    dense, ids, label = read(write_raw(tmp_path / "train.txt", [row]))
    np.testing.assert_allclose(dense[0, :4], [0.0, 0.0, np.log1p(7), np.log1p(16)], rtol=1e-6)
    assert ids[0, 0] == (1 << 40) | (1 << 32) == criteo.global_id(0, None)
    assert ids[0, 1] == (2 << 40) | 0xFFFFFFFF == criteo.global_id(1, 0xFFFFFFFF)
    assert ids[0, 2] == (3 << 40) | 0x1F
    assert ids[0, 25] == criteo.global_id(25, int(row[39], 16))
    assert label[0, 0] == 1.0


def test_raw_and_csv_read_the_same_and_gzip_too(tmp_path):
    rows = [cells(i) for i in range(CHUNK + 100)]
    for i, row in enumerate(rows):
        row[1 + i % 39] = ""
    raw = read(write_raw(tmp_path / "train.txt", rows))
    assert len(raw[0]) == CHUNK + 100
    assert_same(raw, read(write_csv(tmp_path / "train.csv", rows)))
    assert_same(raw, read(write_raw(tmp_path / "train.txt.gz", rows)))
    (tmp_path / "crlf.txt").write_bytes(
        (tmp_path / "train.txt").read_bytes().replace(b"\n", b"\r\n")
    )
    assert_same(raw, read(tmp_path / "crlf.txt"))


def test_files_of_both_forms_follow_one_another(tmp_path):
    write_raw(tmp_path / "part-1.txt", map(cells, range(1500)))
    write_csv(tmp_path / "part-2.csv", map(cells, range(1500, 1600)))
    write_raw(tmp_path / "part-3.txt.gz", map(cells, range(1600, 1610)))
    rows = read(str(tmp_path / "part-*"))
    assert first_integers(rows) == list(range(1610))
    assert_same(rows, read([tmp_path / f for f in ("part-1.txt", "part-2.csv", "part-3.txt.gz")]))


def test_stripped_ends_of_raw_lines_read_as_missing_and_are_told(tmp_path, caplog):
    rows = [cells(i) for i in range(4)]
    rows[1][38:] = ["", ""]
    rows[2][37:] = ["", "", ""]
    whole = read(write_raw(tmp_path / "whole.txt", rows))
    stripped = [[*"\t".join(row).rstrip("\t").split("\t")] for row in rows]
    assert [len(row) for row in stripped] == [40, 38, 37, 40]
    with caplog.at_level(logging.WARNING, LOGGER):
        assert_same(whole, read(write_raw(tmp_path / "stripped.txt", stripped)))
    assert "2 lines lack some of C24, C25, C26" in caplog.text


def test_every_pass_counts_for_itself(tmp_path):
    file = write_raw(tmp_path / "train.txt", [cells(0), ["garbage"], cells(2)])
    ds = criteo.dataset(file, 2, repeat=True, max_malformed=1)
    for _ in range(2):
        labels = [label.shape[0] for _, label in ds.take(5)]
        assert labels == [2] * 5


def test_repeat_crosses_the_end_without_a_short_batch(tmp_path):
    file = write_raw(tmp_path / "train.txt", map(cells, range(3)))
    batches = criteo.dataset(file, 2, repeat=True).take(3).as_numpy_iterator()
    got = [round(float(np.expm1(x)) / 13) for f, _ in batches for x in f["dense"][:, 0]]
    assert got == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("shuffle", [0, 8])
def test_repeat_over_nothing_is_an_error_and_does_not_spin(tmp_path, shuffle):
    file = write_raw(tmp_path / "train.txt", [["garbage", "\t"]])
    ds = criteo.dataset(file, 2, repeat=True, shuffle_buffer=shuffle)
    with pytest.raises(tf.errors.OpError, match="no row to repeat"):
        next(iter(ds))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_holdout_parts_are_disjoint_and_complete(tmp_path, share):
    n = 5000
    file = write_raw(tmp_path / "train.txt", map(cells, range(n)))
    train = first_integers(read(file, holdout=share))
    held = first_integers(read(file, holdout=share, held_out=True, batch_size=7))
    assert sorted(train + held) == list(range(n))
    assert abs(len(held) / n - share) < 0.03
    assert train == sorted(train) and held == sorted(held)
    # The same lines whatever else is asked for.
    shuffled = read(file, holdout=share, held_out=True, shuffle_buffer=100)
    assert sorted(first_integers(shuffled)) == held
    later = first_integers(read(file, holdout=share, held_out=True, skip=2000, take=1500))
    assert later == [i for i in held if 2000 <= i < 3500]


def test_skip_and_take_count_lines_over_all_files(tmp_path):
    write_raw(tmp_path / "a.txt", map(cells, range(1500)))
    write_csv(tmp_path / "b.csv", map(cells, range(1500, 3000)))
    files = [tmp_path / "a.txt", tmp_path / "b.csv"]
    assert first_integers(read(files, skip=1100, take=900)) == list(range(1100, 2000))
    assert first_integers(read(files, skip=2990)) == list(range(2990, 3000))
    assert first_integers(read(files, take=1)) == [0]


def test_parallel_parsing_keeps_order_every_time(tmp_path):
    file = write_raw(tmp_path / "train.txt", map(cells, range(20 * CHUNK)))
    one = read(file, batch_size=100)
    assert first_integers(one)[::997] == list(range(0, 20 * CHUNK, 997))
    assert_same(one, read(file, batch_size=4096))


def test_shuffling_is_a_permutation_set_by_its_seed(tmp_path):
    file = write_raw(tmp_path / "train.txt", map(cells, range(3000)))

    def order(seed):
        return first_integers(read(file, shuffle_buffer=500, seed=seed))

    assert sorted(order(1)) == list(range(3000))
    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1) != list(range(3000))


def test_rows_keep_their_own_label_and_ids_when_shuffled(tmp_path):
    file = write_raw(tmp_path / "train.txt", map(cells, range(300)))
    plain, mixed = read(file), read(file, shuffle_buffer=100)
    back = np.argsort(first_integers(mixed))
    assert_same(plain, [part[back] for part in mixed])


@pytest.mark.parametrize("value", ["0", "1"])
def test_labels_that_are_all_the_same_are_told(tmp_path, caplog, value):
    rows = [[value, *cells(i)[1:]] for i in range(100)]
    with caplog.at_level(logging.WARNING, LOGGER):
        read(write_raw(tmp_path / "train.txt", [*rows, cells(int(value == "0"))]))
        assert not caplog.records
        read(write_raw(tmp_path / "test.txt", rows))
        list(criteo.dataset(tmp_path / "test.txt", 10, labels=False))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1 and told[0].startswith(f"the label of all 100 rows is {value}")


def test_unlabelled_files_need_labels_false(tmp_path):
    rows = [cells(i) for i in range(5)]
    named = write_csv(tmp_path / "test.csv", rows, labels=False)
    raw = write_raw(tmp_path / "test.txt", [row[1:] for row in rows])
    for file in (named, raw):
        with pytest.raises(ValueError, match=f"{file.name} has no label column.*labels=False"):
            criteo.dataset(file, 2)
        features = list(criteo.dataset(file, 5, labels=False).as_numpy_iterator())
        labelled = read(write_raw(tmp_path / "train.txt", rows))
        assert_same((features[0]["dense"], features[0]["ids"]), labelled[:2])


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "is empty"),
        ("hello\n", "the first line is 'hello'; expected either TAB-separated"),
        ("1,2,3\n", "the first line is '1,2,3'; expected either TAB-separated"),
        (",".join(["Label", *criteo.FIELDS[:-1]]) + "\n", r"header lacks \['C26'\]"),
        (",".join(["Label", "I1", *criteo.FIELDS]) + "\n", r"repeats \['I1'\]"),
    ],
)
def test_a_file_that_is_not_criteo_is_refused_at_once(tmp_path, text, reason):
    file = tmp_path / "rows.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"rows.csv.*{reason}"):
        criteo.dataset(file, 2)


def test_absent_files_and_false_gzip_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.txt"):
        criteo.dataset(tmp_path / "none.txt", 2)
    with pytest.raises(FileNotFoundError, match="no file matches"):
        criteo.dataset(str(tmp_path / "*.txt"), 2)
    with pytest.raises(ValueError, match="no files were given"):
        criteo.dataset([], 2)
    (tmp_path / "a.gz").write_text("plain")
    with pytest.raises(ValueError, match="not gzip"):
        criteo.dataset(tmp_path / "a.gz", 2)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"shuffle_buffer": -1},
        {"skip": -1},
        {"take": 0},
        {"max_malformed": -1},
        {"holdout": 1.0},
        {"holdout": -0.1},
        {"held_out": True},
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options):
    file = write_raw(tmp_path / "train.txt", [cells(0)])
    name = next(iter(options))
    with pytest.raises(ValueError, match=f"^{name}"):
        criteo.dataset(file, **{"batch_size": 2, **options})


@pytest.mark.parametrize("field, value", [(26, 0), (-1, 0), (0, -1), (0, 1 << 32)])
def test_ids_outside_the_layout_are_refused(field, value):
    with pytest.raises(ValueError, match="expected"):
        criteo.global_id(field, value)


needs_data = pytest.mark.skipif(
    not os.environ.get("HET_TF_DATA"), reason="HET_TF_DATA does not name a data folder"
)


@needs_data
def test_real_rows_in_both_forms_are_the_same():
    folder = Path(os.environ["HET_TF_DATA"])
    raw = read(folder / "criteo_train_1k_raw.txt", max_malformed=0)
    named = read(folder / "criteo_kaggle2014_train.tiny.csv", max_malformed=0)
    assert len(raw[0]) == 1000 and len(named[0]) == 1999
    assert_same(raw, [part[:1000] for part in named])
    assert 0.1 < named[2].mean() < 0.4
    missing = (named[1] & ((1 << 40) - 1)) == criteo_format.MISSING_VALUE
    assert missing[:, 18:20].any() and not missing[:, 0].any()
    assert set((named[1] >> 40).max(axis=0)) == set(range(1, 27))


@needs_data
def test_real_test_rows_carry_placeholders_for_labels(caplog):
    file = Path(os.environ["HET_TF_DATA"]) / "criteo_kaggle2014_test.tiny.csv"
    with caplog.at_level(logging.WARNING, LOGGER):
        assert not read(file, max_malformed=0)[2].any()
    assert "the label of all 1999 rows is 0" in caplog.text
    ds = criteo.dataset(file, 128, labels=False, max_malformed=0)
    assert sum(len(features["ids"]) for features in ds) == 1999
