"""Sweeps: the grid in the run folder, the test split touched once, stopped and continued to the same bits."""

from __future__ import annotations

import json

import numpy as np
import pytest

from linprobe.classifiers.model_file import load_model
from linprobe.data.base import open_dataset
from linprobe.data.splits import split_dataset
from linprobe.errors import ParameterError, RunError
from linprobe.runs.folder import RunFolder
from linprobe.runs.records import RunSettings, as_json
from linprobe.runs.sweep import SweepSettings, resume_sweep, sweep
from linprobe.runs.train import Interrupted, TrainSettings, resume, train

REGS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def settings(**options):
    return SweepSettings("digits", REGS, {"tol": 1e-3, **options.pop("classifier", {})}, **options)


def test_the_winner_is_fitted_to_all_training_images_and_tested(tmp_path):
    result = sweep(settings(), out=tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(as_json(result.metrics)))
    assert RunFolder.open(result.path).metrics() == result.metrics
    assert [row["reg"] for row in metrics["grid"]] == list(REGS)
    best = max(row["validation_accuracy"] for row in metrics["grid"])
    assert metrics["validation_accuracy"] == best
    for row in metrics["grid"]:
        assert row["statuses"] == ["certified"]
        assert row["certificates"][0]["relative_gap"] <= 1e-3
        assert row["certificates"][0]["lower_bound"] <= row["certificates"][0]["objective"]
    assert metrics["n_train"] == 1438
    assert metrics["n_validation"] == 144
    assert metrics["test_accuracy"] > 0.95
    model = load_model(tmp_path / "run")
    assert model.reg == metrics["reg"]
    assert model.certificate_.relative_gap == metrics["certificate"]["relative_gap"]
    # the same as training with that reg
    alone = train(TrainSettings("digits", {"reg": metrics["reg"], "tol": 1e-3}), out=tmp_path / "alone")
    assert alone.metrics.test_accuracy == pytest.approx(metrics["test_accuracy"], abs=0.006)
    assert alone.metrics.certificate.lower_bound <= metrics["objective"]


def test_folds_choose_too_and_each_leaves_its_part(tmp_path):
    result = sweep(settings(folds=3), out=tmp_path / "run")
    assert result.metrics.chosen_by == "3 folds"
    assert [len(row.accuracies) for row in result.metrics.grid] == [3] * len(REGS)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "metrics.json",
        "model.safetensors",
        "part-1.json",
        "part-2.json",
        "part-3.json",
        "path.safetensors",
        "settings.json",
    ]


def test_the_grid_tells_what_each_member_is_and_its_weights_are_kept(tmp_path):
    result = sweep(settings(classifier={"penalty": "l1", "tol": 1e-3}), out=tmp_path / "run")
    path = RunFolder.open(tmp_path / "run").read_path()
    assert path.regs.tolist() == list(REGS)
    assert path.W.shape == (len(REGS), 10, 64)
    parts = split_dataset(open_dataset("digits"), validation=0.1)
    train = parts.train
    for row, W, b in zip(result.metrics.grid, path.W, path.b, strict=True):
        assert row.norm == pytest.approx(float(np.linalg.norm(W)), rel=1e-5)
        assert row.zeros == (W == 0).mean()
        X = (train.X[train.rows] - train.X[train.rows].mean(axis=0)) / 255.0
        hits = (X @ W.T + b).argmax(axis=1) == train.y
        assert row.train_accuracy == pytest.approx(hits.mean(), abs=2e-3)
    assert result.metrics.grid[-1].zeros > result.metrics.grid[0].zeros > 0


