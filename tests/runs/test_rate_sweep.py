"""Sweeps over learning rates: cells in the run folder, the winner refitted, a stopped sweep resumed bit-identically."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from linprobe import LinearClassifier
from linprobe.classifiers.model_file import load_model
from linprobe.classifiers.rate_selection import sweep_rates
from linprobe.data.base import open_dataset
from linprobe.data.splits import split_dataset
from linprobe.errors import ParameterError, RunError
from linprobe.optimizers.base import Status
from linprobe.runs.folder import RunFolder
from linprobe.runs.records import SweepSettings, as_json
from linprobe.runs.sweep import resume_sweep, sweep
from linprobe.runs.train import Interrupted

REGS = (1e-3, 1e-2)


def settings(**changes):
    options = {"learning_rates": (0.01, 0.1), "schedules": ("cosine",), "updates": ("momentum",), "halving": False}
    classifier = {"optimizer": "sgd", "epochs": 4, **changes.pop("classifier", {})}
    return SweepSettings("digits", changes.pop("regs", REGS), classifier, **{**options, **changes})


def figures(metrics):
    """The metrics without what another run may not repeat."""
    record = as_json(metrics)
    for row in record["grid"]:
        row.pop("certificates")  # they hold seconds
    return {name: value for name, value in record.items() if name not in ("run", "seconds")}


def test_the_cells_are_those_of_sweep_rates_and_the_winner_is_refitted_and_tested(tmp_path):
    result = sweep(settings(updates=("momentum", "plain")), out=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(as_json(result.metrics)))
    assert RunFolder.open(result.path).metrics() == result.metrics
    assert RunFolder.open(result.path).settings().request.rate_grid.regs == REGS
    parts = split_dataset(open_dataset("digits"), validation=0.1)
    train, held, test = parts.train, parts.validation, parts.test
    rows = train.X[train.rows], train.y, held.X[held.rows], held.y
    sgd = LinearClassifier(optimizer="sgd", epochs=4, random_state=0)
    choice = sweep_rates(sgd, *rows, learning_rates=(0.01, 0.1), regs=REGS, updates=("momentum", "plain"))
    assert [row.validation_accuracy for row in result.metrics.cells] == [one.accuracy for one in choice.scores]
    assert [row.objective for row in result.metrics.cells] == [one.objective for one in choice.scores]
    assert [row.above_optimum for row in result.metrics.cells] == pytest.approx(list(choice.above_optimum), rel=1e-3)
    chosen = result.metrics.chosen_cell
    assert [row.chosen for row in result.metrics.cells].index(True) == choice.best
    assert result.metrics.validation_accuracy == chosen.validation_accuracy
    assert [row.reg for row in result.metrics.grid] == list(REGS)  # their optima
    assert all(row.solved for row in result.metrics.grid)
    # fitted to the images held out as well, as a plain training is
    both = np.union1d(train.rows, held.rows)
    y = np.zeros(len(train.X), np.int64)
    y[train.rows], y[held.rows] = train.y, held.y
    plain = sgd.set_params(**choice.best_cell.parameters).fit(train.X[both], y[both])
    model = load_model(tmp_path / "run")
    assert np.array_equal(model.weights_, plain.weights_)
    assert metrics["test_accuracy"] == plain.score(test.X[test.rows], test.y)
    assert metrics["n_train"] == len(both)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        [f"cell-{i}.json" for i in range(1, 9)] + ["metrics.json", "model.safetensors", "part-1.json", "settings.json"]
    )


def test_runs_that_diverge_are_rows(tmp_path):
    result = sweep(settings(learning_rates=(0.05, 1e9), regs=(1e-3,)), out=tmp_path / "run")
    good, bad = result.metrics.cells
    assert (good.status, good.chosen, good.epochs) == (Status.COMPLETED, True, 4)
    assert (bad.status, bad.chosen) == (Status.DIVERGED, False)
    assert (bad.validation_accuracy, bad.validation_loss, bad.objective, bad.above_optimum) == (None, None, None, None)
    with pytest.raises(ParameterError, match="all 2 runs diverged; give lower learning rates"):
        sweep(settings(learning_rates=(1e8, 1e9), regs=(1e-3,)), out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("halving", [False, True])
@pytest.mark.parametrize("stop_at", [1, 3, 6])
def test_a_sweep_that_was_stopped_goes_on_to_the_same_bits(tmp_path, halving, stop_at):
    wanted = settings(halving=halving, learning_rates=(0.01, 0.05, 0.1, 1e9))
    whole = sweep(wanted, out=tmp_path / "whole")
    began = []

    def press(progress):
        if progress.epoch.epoch == progress.until or progress.cell.learning_rate == 1e9:
            began.append(progress.number)
            if len(began) == stop_at:
                raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"stopped after \d+( of 8)? runs of SGD; resume with: linprobe sweep"):
        sweep(wanted, out=tmp_path / "run", training=press)
    assert not (tmp_path / "run" / "metrics.json").exists()
    parts = []
    resumed = resume_sweep(tmp_path / "run", n_threads=1, solving=lambda part, progress: parts.append(part))
    assert parts == []  # the optima were there
    model = "model.safetensors"
    assert (tmp_path / "run" / model).read_bytes() == (tmp_path / "whole" / model).read_bytes()
    assert figures(resumed.metrics) == figures(whole.metrics)
    assert list((tmp_path / "run").glob("cell-*.safetensors")) == []
    with pytest.raises(RunError, match="this sweep is finished"):
        resume_sweep(tmp_path / "run")


def test_a_state_that_was_written_before_its_scores_is_continued(tmp_path, monkeypatch):
    wanted = settings(halving=True, learning_rates=(0.01, 0.05, 0.1, 0.2), regs=(1e-3,))
    whole = sweep(wanted, out=tmp_path / "whole")
    write, killed = RunFolder.write_cell, []

    def kill(self, number, record, state):
        if len(record.rungs) == 2 and not killed:  # the first run that is continued
            before = (self.path / f"cell-{number}.json").read_bytes()
            write(self, number, record, state)
            (self.path / f"cell-{number}.json").write_bytes(before)
            killed.append(number)
            raise KeyboardInterrupt
        write(self, number, record, state)

    monkeypatch.setattr(RunFolder, "write_cell", kill)
    with pytest.raises(Interrupted):
        sweep(wanted, out=tmp_path / "run")
    resumed = resume_sweep(tmp_path / "run")
    assert killed
    assert figures(resumed.metrics) == figures(whole.metrics)


def test_a_val_folder_is_used_as_it_is(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for name, n in (("train", 60), ("val", 20), ("test", 20)):
        y = np.arange(n) % 2
        X = random.normal(size=(n, 3)).astype(np.float32) + 2.0 * y[:, None]
        np.savez(tmp_path / "data" / f"{name}.npz", X=X, y=y)
    wanted = SweepSettings(
        str(tmp_path / "data"),
        (1e-3,),
        {"optimizer": "sgd", "epochs": 3},
        learning_rates=(0.01, 0.1),
        schedules=("step",),
        updates=("adam",),
    )
    result = sweep(wanted, out=tmp_path / "run")
    assert (result.metrics.n_train, result.metrics.n_validation, result.metrics.n_test) == (60, 20, 20)
    assert result.classifier.history_[-1]["objective"] == result.metrics.chosen_cell.objective


def test_without_a_penalty_there_are_no_optima(tmp_path):
    result = sweep(settings(classifier={"penalty": "none"}, regs=(1e-3,)), out=tmp_path / "run")
    assert RunFolder.open(result.path).metrics() == result.metrics
    assert result.metrics.grid == ()
    assert result.metrics.swept
    assert [row.above_optimum for row in result.metrics.cells] == [None, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rungs": []}, None),
        (
            {"rungs": [{"epochs": 3, "status": "completed", "seconds": 0, "accuracy": 0.5}]},
            "expected completed after 4",
        ),
        ({"rungs": [{"epochs": 4, "status": "stopped", "seconds": 0, "accuracy": 0.5}]}, "expected completed after 4"),
        ({"rungs": [{"epochs": 4, "status": "completed", "seconds": 0}]}, "accuracy is null, and the run completed"),
        ({"rungs": [{"epochs": 4, "status": "completed", "seconds": 0, "accuracy": 1}] * 2}, "holds 2 rungs; expected"),
        ({"rungs": 3}, "rungs is 3; expected a list"),
    ],
)
def test_scores_of_another_grid_are_refused(tmp_path, change, message):
    def press(progress):
        if progress.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        sweep(settings(regs=(1e-3,)), out=tmp_path / "run", training=press)
    (tmp_path / "run" / "cell-1.json").write_text(json.dumps({"run_version": 1, **change}))
    if message is None:
        resume_sweep(tmp_path / "run")
        return
    with pytest.raises(RunError, match=message) as error:
        resume_sweep(tmp_path / "run")
    assert "cell-1.json" in str(error.value)


def test_settings_of_a_sweep_over_reg_do_not_name_rates(tmp_path: Path):
    result = sweep(SweepSettings("digits", (1e-2, 1e-1), {"tol": 1e-2}), out=tmp_path / "run")
    written = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert not {"learning_rates", "schedules", "updates", "halving"} & written.keys()
    assert "cells" not in as_json(result.metrics)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rates": (0.0,)}, "learning_rate = 0.0"),
        ({"learning_rates": ()}, "learning_rates is empty"),
        ({"schedules": ("warm",)}, "schedule = 'warm'"),
        ({"updates": ("adam", "adam")}, "update 'adam' is given twice"),
        ({"folds": 3}, "folds = 3; learning rates are chosen on one validation split"),
        ({"validation": 0.0}, "validation = 0.0; a sweep chooses"),
        ({"classifier": {"optimizer": "exact"}}, "optimizer = 'exact'; a grid of learning rates requires 'sgd'"),
        ({"classifier": {"penalty": "none"}}, "penalty = 'none' has no reg to sweep over"),
        ({"classifier": {"patience": 3}}, "set patience=None"),
        ({"learning_rates": (0.1,), "regs": (1e-3,), "halving": True}, "halving needs at least 2 cells"),
    ],
)
def test_what_cannot_be_swept_is_named(changes, message):
    with pytest.raises(ParameterError, match=message):
        settings(**changes)
