"""`linprobe train`: one JSON object, one table, one run folder; Ctrl-C and resuming from the outside."""

from __future__ import annotations

import inspect
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from linprobe.classifiers.linear import OPTIMIZERS, PREPROCESS, LinearClassifier
from linprobe.cli.train import NOT_CLASSIFIER, WITH_RESUME, train
from linprobe.engines.base import ENGINES
from linprobe.optimizers import SCHEDULES, UPDATES

KEYS = {
    "run",
    "loss",
    "penalty",
    "reg",
    "objective",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "seconds",
    "passes",
    "status",
    "skipped_images",
}
FILES = {"settings.json", "trace.csv", "checkpoint.safetensors", "model.safetensors", "metrics.json"}


def test_the_result_comes_as_one_json_object(linprobe: Any) -> None:
    answer = linprobe("train", "digits", "--optimizer", "sgd", "--epochs", 3, "--json")
    assert answer.code == 0
    assert answer.err == ""
    record = answer.record
    assert record.keys() >= KEYS
    assert record["status"] == "completed"
    assert record["validation_accuracy"] is None
    assert record["skipped_images"] == 0
    assert 0.8 < record["test_accuracy"] <= 1.0
    assert record == json.loads((Path(record["run"]) / "metrics.json").read_text())


def test_the_run_folder_is_named_and_holds_five_files(linprobe: Any) -> None:
    record = linprobe("train", "digits", "--loss", "hinge", "--optimizer", "sgd", "--epochs", 1, "--json").record
    assert record["run"] == str(Path("runs") / "digits-hinge-1")
    assert set(os.listdir(record["run"])) == FILES
    assert (
        linprobe("train", "digits", "--loss", "hinge", "--optimizer", "sgd", "--epochs", 1, "--json")
        .record["run"]
        .endswith("-2")
    )


def test_the_result_comes_as_a_table_that_a_pipe_can_read(linprobe: Any) -> None:
    answer = linprobe("train", "digits", "--optimizer", "sgd", "--epochs", 2, "--validation", 0.1)
    assert answer.code == 0
    lines = dict(re.split(r"\s{3,}", line, maxsplit=1) for line in answer.out.splitlines())
    assert re.fullmatch(r"0\.\d{4}  \(359 images\)", lines["test accuracy"])
    assert re.fullmatch(r"0\.\d{4}", lines["validation accuracy"])
    assert lines["status"] == "completed: all epochs were run"
    assert (Path(lines["run"]) / "model.safetensors").is_file()
    assert "\x1b" not in answer.out


def test_pictures_in_folders_are_trained_on(linprobe: Any, pictures: Path) -> None:
    record = linprobe("train", pictures, "--out", "run", "--json").record
    assert record["run"] == "run"
    assert record["test_accuracy"] == 1.0
    assert (record["n_train"], record["n_test"], record["image_shape"]) == (16, 8, [4, 4, 3])


@pytest.mark.parametrize(
    "options",
    [
        ["--loss", "squared-hinge", "--delta", "2"],
        ["--penalty", "l1", "--reg", "1e-2"],
        ["--penalty", "elastic-net", "--beta", "0.5"],
        ["--penalty", "none"],
        ["--optimizer", "gd", "--epochs", "20"],
        ["--update", "adam", "--learning-rate", "0.01", "--schedule", "1/t"],
        ["--preprocess", "standardize", "--class-weight", "balanced", "--average"],
        ["--validation", "0.2", "--patience", "2", "--engine", "reference"],
        ["--batch-size", "16", "--momentum", "0.5", "--update", "nesterov", "--threads", "1", "--seed", "7"],
    ],
    ids=" ".join,
)
def test_every_option_is_taken(linprobe: Any, options: list[str]) -> None:
    record = linprobe("train", "digits", "--optimizer", "sgd", "--epochs", 3, *options, "--json").record
    assert record["test_accuracy"] > 0.6
    settings = json.loads((Path(record["run"]) / "settings.json").read_text())
    known = {**settings, **settings["classifier"]}
    for name, value in zip(options[::2], options[1::2], strict=False):
        stored = known.get(name.removeprefix("--").replace("-", "_"))
        assert stored is None or str(stored) == value or float(stored) == float(value)


def test_epochs_are_the_iterations_of_gradient_descent(linprobe: Any) -> None:
    record = linprobe("train", "digits", "--optimizer", "gd", "--epochs", 4, "--json").record
    assert (record["epochs"], record["status"]) == (4, "max_iter")


def test_the_defaults_are_those_of_the_classifier() -> None:
    taken = {name: p.default for name, p in inspect.signature(LinearClassifier).parameters.items()}
    left_out = {*NOT_CLASSIFIER, *WITH_RESUME}
    options = {n: v for n, v in train.make_context("train", ["digits"]).params.items() if n not in left_out}
    assert options == {name: taken[name] for name in options}
    assert taken.keys() - options.keys() == {"validation_fraction", "random_state", "n_threads"}


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("optimizer", OPTIMIZERS),
        ("preprocess", PREPROCESS),
        ("engine", ENGINES),
        ("update", UPDATES),
        ("schedule", [*SCHEDULES, "1/t"]),
    ],
)
def test_the_choices_are_those_of_the_classifier(name: str, choices: Any) -> None:
    option = next(p for p in train.params if p.name == name)
    assert isinstance(option.type, click.Choice)
    assert set(option.type.choices) == set(choices)


