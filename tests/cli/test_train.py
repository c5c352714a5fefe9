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

from linprobe.classifiers.linear import LinearClassifier
from linprobe.classifiers.model_file import load_model
from linprobe.cli.options import FEATURE_OPTIONS
from linprobe.cli.train import NOT_CLASSIFIER, WITH_RESUME, train
from linprobe.engines.base import ENGINES
from linprobe.features.fractional_pooling import POOLINGS
from linprobe.features.pixels import PREPROCESS
from linprobe.optimizers import SCHEDULES, UPDATES, Status
from linprobe.optimizers.registry import OPTIMIZERS
from linprobe.printed import bound_text

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
    "certificate",
    "skipped_images",
}
SGD = ("--optimizer", "sgd")
FILES = {"settings.json", "trace.csv", "checkpoint.safetensors", "model.safetensors", "metrics.json"}


@pytest.mark.parametrize(
    ("options", "status"), [([], "certified"), ([*SGD, "--epochs", 3], "completed")], ids=["exact", "sgd"]
)
def test_the_result_comes_as_one_json_object(linprobe: Any, options: list[Any], status: str) -> None:
    answer = linprobe("train", "digits", *options, "--json")
    assert answer.code == 0
    assert answer.err == ""
    record = answer.record
    assert record.keys() >= KEYS
    assert record["status"] == status
    assert record["validation_accuracy"] is None
    assert record["skipped_images"] == 0
    assert 0.8 < record["test_accuracy"] <= 1.0
    assert record == json.loads((Path(record["run"]) / "metrics.json").read_text())


def test_the_run_folder_is_named_and_holds_five_files(linprobe: Any) -> None:
    record = linprobe("train", "digits", "--loss", "hinge", "--reg", 0.01, "--json").record
    assert record["run"] == str(Path("runs") / "digits-hinge-1")
    assert set(os.listdir(record["run"])) == FILES
    again = linprobe("train", "digits", "--loss", "hinge", *SGD, "--epochs", 1, "--json").record
    assert again["run"].endswith("-2")
    assert set(os.listdir(again["run"])) == FILES


def table(out: str) -> dict[str, str]:
    """The lines of a table by their names."""
    return dict(re.split(r"\s{3,}", line, maxsplit=1) for line in out.splitlines())


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], "certified: the relative duality gap is at most tol"),
        ([*SGD, "--epochs", 2], "completed: all epochs were run"),
    ],
    ids=["exact", "sgd"],
)
def test_the_result_comes_as_a_table_that_a_pipe_can_read(linprobe: Any, options: list[Any], status: str) -> None:
    answer = linprobe("train", "digits", *options, "--validation", 0.1)
    assert answer.code == 0
    lines = table(answer.out)
    assert re.fullmatch(r"0\.\d{4}  \(359 images\)", lines["test accuracy"])
    assert re.fullmatch(r"0\.\d{4} +\(\d+ images\)", lines["validation accuracy"])
    assert lines["status"] == status
    assert (Path(lines["run"]) / "model.safetensors").is_file()
    assert "\x1b" not in answer.out


@pytest.mark.parametrize("options", [[], ["--loss", "hinge", "--reg", "1e-2"], ["--penalty", "elastic-net"]])
def test_the_certificate_stands_in_the_record_and_in_the_table(linprobe: Any, options: list[str]) -> None:
    record = linprobe("train", "digits", *options, "--json").record
    certificate = record["certificate"]
    assert certificate.keys() == {
        "objective",
        "lower_bound",
        "gap",
        "relative_gap",
        "gradient_norm",
        "passes",
        "seconds",
    }
    assert certificate["relative_gap"] <= 1e-4
    assert certificate["gap"] == pytest.approx(certificate["objective"] - certificate["lower_bound"])
    # the record's own objective comes from a pass in float32
    assert record["objective"] == pytest.approx(certificate["objective"], rel=1e-5)
    line = table(linprobe("train", "digits", *options).out)["certificate"]
    found = re.fullmatch(r"the objective is at most (\S+)% above the least possible, which is (\S+) or more", line)
    assert found is not None
    bound, above = certificate["lower_bound"], 100.0 * certificate["gap"] / certificate["lower_bound"]
    assert found[2] == bound_text(bound)
    assert above <= float(found[1]) <= 2.0 * above  # rounded up


