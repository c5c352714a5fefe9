"""The published protocol on a few rows; no speed is asserted."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from benchmarks import protocol


def test_the_script_has_a_quick_mode_and_certifies_every_value(tmp_path, monkeypatch, capsys):
    out = tmp_path / "record.json"
    monkeypatch.setattr(sys, "argv", ["protocol", "--quick", "--threads", "1", "--out", str(out)])
    protocol.main()
    record = json.loads(out.read_text())
    assert record["benchmark"] == "protocol"
    assert record["certified"] == len(record["members"]) == 5
    C, reg = (np.array([about[name] for about in record["members"]]) for name in ("C", "reg"))
    np.testing.assert_allclose(C, [1e-6, 10**-3.25, 10**-0.5, 10**2.25, 1e5])
    np.testing.assert_allclose(2.0 * C * reg * record["n_train"], 1.0)
    assert abs(record["teacher_accuracy"] - 0.9) < 0.03
    scikit = record["scikit_learn"]
    assert scikit["extrapolated_from"] == 2
    assert all(-1e-6 <= found["gap"] <= 1e-3 for found in scikit["results"])
    seconds = [found["seconds"] for found in scikit["results"]]
    assert scikit["extrapolated_seconds"] == pytest.approx(2.5 * sum(seconds))
    assert record["grid_seconds"]["median"] < record["function_seconds"]["median"]
    assert "extrapolated from 2 of 5 values" in capsys.readouterr().err


def test_a_command_that_fails_is_said_so(tmp_path):
    with pytest.raises(SystemExit, match="linprobe sweep ended with code 2"):
        protocol.run_command(tmp_path / "none.npz", [1e-2, 1e-1], 1, tmp_path / "run")
