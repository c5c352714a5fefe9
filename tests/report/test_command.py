"""The command of a run: the command line reads it back to the settings that the run has."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from linprobe.cli import main
from linprobe.errors import RunError
from linprobe.report.command import command_of
from linprobe.runs.records import RunSettings, TrainSettings

TRAIN = [
    [],
    ["--loss", "squared-hinge", "--delta", "2.5", "--penalty", "elastic-net", "--beta", "0.3", "--reg", "0.1"],
    ["--optimizer", "sgd", "--batch-size", "7", "--learning-rate", "0.1", "--schedule", "step", "--update", "adam"],
    [
        "--optimizer",
        "sgd",
        "--momentum",
        "0.5",
        "--average",
        "--patience",
        "3",
        "--validation",
        "0.25",
        "--epochs",
        "9",
    ],
    ["--optimizer", "gd", "--max-iter", "12", "--tol", "1e-07", "--engine", "reference"],
    ["--features", "patches", "--patches", "50", "--pooling", "max", "--flips", "--seed", "3"],
    ["--class-weight", "balanced", "--preprocess", "unit", "--image-size", "8x6", "--on-bad-image", "skip"],
    ["--penalty", "none", "--loss", "hinge"],
]
SWEEP = [
    [],
    ["--reg-grid", "0,1e-3,0.5", "--folds", "3", "--loss", "hinge", "--penalty", "l1"],
    ["--reg-grid", "1e-4:1e-1:7", "--validation", "0.3", "--tol", "1e-2", "--features", "color", "--seed", "2"],
    ["--optimizer", "sgd", "--learning-rate-grid", "1e-3:1:4", "--epochs", "3", "--batch-size", "8", "--halving"],
    ["--optimizer", "sgd", "--learning-rate-grid", "0.1,0.3", "--reg-grid", "1e-4,1e-1", "--schedule", "step,1/t"],
    ["--optimizer", "sgd", "--learning-rate-grid", "0.1", "--update", "nesterov,plain", "--momentum", "0.5"],
    ["--optimizer", "sgd", "--learning-rate-grid", "0.1,0.3", "--penalty", "none", "--average"],
]


@pytest.fixture
def settings_of(monkeypatch):
    """`settings_of(command, *options)`: what the command line asks the run for."""
    asked = []

    def begin(settings, **_):
        asked.append(settings)
        raise RunError("not here")

    monkeypatch.setattr("linprobe.runs.train.train", begin)
    monkeypatch.setattr("linprobe.runs.sweep.sweep", begin)

    def read(*words):
        result = CliRunner().invoke(main, list(words))
        assert "not here" in result.stderr, result.stderr
        return asked[-1]

    return read


@pytest.mark.parametrize("options", TRAIN, ids=" ".join)
def test_the_command_of_a_training_gives_its_settings(settings_of, options):
    wanted = settings_of("train", "a folder/'it' $x", *options)
    words = command_of(RunSettings(wanted))
    assert words[:3] == ["linprobe", "train", "a folder/'it' $x"]
    assert settings_of(*words[1:]) == wanted


@pytest.mark.parametrize("options", SWEEP, ids=" ".join)
def test_the_command_of_a_sweep_gives_its_settings(settings_of, options):
    wanted = settings_of("sweep", "digits", *options)
    words = command_of(RunSettings(wanted))
    assert settings_of(*words[1:]) == wanted


def test_settings_that_no_command_line_has_give_no_command():
    assert command_of(RunSettings(TrainSettings("digits"))) == [
        "linprobe", "train", "digits", "--loss", "softmax", "--penalty", "l2", "--reg", "0.001", "--optimizer", "exact",
        "--seed", "0",
    ]  # fmt: skip
    for classifier in ({"class_weight": {"0": 2.0}}, {"validation_fraction": 0.1}):
        assert command_of(RunSettings(TrainSettings("digits", classifier))) is None
    assert command_of(RunSettings(TrainSettings("digits", feature_options={"mean": (0.5, 0.5)}))) is None
