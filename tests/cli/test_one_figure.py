"""One name, one figure: objective, bound, gap, accuracies, losses and counts agree wherever they are shown."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linprobe import load_model
from linprobe.data.base import Dataset, open_dataset
from linprobe.data.splits import train_validation_test
from linprobe.errors import ParameterError
from linprobe.losses import LOSSES, make_loss
from linprobe.penalties import PENALTIES, make_penalty
from linprobe.printed import bound_text, gap_text, objective_text
from linprobe.report.page import _facts
from linprobe.report.record import read_record
from linprobe.runs.result import Interrupted
from linprobe.runs.sweep import SweepSettings, resume_sweep, sweep
from linprobe.runs.train import TrainSettings, train

REG, SEED = 0.02, 3
"""Settings of all trainings here."""

NAMES = ("few", "many", "some")
"""Classes of 9, 45 and 21 images: with weights, an accuracy is another one."""


@pytest.fixture(params=["own splits", "drawn splits"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three classes of noisy 3x3 pictures that overlap, in unequal numbers."""
    random = np.random.default_rng(0)

    def drawn(counts: tuple[int, ...]) -> tuple[Any, Any]:
        y = np.repeat(np.arange(3), counts)
        X = random.integers(0, 200, (len(y), 3, 3, 1))
        X[np.arange(len(y)), y, 0, 0] += 45
        return X.astype(np.uint8), np.array(NAMES)[y]

    arrays = {}
    parts = (
        {"train": (9, 45, 21)}
        if request.param == "drawn splits"
        else {"train": (9, 45, 21), "val": (2, 9, 4), "test": (3, 12, 6)}
    )
    for part, counts in parts.items():
        suffix = "" if len(parts) == 1 else f"_{part}"
        arrays[f"X{suffix}"], arrays[f"y{suffix}"] = drawn(counts)
    np.savez(tmp_path / "source.npz", **arrays)
    return tmp_path / "source.npz"


def facts_in(table: str) -> dict[str, str]:
    """The lines of a table of facts, by name."""
    return dict(match.groups() for match in re.finditer(r"^(\S.*?)  +(\S.*)$", table, re.MULTILINE))


def by_hand(run: Path, dataset: Dataset, validation: float, weighted: bool) -> dict[str, float]:
    """The figures of a run, from its model file and the images, in NumPy."""
    model = load_model(run)
    split = train_validation_test(dataset, validation, SEED)
    loss = make_loss(model.loss)
    figures: dict[str, float] = {}
    for name, images in (("train", split.train), ("validation", split.validation), ("test", split.test)):
        S = model.scores(images.X[images.positions])
        values = loss.value(S, images.y)
        figures[f"{name}_accuracy"] = float(np.mean(S.argmax(axis=1) == images.y))
        figures[f"{name}_loss"] = float(values.mean())
        figures[f"n_{name}"] = images.n_images
        if name == "train":
            counts = np.bincount(images.y)
            w = (len(images.y) / (len(counts) * counts))[images.y] if weighted else np.ones(len(images.y))
            figures["data_loss"] = float((w * values).sum() / w.sum())
    penalty = make_penalty(model.penalty)
    figures["objective"] = figures["data_loss"] + (REG * penalty.value(model.weights_) if penalty is not None else 0.0)
    return figures


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_place_of_a_training_shows_the_same_figures(
    linprobe: Any, source: Path, loss: str, penalty: str, weighted: bool
) -> None:
    words = ["--loss", loss, "--penalty", penalty, "--seed", SEED, "--validation", 0.2]
    words += ["--reg", REG] if penalty != "none" else []
    answer = linprobe("train", source, *words, *(["--class-weight", "balanced"] if weighted else []), "--out", "run")
    metrics = json.loads(Path("run/metrics.json").read_text())
    expected = by_hand(Path("run"), open_dataset(source), 0.2, weighted)
    for name, value in expected.items():
        if name != "train_loss":
            assert metrics[name] == pytest.approx(value, rel=1e-6), name
    assert linprobe("info", "run", "--json").record["result"] == metrics
    _check_table(facts_in(answer.out), metrics)
    _check_trace(metrics)
    _check_report(metrics)
    for part in ("train", "validation", "test"):
        evaluated = linprobe("evaluate", "run", source, "--split", part, "--json").record
        if part == "test":
            assert evaluated["split_origin"] == metrics["test_origin"]
        assert evaluated["accuracy"] == metrics[f"{part}_accuracy"]
        assert evaluated["n_images"] == metrics[f"n_{part}"]
        assert evaluated["loss"] == pytest.approx(expected[f"{part}_loss"], rel=1e-6)
    assert any("w = [" in line for line in metrics["equivalents"]) == weighted