def test_the_same_seed_gives_the_same_model_for_any_number_of_threads(linprobe: Any) -> None:
    models = []
    for threads in (1, 3):
        run = linprobe("train", "digits", "--optimizer", "sgd", "--epochs", 2, "--threads", threads, "--json").record[
            "run"
        ]
        models.append((Path(run) / "model.safetensors").read_bytes())
    assert models[0] == models[1]


def test_divergence_is_a_status_and_a_warning(linprobe: Any) -> None:
    answer = linprobe(
        "train", "digits", "--loss", "squared-hinge", "--optimizer", "sgd", "--learning-rate", 1e6, "--json"
    )
    assert answer.code == 0
    assert answer.record["status"] == "diverged"
    assert "lower learning_rate" in answer.record["status_text"]
    assert answer.err.startswith("warning: diverged: the objective became NaN or grew without end")


def test_broken_pictures_are_counted_when_skipped(linprobe: Any, pictures: Path) -> None:
    (pictures / "train" / "dark" / "broken.png").write_bytes(b"no picture")
    refused = linprobe("train", pictures)
    assert refused.code == 2
    assert "broken.png" in refused.err
    assert linprobe("train", pictures, "--on-bad-image", "skip", "--json").record["skipped_images"] == 1


def test_pictures_of_different_sizes_need_image_size(linprobe: Any, pictures: Path) -> None:
    Image.fromarray(np.zeros((6, 5, 3), np.uint8)).save(pictures / "train" / "dark" / "large.png")
    refused = linprobe("train", pictures)
    assert refused.code == 2
    assert "--image-size" in refused.err
    record = linprobe("train", pictures, "--image-size", "3x2", "--json").record
    assert record["image_shape"] == [3, 2, 3]


def test_early_stopping_without_validation_images_is_refused_and_leaves_no_folder(linprobe: Any) -> None:
    answer = linprobe("train", "digits", "--optimizer", "sgd", "--patience", 2, "--out", "run")
    assert answer.code == 2
    assert answer.err.startswith("error: patience = 2 needs validation")
    assert not Path("run").exists()


def test_a_folder_that_holds_something_is_not_written_to(linprobe: Any, pictures: Path) -> None:
    answer = linprobe("train", "digits", "--out", pictures)
    assert answer.code == 2
    assert "the folder is not empty" in answer.err
    linprobe("train", "digits", "--optimizer", "sgd", "--epochs", 1, "--out", "run")
    assert "a run is there already; continue it with --resume run" in linprobe("train", "digits", "--out", "run").err


def test_what_cannot_be_resumed_is_named(linprobe: Any, pictures: Path) -> None:
    assert "none: no such run folder" in linprobe("train", "--resume", "none").err
    assert "not a run folder" in linprobe("train", "--resume", pictures).err
    linprobe("train", "digits", "--optimizer", "sgd", "--epochs", 1, "--out", "run")
    answer = linprobe("train", "--resume", "run")
    assert answer.code == 2
    assert "this run is finished" in answer.err


def test_options_of_a_resumed_run_may_be_repeated_but_not_changed(linprobe: Any, pictures: Path) -> None:
    begun = ["train", pictures, "--reg", "0.5", "--image-size", "3x3"]
    linprobe(*begun, "--out", "run")
    (Path("run") / "metrics.json").unlink()
    for changed, words in (
        (["--reg", "0.25"], "--reg 0.25 cannot be given to a run that is resumed, which has 0.5"),
        (["--out", "other"], "--out other cannot be given to a run that is resumed"),
        (["digits"], "SOURCE digits cannot be given to a run that is resumed"),
    ):
        answer = linprobe("train", *changed, "--resume", "run")
        assert answer.code == 2
        assert words in answer.err
    assert linprobe(*begun, "--resume", "run", "--json").record["reg"] == 0.5


def start(*arguments: str, cwd: Path, **how: Any) -> subprocess.Popen[str]:
    """The program in a process of its own."""
    code = "from linprobe.cli import main; main(prog_name='linprobe')"
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=cwd, text=True, **how)


def wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    """Until `path` is there."""
    deadline = time.monotonic() + 30
    while not path.exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("engine", ["threads", "reference"])
def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_go_on(tmp_path: Path, linprobe: Any, engine: str) -> None:
    options = ["--optimizer", "sgd", "--epochs", "4000", "--engine", engine, "--seed", "3"]
    child = start("train", "digits", *options, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run = tmp_path / "runs" / "digits-softmax-1"
    wait_for(run / "trace.csv", child)
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert out == ""
    found = re.fullmatch(
        r"stopped after epoch (\d+); go on with: linprobe train --resume (runs/digits-softmax-1)\n", err
    )
    assert found
    rows = (run / "trace.csv").read_text().splitlines()
    assert rows[-1].split(",")[0] == found[1]
    info = linprobe("info", run, "--json").record
    assert (info["finished"], info["epochs_done"]) == (False, int(found[1]))


def test_ctrl_c_while_reading_leaves_nothing(tmp_path: Path, linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("linprobe.runs.train.open_dataset", interrupted)
    answer = linprobe("train", "digits", "--out", "run")
    assert answer.code == 130
    assert answer.err == "stopped by Ctrl-C\n"
    assert not Path("run").exists()


def test_a_bar_is_drawn_on_a_terminal_only(tmp_path: Path) -> None:
    def on_terminal(*options: str) -> str:
        ours, theirs = pty.openpty()
        child = start(
            "train",
            "digits",
            "--optimizer",
            "sgd",
            "--epochs",
            "5",
            *options,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 1024)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            seen += piece
        os.close(ours)
        assert child.wait(30) == 0
        return seen.decode()

    assert "train accuracy" in on_terminal()
    assert on_terminal("--quiet") == ""
    assert on_terminal("--json") == ""