def test_what_proves_nothing_shows_no_certificate(linprobe: Any) -> None:
    sgd = [*SGD, "--epochs", 1]
    assert linprobe("train", "digits", *sgd, "--json").record["certificate"] is None
    assert "certificate" not in table(linprobe("train", "digits", *sgd).out)
    # without a penalty the bound is 0, which is no news
    unpenalised = ["--penalty", "none", "--loss", "squared-hinge"]
    assert linprobe("train", "digits", *unpenalised, "--json").record["certificate"]["lower_bound"] == 0.0
    assert "certificate" not in table(linprobe("train", "digits", *unpenalised).out)


def test_a_budget_that_is_too_small_is_a_warning_with_the_gap(linprobe: Any) -> None:
    answer = linprobe("train", "digits", "--max-iter", 2, "--json")
    assert answer.code == 0
    gap = answer.record["certificate"]["relative_gap"]
    assert gap > 1e-4
    assert re.fullmatch(
        "warning: the iterations ended before tol was reached: raise --max-iter, loosen --tol, or increase --reg; "
        r"the objective is at most \d+% above the least possible, which is 0\.\d+ or more\n",
        answer.err,
    )


def test_separable_classes_without_a_penalty_are_a_warning(linprobe: Any, pictures: Path) -> None:
    answer = linprobe("train", pictures, "--penalty", "none", "--json")
    assert answer.code == 0
    assert answer.record["status"] == "separable"
    assert answer.err.startswith("warning: the classes are separable: without a penalty")
    assert answer.err.endswith("use a penalty with --reg > 0\n")
    assert answer.err.count("\n") == 1


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
        ["--optimizer", "exact", "--max-iter", "7", "--tol", "1e-5", "--engine", "reference"],
        ["--optimizer", "gd", "--epochs", "20"],
        [*SGD, "--epochs", "3", "--update", "adam", "--learning-rate", "0.01", "--schedule", "1/t"],
        [*SGD, "--epochs", "3", "--preprocess", "standardize", "--class-weight", "balanced", "--average"],
        [*SGD, "--epochs", "3", "--validation", "0.2", "--patience", "2", "--engine", "reference"],
        [*SGD, "--batch-size", "16", "--momentum", "0.5", "--update", "nesterov", "--threads", "1", "--seed", "7"],
    ],
    ids=" ".join,
)
def test_every_option_is_taken(linprobe: Any, options: list[str]) -> None:
    record = linprobe("train", "digits", *options, "--json").record
    assert record["test_accuracy"] > 0.6
    settings = json.loads((Path(record["run"]) / "settings.json").read_text())
    known = {**settings, **settings["classifier"]}
    for name, value in zip(options[::2], options[1::2], strict=False):
        stored = known.get(name.removeprefix("--").replace("-", "_"))
        assert stored is None or str(stored) == value or float(stored) == float(value)


def test_epochs_are_the_iterations_of_gradient_descent(linprobe: Any) -> None:
    record = linprobe("train", "digits", "--optimizer", "gd", "--epochs", 4, "--json").record
    assert (record["epochs"], record["status"]) == (4, "max_iter")