def _check_table(facts: dict[str, str], metrics: dict[str, Any]) -> None:
    """What `train` printed."""
    assert facts["objective"].split()[0] == objective_text(metrics["objective"])
    for part in ("train", "validation", "test"):
        assert facts[f"{part} accuracy"].split()[0] == f"{metrics[f'{part}_accuracy']:.4f}"
    assert f"{metrics['n_train']} training images" in facts["source"]
    assert f"({metrics['n_test']} images)" in facts["test accuracy"]
    assert facts["test split"] == metrics["test_origin"]
    proved = metrics["certificate"]
    assert proved["objective"] == metrics["objective"]
    assert proved["lower_bound"] <= metrics["objective"]
    if "certificate" in facts:
        assert bound_text(proved["lower_bound"]) in facts["certificate"] or "%" in facts["certificate"]


def _check_trace(metrics: dict[str, Any]) -> None:
    """The last row of trace.csv; the weights that are returned may be a little better than those of the row."""
    with Path("run/trace.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["objective"]) == pytest.approx(metrics["objective"], rel=1e-3)
    assert float(last["objective"]) == pytest.approx(float(last["data_loss"]) + float(last["penalty"]), rel=1e-6)
    for part in ("train", "validation"):
        share = float(last[f"{part}_accuracy"])
        assert share * metrics[f"n_{part}"] == pytest.approx(round(share * metrics[f"n_{part}"]), abs=1e-9)
        assert share == pytest.approx(metrics[f"{part}_accuracy"], abs=1.5 / metrics[f"n_{part}"])
    assert float(last["validation_loss"]) == pytest.approx(metrics["validation_loss"], rel=5e-3)


def _check_report(metrics: dict[str, Any]) -> None:
    """What the page shows."""
    record = read_record(Path("run"))
    facts = dict(_facts(record))
    assert facts["objective"].split()[0] == objective_text(metrics["objective"])
    assert facts["test split"] == metrics["test_origin"]
    if "relative gap, proved" in facts:
        assert facts["relative gap, proved"] == gap_text(metrics["certificate"]["relative_gap"])
    for part in ("test", "validation"):
        assert float(facts[f"mean loss on {part} images"]) == pytest.approx(metrics[f"{part}_loss"], rel=1e-4)
    for accuracy in record.accuracies():
        assert accuracy.value == metrics[f"{accuracy.part}_accuracy"]
        assert accuracy.n == metrics[f"n_{accuracy.part}"]
    assert record.tested is not None
    assert record.tested.performance.accuracy == metrics["test_accuracy"]
    assert record.tested.performance.loss == metrics["test_loss"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "gd"])
