"""The race on many classes, on a few rows: data, constants, verdicts, and the record; no speed is asserted."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from benchmarks.many_classes import OWN, RACING, Readings, child, losses_of, problem_from, race_all, table_rows
from benchmarks.solvers import OURS, SOLVERS

from benchmarks import made, many_classes
from linprobe.engines.base import Precision
from linprobe.optimizers import Exact


@pytest.fixture
def task(tmp_path):
    """What a process of its own is given, for 400 rows of the spectrum."""
    X, y = made.by_lot(400, 16, 5)
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    task = {"rows": str(tmp_path / "rows.npz"), "data": "spectrum", "loss": "softmax", "reg": 1e-2}
    return task | {"threads": 1, "budget": 3.0}


def test_a_record_has_ours_to_the_proof_and_peers_to_the_same_suboptimality(task):
    problem = problem_from(*(task[name] for name in ("rows", "data", "loss", "reg")))
    names = [OURS, "linprobe newton", "scikit-learn lbfgs", "LIBLINEAR one-vs-rest"]
    record = json.loads(json.dumps(race_all(problem, names, task, 2, child)))
    assert record["skipped"] == {"LIBLINEAR one-vs-rest": "it has no softmax"}
    ours, newton, lbfgs = record["results"]
    for about in record["results"]:
        assert about["targets"]["0.0001"]["seconds"]["median"] > 0.0
        assert -1e-9 <= about["best_gap"] <= 1e-4
    for about in (ours, newton):
        assert about["certified"]["status"] == "CERTIFIED"
        assert about["certified"]["readings"] >= about["certified"]["passes"] - 1.0
        assert about["certified"]["lower_bound"] <= record["lower_bound"]
    assert "times_ours" not in ours
    assert not lbfgs["times_ours"]["at_least"]
    assert record["pass_seconds"] > 0.0
    rows = table_rows(record)
    assert [row[0] for row in rows] == [OURS, "  to the proof", "linprobe newton", "  to the proof", lbfgs["solver"]]


def test_a_peer_that_is_faster_is_named():
    peer = {"solver": "a peer", "times_ours": {"at_least": False, "to_proof": 0.5, "to_target": 0.9}}
    slow = {"solver": "another", "times_ours": {"at_least": True, "to_proof": 0.5, "to_target": 0.5}}
    about = {"problem": "spectrum", "results": [{"solver": OURS}, peer, slow]}
    assert losses_of(about) == ["spectrum: a peer is 2.00 times as fast to our proof, and to the same weights"]


def test_readings_are_those_of_the_engine_and_the_engine_is_left_as_it_was(task):
    problem = problem_from(*(task[name] for name in ("rows", "data", "loss", "reg")))
    objective, readings = problem.objective(1), Readings()
    methods = dict(vars(type(objective.engine)))
    W, b = np.ones((5, 16)), np.zeros(5)
    with readings.counting():
        objective.data_gradient(W, b)
        assert readings.count == 1.0
        objective.engine.scores(W, b, np.arange(100))
        assert readings.count == 1.25
        objective.data_gradients(np.stack([W, W]), np.stack([b, b]), precision=Precision.SINGLE)
        assert readings.count == 2.25
    assert dict(vars(type(objective.engine))) == methods


def test_the_problem_is_minimised_as_pixels_and_features_are(tmp_path):
    X, y = made.shifted_digits(300)
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    problem = problem_from(tmp_path / "rows.npz", "digits", "softmax", 1e-2)
    assert problem.affine is not None
    np.testing.assert_allclose(problem.floats(np.float64).mean(axis=0), 0.0, atol=1e-9)
    assert Exact().minimize(problem.objective(1)).status.name == "CERTIFIED"
    np.savez(tmp_path / "rows.npz", X=X.astype(np.float32), y=y)
    deviation = problem_from(tmp_path / "rows.npz", "hog", "softmax", 1e-2).floats(np.float64).std(axis=0)
    np.testing.assert_allclose(deviation[X.std(axis=0) > 0], 1.0, atol=1e-6)


def test_the_script_has_a_quick_mode(tmp_path, monkeypatch, capsys):
    out = tmp_path / "record.json"
    words = ["--quick", "--data", "spectrum", "hog", "--solvers", "scikit-learn lbfgs float32", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["many", *words, "--archive", str(tmp_path / "none.zip"), "--out", str(out)])
    many_classes.main()
    record = json.loads(out.read_text())
    assert record["benchmark"] == "many_classes"
    assert "none.zip is not there" in record["left_out"]["hog"]
    (about,) = record["problems"]
    assert [found["solver"] for found in about["results"]] == [OURS, "scikit-learn lbfgs float32"]
    assert "to the proof" in capsys.readouterr().err


def test_without_the_archive_the_record_says_so(tmp_path, monkeypatch):
    out = tmp_path / "record.json"
    words = ["--data", "clustered", "--archive", str(tmp_path / "none.zip"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["many", *words])
    many_classes.main()
    assert "none.zip is not there" in json.loads(out.read_text())["skipped"]


def test_all_that_race_are_there():
    assert set(RACING) <= set(SOLVERS)
    assert OURS in OWN