@pytest.mark.parametrize(
    "option",
    [
        ["--batch-size", "16"],
        ["--epochs", "3"],
        ["--learning-rate", "0.1"],
        ["--schedule", "step"],
        ["--update", "adam"],
        ["--momentum", "0.5"],
        ["--average"],
        ["--patience", "2", "--validation", "0.2"],
    ],
    ids=" ".join,
)
def test_an_option_of_sgd_is_refused_without_it_in_one_line(linprobe: Any, option: list[str]) -> None:
    for optimizer in ("exact", "gd"):
        if (optimizer, option[0]) == ("gd", "--epochs"):
            continue
        answer = linprobe("train", "digits", "--optimizer", optimizer, *option)
        assert answer.code == 2
        assert answer.err == (
            f"error: {option[0]} only applies to --optimizer sgd (got {optimizer}); choose that, or leave {option[0]} "
            "out; see linprobe train --help\n"
        )
        assert answer.out == ""
        assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "refused", "takers", "chosen"),
    [
        ([*SGD, "--max-iter", 5], "--max-iter", "--optimizer exact or gd", "sgd"),
        ([*SGD, "--tol", 1e-4], "--tol", "--optimizer exact or gd", "sgd"),  # even at its default
        ([*SGD, "--update", "adam", "--momentum", 0.5], "--momentum", "--update momentum or nesterov", "adam"),
        (["--loss", "softmax", "--delta", 2], "--delta", "--loss hinge or squared-hinge", "softmax"),
        (["--penalty", "l1", "--beta", 2], "--beta", "--penalty elastic-net", "l1"),
        (["--penalty", "none", "--reg", 2], "--reg", "--penalty l2 or l1 or elastic-net", "none"),
        (["--features", "hog/2", "--pooling", "max"], "--pooling", "--features patches", "hog/2"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_an_option_that_would_do_nothing_is_refused(
    linprobe: Any, words: list[Any], refused: str, takers: str, chosen: str
) -> None:
    answer = linprobe("train", "digits", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        f"error: {refused} only applies to {takers} (got {chosen}); choose that, or leave {refused} out; "
        "see linprobe train --help\n"
    )
    assert not Path("runs").exists()


def test_gd_takes_its_steps_by_one_name_only(linprobe: Any) -> None:
    answer = linprobe("train", "digits", "--optimizer", "gd", "--epochs", 4, "--max-iter", 5)
    assert answer.code == 2
    assert "--epochs and --max-iter mean the same for --optimizer gd; give one of them" in answer.err


def test_gradcheck_refuses_what_its_loss_does_not_have(linprobe: Any) -> None:
    answer = linprobe("gradcheck", "digits", "--delta", 2)
    assert answer.code == 2
    assert "--delta only applies to --loss hinge or squared-hinge (got softmax)" in answer.err


def test_the_defaults_are_those_of_the_classifier() -> None:
    taken = {name: p.default for name, p in inspect.signature(LinearClassifier).parameters.items()}
    left_out = {*NOT_CLASSIFIER, *FEATURE_OPTIONS, *WITH_RESUME}
    given = train.make_context("train", ["digits"]).params
    options = {n: v for n, v in given.items() if n not in left_out and "__" not in n}
    assert options == {name: taken[name] for name in options}
    assert taken.keys() - options.keys() == {
        "validation_fraction",
        "random_state",
        "n_threads",
        "loss_options",
        "penalty_options",
    }


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("optimizer", OPTIMIZERS),
        ("preprocess", PREPROCESS),
        ("engine", ENGINES),
        ("update", UPDATES),
        ("schedule", [*SCHEDULES, "1/t"]),
        ("pooling", POOLINGS),
    ],
)
def test_the_choices_are_those_of_the_classifier(name: str, choices: Any) -> None:
    option = next(p for p in train.params if p.name == name)
    assert isinstance(option.type, click.Choice)
    assert set(option.type.choices) == set(choices)


@pytest.mark.parametrize("options", [[], [*SGD, "--epochs", 2]], ids=["exact", "sgd"])
def test_the_same_seed_gives_the_same_model_for_any_number_of_threads(linprobe: Any, options: list[Any]) -> None:
    models = []
    for threads in (1, 3):
        run = linprobe("train", "digits", *options, "--threads", threads, "--json").record["run"]
        models.append((Path(run) / "model.safetensors").read_bytes())
    assert models[0] == models[1]


def test_divergence_is_a_status_and_a_warning(linprobe: Any) -> None:
    answer = linprobe("train", "digits", "--loss", "squared-hinge", *SGD, "--learning-rate", 1e6, "--json")
    assert answer.code == 0
    assert answer.record["status"] == "diverged"
    assert "lower --learning-rate or use --learning-rate auto" in answer.record["status_text"]
    told = linprobe("info", answer.record["run"], "--json").record
    assert told["result"] == answer.record
    assert told["status"] == answer.record["status_text"]
    assert answer.err.startswith("warning: the objective became NaN or grew without end")


@pytest.mark.parametrize("words", [("train",), ("sweep", "--reg-grid", "1e-3,1e-2")])
def test_json_names_what_stood_in_the_way_in_the_words_of_the_terminal(linprobe: Any, words: tuple[str, ...]) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 5)) * 1e11
    np.savez("large.npz", X=rows, y=np.arange(40) % 2)
    record = linprobe(words[0], "large.npz", *words[1:], "--preprocess", "none", "--json").record
    assert record["status"] == "stalled"
    assert "use --preprocess standardize" in record["status_text"]
    assert record["chosen"]["obstacle"] == record["status_text"]
    stored = json.loads((Path(record["run"]) / "metrics.json").read_text())
    assert "use preprocess='standardize'" in stored["status_text"]
    assert {**record, **{name: stored[name] for name in ("status_text", "chosen")}} == stored


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
    answer = linprobe("train", "digits", *SGD, "--patience", 2, "--out", "run")
    assert answer.code == 2
    assert answer.err.startswith("error: patience = 2 needs validation")
    assert not Path("run").exists()


