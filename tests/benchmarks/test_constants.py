"""The script that varies the constants of the exact methods."""

from __future__ import annotations

import importlib

import pytest
from benchmarks.constants import CONSTANTS, replaced, varied

from benchmarks import constants


def test_every_constant_that_is_varied_is_there_and_comes_back():
    for module, names in CONSTANTS.items():
        room = importlib.import_module(f"linprobe.optimizers.{module}")
        for name in names:
            before = getattr(room, name)
            for factor in (1 / 3, 3.0):
                with replaced(module, name, factor):
                    assert getattr(room, name) != before or before == 1
            assert getattr(room, name) is before


def test_shares_stay_shares_and_counts_stay_whole():
    assert varied(0.75, "FIRST_THRESHOLD", 3.0) == pytest.approx(1 - 0.25 / 3)
    assert varied(0.75, "FIRST_THRESHOLD", 1 / 3) == pytest.approx(0.25)
    assert varied(2, "QUICK_ATTEMPTS", 1 / 3) == 1
    assert varied({"a": 5.0}, "MAX_STALLED", 3.0) == {"a": 15.0}


def test_a_row_holds_the_passes_below_and_above_relative_to_those_with_the_constant(monkeypatch):
    few = {name: made for name, made in constants.problems(quick=True).items() if ", l2, " in name}
    monkeypatch.setattr(constants, "problems", lambda quick: few)
    (row,) = constants.measure(3.0, ["pairs.MEMORY"], quick=True)
    assert row["constant"] == "pairs.MEMORY"
    assert row["problems"] == 2
    assert 0.5 < row["above"]["ratio"] <= row["below"]["ratio"] < 2.0
    assert "pairs.MEMORY" in constants.shown([row])
