"""Results that are kept belong to their settings, and a system too far from Keras is a failure."""

import json

import pytest

from models import frappe_auc

SETTINGS = {"batch": 512, "epochs": 5, "learning_rate": 0.5, "share": 0.1}


def write(file, **changed):
    one = {"system": "keras", "workers": 1, "seed": 3, "auc": 0.9, **SETTINGS, **changed}
    file.write_text(json.dumps(one) + "\n")
    return file


def test_results_of_the_same_settings_are_kept(tmp_path):
    assert frappe_auc.read(write(tmp_path / "r"), SETTINGS) == {("keras", 1): {3: 0.9}}
    assert frappe_auc.read(tmp_path / "none", SETTINGS) == {}


@pytest.mark.parametrize("changed", [{"batch": 64}, {"epochs": 1}, {"learning_rate": 0.1}, {"share": None}])
def test_results_of_other_settings_are_refused(tmp_path, changed):
    with pytest.raises(SystemExit, match="line 1 of .* was made with"):
        frappe_auc.read(write(tmp_path / "r", **changed), SETTINGS)


def rows(**difference):
    auc = {system: {0: 0.9, 1: 0.91} for system in frappe_auc.SYSTEMS}
    for name, by in difference.items():
        auc[name[1:], 2] = {0: 0.9 + by, 1: 0.91 + by}
    return frappe_auc.summary(auc)


def test_what_is_too_far_from_keras_is_named():
    assert frappe_auc.too_far(rows(s0=0.0009, s100=-0.0019, sinf=0.1)) == []
    (said,) = frappe_auc.too_far(rows(s0=-0.0011))
    assert said.startswith("s = 0 with 2 worker(s) is -0.00110 from Keras")
    (said,) = frappe_auc.too_far(rows(s100=0.0021))
    assert said.startswith("s = 100 with 2")
