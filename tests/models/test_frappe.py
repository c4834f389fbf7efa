"""Frappe rows: the form of the file, the split."""

import os

import numpy as np
import pytest

from models.data import frappe

FIELDS = np.array([f"field{i}" for i in range(10)])


def arrays(rows=105, **changes):
    rng = np.random.default_rng(3)
    form = {
        "ids": rng.integers(0, 5382, (rows, 10)).astype(np.uint16),
        "label": rng.integers(0, 2, rows).astype(np.int8),
        "fields": FIELDS,
    }
    form["ids"][:, 0] = np.arange(rows)  # tells rows apart
    return {**form, **changes}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / frappe.FILE
    np.savez(path, **arrays())
    return path


def test_load_takes_a_file_a_folder_or_the_variable(file, monkeypatch):
    monkeypatch.setenv("HET_TF_DATA", str(file.parent))
    for rows in (frappe.load(file), frappe.load(file.parent), frappe.load()):
        assert rows.ids.dtype == np.int64 and rows.ids.shape == (105, 10)
        assert rows.label.dtype == np.float32 and rows.label.shape == (105, 1)
        assert rows.fields == tuple(FIELDS)
        np.testing.assert_array_equal(rows.ids, arrays()["ids"])
        np.testing.assert_array_equal(rows.label[:, 0], arrays()["label"])


def test_split_is_eight_one_one_disjoint_and_set_by_its_seed(file):
    rows = frappe.load(file)
    parts = rows.split(7)
    assert [len(part) for part in parts] == [85, 10, 10]
    assert sorted(np.concatenate([part.ids[:, 0] for part in parts])) == list(range(105))
    for part in parts:
        np.testing.assert_array_equal(part.ids, rows.ids[part.ids[:, 0]])
        np.testing.assert_array_equal(part.label, rows.label[part.ids[:, 0]])
    for one, again, other in zip(parts, rows.split(7), rows.split(8), strict=True):
        np.testing.assert_array_equal(one.ids, again.ids)
        assert (one.ids != other.ids).any()


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"ids": np.zeros((105, 10))}, "ids are float64"),
        ({"ids": np.zeros(105, np.int64)}, r"ids are int64 \(105,\)"),
        ({"ids": np.zeros((0, 10), np.int64)}, r"ids are int64 \(0, 10\)"),
        ({"label": np.zeros(104, np.int8)}, r"label has shape \(104,\)"),
        ({"label": np.full(105, 2)}, r"expected \(105,\) of 0 or 1"),
        ({"fields": FIELDS[:9]}, "9 field names for 10 columns"),
    ],
)
def test_another_form_is_refused(tmp_path, changes, reason):
    np.savez(tmp_path / "x.npz", **arrays(**changes))
    with pytest.raises(ValueError, match=f"x.npz.*{reason}"):
        frappe.load(tmp_path / "x.npz")


def test_absent_and_foreign_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("HET_TF_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="HET_TF_DATA is not set"):
        frappe.load()
    with pytest.raises(FileNotFoundError, match=frappe.FILE):
        frappe.load(tmp_path)
    (tmp_path / "x.npz").write_text("plain")
    with pytest.raises(ValueError, match="not an .npz"):
        frappe.load(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", ids=arrays()["ids"])
    with pytest.raises(ValueError, match=r"lacks \['fields', 'label'\]"):
        frappe.load(tmp_path / "y.npz")


@pytest.mark.skipif(
    not os.environ.get("HET_TF_DATA"), reason="HET_TF_DATA does not name a data folder"
)
def test_the_real_log_has_two_negatives_for_each_positive():
    rows = frappe.load()
    assert rows.ids.shape == (288_585, 10)
    assert rows.label.sum() == 96_195
    assert rows.ids.min() >= 0 and rows.ids.max() <= 5381
    assert rows.fields[0] == "user"
    assert [len(part) for part in rows.split(0)] == [230_869, 28_858, 28_858]
