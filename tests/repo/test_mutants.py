"""The mutants of `make mutations` still fit the code (running them takes minutes and is not part of the tests)."""

from __future__ import annotations

import sys

import pytest

from sources import ROOT

sys.path.insert(0, str(ROOT / "tools/check"))

from mutants import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_and_names_tests_that_exist(mutant):
    assert (ROOT / "kernels" / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.new != mutant.old
    for binary, _ in mutant.killers:
        assert (ROOT / "kernels" / f"{binary}.cc").exists()


def test_every_invariant_has_a_mutant():
    assert set("1234567") <= {char for mutant in MUTANTS for char in mutant.rule}