def test_weights_too_many_to_keep_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("linprobe.runs.sweep.PATH_NUMBERS", len(REGS) * 640 - 1)
    sweep(settings(), out=tmp_path / "run")
    assert RunFolder.open(tmp_path / "run").read_path() is None


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_a_sweep_that_was_stopped_goes_on_to_the_same_bits(tmp_path, loss):
    wanted = settings(folds=2, classifier={"loss": loss})
    whole = sweep(wanted, out=tmp_path / "whole")

    def press(part, progress):
        if part == "fold 2 of 2":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="stopped after 1 of 2 parts; resume with: linprobe sweep --resume"):
        sweep(wanted, out=tmp_path / "run", solving=press)
    assert not (tmp_path / "run" / "metrics.json").exists()
    parts = []
    resumed = resume_sweep(tmp_path / "run", n_threads=1, solving=lambda part, progress: parts.append(part))
    assert set(parts) == {"fold 2 of 2", "all training images"}
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
    assert resumed.metrics.test_accuracy == whole.metrics.test_accuracy
    with pytest.raises(RunError, match="this sweep is finished"):
        resume_sweep(tmp_path / "run")


def test_a_val_folder_is_used_as_it_is(tmp_path):
    random = np.random.default_rng(0)
    for name, n in (("train", 60), ("val", 20), ("test", 20)):
        y = np.arange(n) % 2
        X = random.normal(size=(n, 3)).astype(np.float32) + 2.0 * y[:, None]
        (tmp_path / "data" / name).mkdir(parents=True)
        np.savez(tmp_path / "data" / f"{name}.npz", X=X, y=y)
        (tmp_path / "data" / name).rmdir()
    parts = []
    settings = SweepSettings(str(tmp_path / "data"), REGS)
    result = sweep(settings, out=tmp_path / "run", solving=lambda part, progress: parts.append(part))
    assert (result.metrics.n_train, result.metrics.n_validation, result.metrics.n_test) == (60, 20, 20)
    # the winner is fitted to the images that it was chosen on: its weights of then are proved again, by one pass
    assert parts.count("all training images") == 1


def test_a_run_of_the_other_kind_is_not_resumed(tmp_path):
    swept = RunFolder.create(tmp_path / "swept", RunSettings(settings()))
    swept.close()
    trained = RunFolder.create(tmp_path / "trained", RunSettings(TrainSettings("digits")))
    trained.close()
    with pytest.raises(RunError, match="linprobe sweep --resume"):
        resume(tmp_path / "swept")
    with pytest.raises(RunError, match="linprobe train --resume"):
        resume_sweep(tmp_path / "trained")


def test_data_that_changed_are_refused(tmp_path, monkeypatch):
    def press(part, progress):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        sweep(settings(), out=tmp_path / "run", solving=press)
    record = json.loads((tmp_path / "run" / "settings.json").read_text())
    (tmp_path / "run" / "settings.json").write_text(json.dumps({**record, "content": "0" * 64}))
    with pytest.raises(RunError, match="are not those that this sweep began with"):
        resume_sweep(tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds = 1"),
        ({"validation": 0.0}, "validation = 0.0; a sweep chooses reg on held-out images"),
        ({"classifier": {"penalty": "none"}}, "a sweep over reg needs a penalty"),
    ],
)
def test_what_cannot_be_swept_is_named(options, message):
    with pytest.raises(ParameterError, match=message):
        settings(**options)


def test_a_part_that_is_none_is_named(tmp_path):
    def press(part, progress):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        sweep(settings(), out=tmp_path / "run", solving=press)
    (tmp_path / "run" / "part-1.json").write_text("{}")
    with pytest.raises(RunError, match=r"part-1\.json: accuracies is missing; expected a list"):
        resume_sweep(tmp_path / "run")


@pytest.mark.parametrize("name", ["write_model", "write_metrics"])
def test_ctrl_c_while_the_result_is_written_says_how_to_go_on(tmp_path, monkeypatch, name):
    def stop(run, content):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, name, stop)
        with pytest.raises(Interrupted, match=f"--resume {tmp_path / 'run'}"):
            sweep(settings(), out=tmp_path / "run")
    whole = sweep(settings(), out=tmp_path / "whole")
    resumed = resume_sweep(tmp_path / "run")
    assert resumed.metrics.reg == whole.metrics.reg
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
