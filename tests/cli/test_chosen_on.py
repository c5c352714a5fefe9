"""Images that chose something of a model are not new to it: they stay among the tested images, and are counted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linprobe import load_model
from linprobe.classifiers.model_file import save
from linprobe.errors import ModelFileError
from linprobe.features.hog import HogMap

Write = Callable[..., None]

SGD = ("train", "--optimizer", "sgd", "--epochs", 2)
REGS = ("sweep", "--reg-grid", "0.1,1")
RATES = ("sweep", "--optimizer", "sgd", "--epochs", 2, "--learning-rate-grid", "0.01,0.1", "--reg-grid", "0.1")
"""Commands of no time."""

PATIENCE = ("--patience", 1)


@pytest.fixture
def own(pictures: Path, write_pictures: Write) -> Path:
    """A source with train/ (16), val/ (6) and test/ (8)."""
    write_pictures(pictures / "val", 3, 2)
    return pictures


@pytest.fixture
def mixed(own: Path, write_pictures: Write) -> Path:
    """Another source: the 6 pictures of val/, one of them mirrored, and 10 new ones."""
    folder = own.parent / "mixed"
    shutil.copytree(own / "val", folder)
    with Image.open(folder / "dark" / "0.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "dark" / "0.png")
    write_pictures(own.parent / "new", 5, 3)
    for path in (own.parent / "new").rglob("*.png"):
        shutil.copy(path, folder / path.parent.name / f"new-{path.name}")
    return folder


def of(record: dict[str, Any]) -> tuple[object, ...]:
    """What the record of `evaluate` or `challenges` says of images that are not new."""
    return record["n_images"], record["n_left_out"], record["n_trained_on"], record["n_chosen_on"]


@pytest.mark.parametrize(
    ("words", "n"),
    [
        pytest.param(REGS, 6, id="reg"),
        pytest.param((*REGS, "--folds", 2), 0, id="reg by folds"),
        pytest.param(("sweep", "--reg-grid", "0.1"), 0, id="a grid of one"),
        pytest.param(RATES, 6, id="the cell"),
        pytest.param((*SGD, *PATIENCE), 6, id="the epoch"),
        pytest.param(SGD, 0, id="nothing"),
    ],
)
def test_validation_images_that_chose_are_counted(
    linprobe: Any, own: Path, mixed: Path, words: tuple[Any, ...], n: int
) -> None:
    linprobe(words[0], own, *words[1:], "--out", "run")
    told = linprobe("evaluate", "run", mixed)
    line = rf"^chosen by +{n} of these images, so not all are new: they chose settings of the model, or when a training"
    assert (re.search(line, told.out, re.MULTILINE) is not None) == (n > 0)
    assert of(linprobe("evaluate", "run", mixed, "--json").record) == (16, 0, 0, n)
    mirror = ("--challenges", "mirror", "--severity", 1)
    assert of(linprobe("challenges", "run", mixed, *mirror, "--json").record) == (16, 0, 0, n)
    assert of(linprobe("evaluate", "run", own, "--split", "validation", "--json").record) == (6, 0, 0, n)
    assert of(linprobe("evaluate", "run", mixed.parent / "new", "--json").record) == (10, 0, 0, 0)


def test_features_that_learn_from_labels_are_chosen_by_validation_images(
    linprobe: Any, own: Path, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SGD[1:], "--features", "hog", "--image-size", "32x32")
    for name, n in (("unsupervised", 0), ("supervised", 6)):
        monkeypatch.setattr(HogMap, "supervised", name == "supervised")
        linprobe("train", own, *words, "--out", name)
        assert of(linprobe("evaluate", name, mixed, "--json").record) == (16, 0, 0, n)


def test_images_held_out_that_a_refit_trains_on_are_trained_on(linprobe: Any, own: Path) -> None:
    linprobe(REGS[0], own / "train", *REGS[1:], "--out", "run")
    shutil.copytree(own / "train", "again")
    shutil.copy(own / "test" / "dark" / "0.png", "again/dark/new.png")
    assert of(linprobe("evaluate", "run", "again", "--json").record) == (4, 13, 0, 0)  # 3 test images, and the new one


def test_images_held_out_for_the_epoch_are_counted(linprobe: Any, own: Path) -> None:
    linprobe("train", own / "train", *SGD[1:], *PATIENCE, "--validation", 0.25, "--out", "run")
    shutil.copytree(own / "train", "again")
    shutil.copy(own / "test" / "dark" / "0.png", "again/dark/new.png")
    assert of(linprobe("evaluate", "run", "again", "--json").record) == (7, 10, 0, 3)  # 3 test images of then


def test_an_image_that_trained_and_chose_is_counted_once(linprobe: Any, own: Path, mixed: Path) -> None:
    shutil.copy(own / "train" / "dark" / "0.png", own / "val" / "dark" / "twin.png")
    shutil.copy(own / "train" / "dark" / "0.png", mixed / "dark" / "twin.png")
    linprobe(REGS[0], own, *REGS[1:], "--out", "run")
    assert of(linprobe("evaluate", "run", mixed, "--json").record) == (16, 1, 0, 6)
    assert of(linprobe("evaluate", "run", mixed, "--split", "train", "--json").record) == (17, 0, 1, 6)


def test_a_test_image_that_chose_is_named_by_the_run_and_its_report(linprobe: Any, own: Path) -> None:
    shutil.copy(own / "val" / "dark" / "0.png", own / "test" / "dark" / "seen.png")
    swept = linprobe(REGS[0], own, *REGS[1:], "--out", "run", "--json", report=True)
    assert (swept.record["n_test_trained_on"], swept.record["n_test_chosen_on"]) == (0, 1)
    assert "1 of 9 test images are equal to a validation image or to its mirror image" in swept.err
    assert of(linprobe("evaluate", "run", own, "--json").record) == (9, 0, 0, 1)
    assert "1 of them equal to a validation image, so not all are new" in Path("run/report.html").read_text()
    trained = linprobe(SGD[0], own, *SGD[1:], "--json")
    assert (trained.record["n_test_chosen_on"], trained.err) == (0, "")


def test_a_test_image_that_chose_k_is_named(linprobe: Any, own: Path) -> None:
    shutil.copy(own / "val" / "dark" / "0.png", own / "test" / "dark" / "seen.png")
    assert "1 of 9 test images are equal to a validation image" in linprobe("knn", own, "--k", "1,3").err
    assert linprobe("knn", own, "--k", "1").err == ""
    assert "test images" not in linprobe("knn", own, "--k", "1,3", "--folds", 2).err


def test_a_limit_counts_those_that_it_leaves_and_the_report_names_them(linprobe: Any, own: Path, mixed: Path) -> None:
    linprobe(REGS[0], own, *REGS[1:], "--out", "run")
    words = ("challenges", "run", own.parent / "pictures" / "val", "--challenges", "mirror", "--severity", 1)
    assert of(linprobe(*words, "--limit", 2, "--json").record) == (2, 0, 0, 2)
    linprobe("challenges", "run", mixed, *words[3:])
    linprobe("report", "run")
    assert "6 of them not new because they chose settings of the model" in Path("run/report.html").read_text()
    assert of(linprobe("challenges", "knn:1", *words[2:], "--json").record)[3] == 0


def test_a_file_of_an_earlier_version_does_not_say(linprobe: Any, own: Path, mixed: Path) -> None:
    linprobe(REGS[0], own, *REGS[1:], "--out", "run")
    model = load_model("run")
    model.chosen_on_ = None
    save(model, "earlier.safetensors", model.extra_)
    assert of(linprobe("evaluate", "earlier.safetensors", mixed, "--json").record) == (16, 0, 0, None)
    model.chosen_on_ = np.zeros(3)
    save(model, "bad.safetensors", model.extra_)
    with pytest.raises(ModelFileError, match="chosen_on is no array"):
        load_model("bad.safetensors")
