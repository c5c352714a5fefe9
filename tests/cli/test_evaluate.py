"""`linprobe evaluate`: the figures agree with the training's, and classes are matched by name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linprobe import load_model
from linprobe.data.digits import load_digits

Write = Callable[..., None]


@pytest.fixture
def run(linprobe: Any) -> dict[str, Any]:
    """A run on the digits, with its result."""
    record: dict[str, Any] = linprobe(
        "train", "digits", "--optimizer", "sgd", "--epochs", 3, "--validation", 0.2, "--seed", 5, "--json"
    ).record
    return record


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_each_split_of_the_training_is_found_again(linprobe: Any, run: dict[str, Any], split: str) -> None:
    record = linprobe("evaluate", run["run"], "digits", "--split", split, "--json").record
    assert record["accuracy"] == run[f"{split}_accuracy"]
    assert record["n_images"] == run[f"n_{split}"]
    assert record["loss"] == run["data_loss" if split == "train" else f"{split}_loss"]


def test_classes_and_confusions_add_up(linprobe: Any, run: dict[str, Any]) -> None:
    record = linprobe("evaluate", run["run"], "digits", "--json").record
    confusion = np.array(record["confusion"])
    assert confusion.sum() == record["n_images"]
    assert np.trace(confusion) / confusion.sum() == pytest.approx(record["accuracy"])
    for k, one in enumerate(record["classes"]):
        assert one["name"] == str(k)
        assert one["n_images"] == confusion[k].sum()
        assert one["accuracy"] == pytest.approx(confusion[k, k] / confusion[k].sum())


def test_all_images_agree_with_the_classifier_in_python(linprobe: Any, run: dict[str, Any]) -> None:
    record = linprobe("evaluate", run["run"], "digits", "--split", "all", "--json").record
    digits = load_digits()
    predicted = load_model(run["run"]).predict(digits.X)
    assert record["accuracy"] == pytest.approx(np.mean(predicted == digits.y.astype(str)))
    assert record["n_images"] == 1797


def test_the_model_file_alone_will_do(linprobe: Any, run: dict[str, Any]) -> None:
    shutil.move(Path(run["run"]) / "model.safetensors", "mine.safetensors")
    record = linprobe("evaluate", "mine.safetensors", "digits", "--json").record
    assert record["accuracy"] == run["test_accuracy"]


def test_the_tables_hold_the_figures(linprobe: Any, run: dict[str, Any]) -> None:
    answer = linprobe("evaluate", run["run"], "digits")
    assert answer.code == 0
    assert re.search(r"^class +images +accuracy +most often taken for$", answer.out, re.MULTILINE)
    assert re.search(r"^is \\ taken for( +\d){10}$", answer.out, re.MULTILINE)
    assert re.search(rf"^accuracy +{run['test_accuracy']:.4f}$", answer.out, re.MULTILINE)


def test_a_split_that_the_training_did_not_hold_out_is_refused(linprobe: Any, pictures: Path) -> None:
    linprobe("train", pictures, "--optimizer", "sgd", "--epochs", 1, "--out", "run")
    answer = linprobe("evaluate", "run", pictures, "--split", "validation")
    assert answer.code == 2
    assert "has no validation split, and the training held out none" in answer.err


def test_classes_are_matched_by_name(linprobe: Any, tmp_path: Path, write_pictures: Write) -> None:
    write_pictures(tmp_path / "three", 20, 0, names=("amber", "dark", "light"))
    linprobe("train", "three", "--optimizer", "sgd", "--epochs", 100, "--out", "run")
    write_pictures(tmp_path / "two", 5, 2)  # there dark is class 0, for the model it is class 1
    record = linprobe("evaluate", "run", "two", "--split", "all", "--json").record
    assert record["accuracy"] > 0.5
    assert [one["n_images"] for one in record["classes"]] == [0, 5, 5]
    assert record["classes"][0]["accuracy"] is None
    (tmp_path / "two" / "dark").rename(tmp_path / "two" / "night")
    answer = linprobe("evaluate", "run", "two", "--split", "all")
    assert answer.code == 2
    assert "the model does not know the class 'night'; it knows 'amber', 'dark', 'light'" in answer.err


def test_pictures_of_another_size_are_refused_unless_resized(
    linprobe: Any, pictures: Path, tmp_path: Path, write_pictures: Write
) -> None:
    linprobe("train", pictures, "--out", "run")
    write_pictures(tmp_path / "large", 2, 3, size=(8, 8))
    answer = linprobe("evaluate", "run", tmp_path / "large", "--split", "all")
    assert answer.code == 2
    assert "its images are 8x8x3, but the model was trained on 4x4x3" in answer.err
    record = linprobe("evaluate", "run", tmp_path / "large", "--split", "all", "--image-size", "4x4", "--json").record
    assert record["n_images"] == 4


def test_a_model_trained_on_resized_pictures_resizes(
    linprobe: Any, pictures: Path, tmp_path: Path, write_pictures: Write
) -> None:
    linprobe("train", pictures, "--out", "run", "--image-size", "2x3")
    write_pictures(tmp_path / "large", 2, 3, size=(8, 8))
    assert linprobe("evaluate", "run", tmp_path / "large", "--split", "all", "--json").record["accuracy"] == 1.0