def test_a_folder_that_holds_something_is_not_written_to(linprobe: Any, pictures: Path) -> None:
    answer = linprobe("train", "digits", "--out", pictures)
    assert answer.code == 2
    assert "the folder is not empty" in answer.err
    linprobe("train", "digits", "--out", "run")
    assert "holds a finished run already; choose another --out" in linprobe("train", "digits", "--out", "run").err


def test_what_cannot_be_resumed_is_named(linprobe: Any, pictures: Path) -> None:
    assert "none: no such run folder" in linprobe("train", "--resume", "none").err
    assert "not a run folder" in linprobe("train", "--resume", pictures).err
    linprobe("train", "digits", "--out", "run")
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
    options = [*SGD, "--epochs", "4000", "--engine", engine, "--seed", "3"]
    child = start("train", "digits", *options, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run = tmp_path / "runs" / "digits-softmax-1"
    wait_for(run / "trace.csv", child)
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert out == ""
    found = re.fullmatch(
        r"stopped after epoch (\d+); resume with: linprobe train --resume (runs/digits-softmax-1)\n", err
    )
    assert found
    rows = (run / "trace.csv").read_text().splitlines()
    assert rows[-1].split(",")[0] == found[1]
    info = linprobe("info", run, "--json").record
    assert (info["finished"], info["epochs_done"]) == (False, int(found[1]))


def test_ctrl_c_keeps_the_best_exact_model_so_far_and_resuming_ends_at_the_same_bits(
    tmp_path: Path, linprobe: Any
) -> None:
    # a linear program, a second away from where rounding allows no smaller gap
    options = ["digits", "--loss", "hinge", "--penalty", "l1", "--tol", "1e-12", "--max-iter", "2500"]
    child = start("train", *options, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run = tmp_path / "runs" / "digits-hinge-1"
    wait_for(run / "trace.csv", child)
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert out == ""
    assert re.fullmatch(
        r"stopped, the best model so far was kept: objective \S+; lower bound \S+: at most \S+ above "
        r"the optimum, relative to the objective; resume with: linprobe train --resume runs/digits-hinge-1\n",
        err,
    )
    assert set(os.listdir(run)) == FILES - {"metrics.json"}
    model = load_model(run)
    assert model.status_ is Status.INTERRUPTED
    assert model.certificate_.describe() in err
    assert linprobe("evaluate", run, "digits", "--json").record["accuracy"] > 0.1
    assert linprobe("info", run, "--json").record["finished"] is False

    resumed = linprobe("train", "--resume", run, "--json").record
    whole = linprobe("train", *options, "--out", "whole", "--json").record
    assert resumed["status"] == whole["status"]
    assert (run / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert resumed["certificate"]["lower_bound"] == whole["certificate"]["lower_bound"]
    traces = [(folder / "trace.csv").read_text().splitlines() for folder in (run, tmp_path / "whole")]
    assert [line.rsplit(",", 1)[0] for line in traces[0]] == [line.rsplit(",", 1)[0] for line in traces[1]]


def test_ctrl_c_while_reading_leaves_nothing(tmp_path: Path, linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("linprobe.runs.material.open_dataset", interrupted)
    answer = linprobe("train", "digits", "--out", "run")
    assert answer.code == 130
    assert answer.err == "stopped by Ctrl-C\n"
    assert not Path("run").exists()


def test_a_bar_is_drawn_on_a_terminal_only(tmp_path: Path) -> None:
    def on_terminal(*options: str) -> str:
        ours, theirs = pty.openpty()
        command = ("train", "digits", "--no-report", *options)
        child = start(*command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs)
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

    assert "objective" in on_terminal()
    assert "epoch 5" in on_terminal(*SGD, "--epochs", "5")
    assert on_terminal("--quiet") == ""
    assert on_terminal("--json") == ""


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_run_whose_source_has_moved_is_resumed_from_its_new_place(
    linprobe: Any, pictures: Path, command: str
) -> None:
    before = linprobe(command, pictures, "--out", "run", "--json").record
    for name in ("metrics.json", "model.safetensors"):
        (Path("run") / name).unlink()
    moved = pictures.rename(pictures.with_name("moved"))
    assert linprobe(command, "--resume", "run").code == 2
    resumed = linprobe(command, "--resume", "run", "--source", moved, "--json").record
    for name in ("objective", "test_accuracy", "n_train"):
        assert resumed[name] == before[name]
    assert resumed["source"] == str(moved)
    answer = linprobe(command, "--source", moved)
    assert answer.code == 2
    assert "--source only applies to --resume" in answer.err
