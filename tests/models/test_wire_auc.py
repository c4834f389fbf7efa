"""Results that are kept belong to their data and staleness, and a format too far from float32 is a failure."""

import json

from models import wire_auc

FORMATS = ("float32", *wire_auc.TOLERANCE)


def test_only_results_of_the_same_data_and_staleness_are_used(tmp_path):
    file = tmp_path / "r"
    one = {"data": "criteo", "staleness": 100, "wire": "int8", "seed": 3, "auc": 0.7}
    none: dict[str, dict[int, float]] = {wire: {} for wire in FORMATS}
    lines = [one, {**one, "data": "frappe", "seed": 4}, {**one, "staleness": 0, "seed": 5}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert wire_auc.read(file, wire_auc.Data.criteo, 100) == {**none, "int8": {3: 0.7}}
    assert wire_auc.read(tmp_path / "none", wire_auc.Data.criteo, 100) == none


def rows(**difference):
    seeds = {0: 0.7, 1: 0.8}
    return wire_auc.summary(
        {wire: {seed: auc + difference.get(wire, 0) for seed, auc in seeds.items()} for wire in FORMATS}
    )


def test_what_is_too_far_from_float32_is_named():
    assert wire_auc.too_far(rows(bfloat16=0.0004, float16=-0.0004, int8=-0.0009)) == []
    (said,) = wire_auc.too_far(rows(bfloat16=-0.0006))
    assert said == "bfloat16 is -0.00060 from float32, expected at most 0.0005"
    (said,) = wire_auc.too_far(rows(int8=0.0011))
    assert said.startswith("int8 is +0.00110")