def test_the_trace_of_every_optimizer_has_plain_accuracies(
    linprobe: Any, source: Path, optimizer: str, weighted: bool
) -> None:
    words = ["--optimizer", optimizer, "--epochs", 4, "--reg", REG, "--seed", SEED, "--validation", 0.2]
    linprobe("train", source, *words, *(["--class-weight", "balanced"] if weighted else []), "--out", "run")
    metrics = json.loads(Path("run/metrics.json").read_text())
    expected = by_hand(Path("run"), open_dataset(source), 0.2, weighted)
    with Path("run/trace.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    for name in ("train_accuracy", "validation_accuracy"):
        assert float(last[name]) == metrics[name] == pytest.approx(expected[name])
    for name in ("objective", "data_loss", "validation_loss"):
        assert float(last[name]) == pytest.approx(expected[name], rel=1e-5)
        assert metrics[name] == pytest.approx(expected[name], rel=1e-6)


@pytest.mark.parametrize("folds", [None, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_place_of_a_sweep_shows_the_same_figures(
    linprobe: Any, source: Path, folds: int | None, weighted: bool
) -> None:
    how = ["--folds", folds] if folds else ["--validation", 0.2]
    weights = ["--class-weight", "balanced"] if weighted else []
    answer = linprobe("sweep", source, "--reg-grid", "0.01,0.02", *how, "--seed", SEED, *weights, "--out", "run")
    metrics = json.loads(Path("run/metrics.json").read_text())
    chosen = next(row for row in metrics["grid"] if row["reg"] == metrics["reg"])
    assert chosen["validation_accuracy"] == metrics["validation_accuracy"]
    assert chosen["validation_loss"] == metrics["validation_loss"]
    assert metrics["objective"] == metrics["certificate"]["objective"] >= metrics["certificate"]["lower_bound"]
    facts = facts_in(answer.out)
    assert facts["objective"].split()[0] == objective_text(metrics["objective"])
    assert facts["test accuracy"].split()[0] == f"{metrics['test_accuracy']:.4f}"
    for row in metrics["grid"]:  # each fold holds out whole images
        for share in row["accuracies"] if folds is None else ():
            assert share * metrics["n_validation"] == pytest.approx(round(share * metrics["n_validation"]))
    for part in ("train", "test"):
        evaluated = linprobe("evaluate", "run", source, "--split", part, "--json").record
        if part == "test" or evaluated["n_images"] == metrics["n_train"]:
            assert evaluated["accuracy"] == metrics[f"{part}_accuracy"]
    _check_sweep_report(metrics)


def test_every_command_says_whether_its_test_split_was_drawn(linprobe: Any, source: Path) -> None:
    own = "X_test" in np.load(source)
    expected = "the source's own" if own else f"15 of the source's 75 images for training, drawn with seed {SEED}"
    for command in (("train", "--max-iter", 5), ("sweep", "--reg-grid", "0.1,1"), ("knn",)):
        name, *options = command
        answer = linprobe(name, source, *options, "--seed", SEED)
        assert facts_in(answer.out)["test split"] == expected
        assert linprobe(name, source, *options, "--seed", SEED, "--json").record["test_origin"] == expected
    for name in ("evaluate", "challenges"):
        more = ["--challenges", "illumination", "--severity", 1] if name == "challenges" else []
        answer = linprobe(name, next(Path("runs").iterdir()), source, *more, "--json")
        assert answer.record["split_origin"] == expected


def _check_sweep_report(metrics: dict[str, Any]) -> None:
    record = read_record(Path("run"))
    assert dict(_facts(record))["objective"].split()[0] == objective_text(metrics["objective"])
    for accuracy in record.accuracies():
        assert accuracy.value == metrics[f"{accuracy.part}_accuracy"]


def test_evaluate_gives_the_accuracies_of_the_training_to_the_last_bit(linprobe: Any) -> None:
    random = np.random.default_rng(0)
    y = np.arange(249) % 3
    np.savez(
        "s.npz",
        X_train=random.normal(size=(200, 9)),
        y_train=y[:200],
        X_test=random.normal(size=(49, 9)),
        y_test=y[200:],
    )
    for reg in (1e-3, 1e-2, 0.1, 1.0):
        metrics = linprobe("train", "s.npz", "--reg", reg, "--out", f"run{reg}", "--json").record
        evaluated = linprobe("evaluate", f"run{reg}", "s.npz", "--json").record
        assert (evaluated["accuracy"], evaluated["loss"]) == (metrics["test_accuracy"], metrics["test_loss"])
        assert round(49 * evaluated["accuracy"]) / 49 == evaluated["accuracy"]


def test_a_class_of_weight_0_has_no_part_in_the_figures_of_a_run(source: Path, tmp_path: Path) -> None:
    settings = TrainSettings(str(source), classifier={"class_weight": {"few": 0.0}})
    with pytest.raises(ParameterError, match="class_weight is 0 for few; the figures of a run are of all its images"):
        train(settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_seconds_of_a_sweep_are_those_of_all_its_parts(source: Path, tmp_path: Path) -> None:
    settings = SweepSettings(str(source), (0.1, 1.0), folds=2)

    def stop(part: str, progress: object) -> None:
        if part == "fold 2 of 2":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        sweep(settings, out=tmp_path / "run", solving=stop)
    path = tmp_path / "run" / "part-1.json"
    part = json.loads(path.read_text())
    path.write_text(json.dumps({**part, "seconds": 1000.0}))
    assert 1000.0 < resume_sweep(tmp_path / "run").metrics.seconds < 1600.0


@pytest.mark.parametrize("command", [("train", "--reg", REG), ("sweep", "--reg-grid", "0.02,2")])
def test_info_prints_the_figures_as_the_training_did(linprobe: Any, source: Path, command: tuple[object, ...]) -> None:
    trained = facts_in(linprobe(command[0], source, *command[1:], "--out", "run").out)
    metrics = json.loads(Path("run/metrics.json").read_text())
    told = dict(re.findall(r"^  (\w+) +(.*)$", linprobe("info", "run").out, re.MULTILINE))
    assert told["objective"] == trained["objective"].split()[0]
    assert told["train_accuracy"] == trained["train accuracy"]
    assert told["test_accuracy"] == trained["test accuracy"].split()[0]
    assert f"lower_bound {bound_text(metrics['certificate']['lower_bound'])}, " in told["certificate"]
    if command[0] == "sweep":
        assert told["grid"] == "2 values of reg, 0.02 to 2; --json has their figures"
