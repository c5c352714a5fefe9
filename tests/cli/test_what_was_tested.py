"""What a figure is of: which images, how many, how many were left out, and how many were seen before."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., None]

SGD = ("--optimizer", "sgd", "--epochs", 1)
"""A training of no time."""


@pytest.fixture
def drawn(tmp_path: Path, write_pictures: Write) -> Path:
    """A source whose test split is drawn."""
    write_pictures(tmp_path / "drawn", 10, 11)
    return tmp_path / "drawn"


def test_a_drawn_split_says_how_many_of_how_many(linprobe: Any, drawn: Path) -> None:
    linprobe("train", drawn, *SGD, "--validation", 0.25, "--out", "run")
    for part, n in (("validation", 4), ("test", 4)):
        record = linprobe("evaluate", "run", drawn, "--split", part, "--json").record
        assert record["n_images"] == n
        assert record["split_origin"] == "4 of the source's 20 images for training, drawn with seed 0"
    knn = linprobe("challenges", "knn:1", drawn, "--challenges", "mirror", "--severity", 1, "--json").record
    assert (knn["split_origin"], knn["n_trained_on"]) == (record["split_origin"], 0)


def test_a_class_of_the_model_that_the_source_does_not_have_is_named(
    linprobe: Any, tmp_path: Path, write_pictures: Write
) -> None:
    write_pictures(tmp_path / "three", 5, 0, names=("amber", "dark", "light"))
    linprobe("train", "three", *SGD, "--out", "run")
    write_pictures(tmp_path / "two", 5, 1)
    answer = linprobe("evaluate", "run", "two", "--json")
    (note,) = answer.record["notes"]
    assert note == "class 'amber' has no image in the source: its figures are over the other 2 of 3 classes."
    assert note in answer.err


@pytest.mark.parametrize("command", ["train", "sweep", "knn", "evaluate", "challenges"])
def test_pictures_that_cannot_be_read_are_counted_in_every_table(
    linprobe: Any, drawn: Path, pictures: Path, command: str
) -> None:
    (drawn / "dark" / "broken.png").write_bytes(b"no picture")
    words: list[object] = [command, drawn]
    if command in ("evaluate", "challenges"):
        linprobe("train", pictures, *SGD, "--out", "model")
        words = [command, "model", drawn]
    more = {"train": SGD, "sweep": ("--reg-grid", "0.1,1"), "challenges": ("--challenges", "mirror")}.get(command, ())
    answer = linprobe(*words, *more, "--on-bad-image", "skip")
    assert re.search(r"^skipped images +1$", answer.out, re.MULTILINE)
    assert linprobe(*words, *more, "--on-bad-image", "skip", "--json").record["skipped_images"] == 1


@pytest.fixture
def doubled(drawn: Path) -> Path:
    """Every picture twice."""
    for kind in ("dark", "light"):
        for path in sorted((drawn / kind).iterdir()):
            shutil.copy(path, path.with_name(f"copy-{path.name}"))
    return drawn


def test_a_limit_counts_the_seen_images_among_those_that_it_leaves(linprobe: Any, doubled: Path) -> None:
    trained = linprobe("train", doubled, *SGD, "--out", "run", "--json").record
    words = ("challenges", "run", doubled, "--challenges", "mirror", "--severity", 1, "--json")
    whole = linprobe(*words).record
    assert trained["n_test_trained_on"] == whole["n_trained_on"] > 2
    some = linprobe(*words, "--limit", 2).record
    assert (some["n_images"], some["n_trained_on"] <= 2) == (2, True)
    knn = linprobe("challenges", "knn:1", *words[2:]).record
    assert (knn["n_images"], knn["n_trained_on"]) == (whole["n_images"], whole["n_trained_on"])


def test_the_report_calls_no_image_unseen_that_was_seen(linprobe: Any, doubled: Path) -> None:
    trained = linprobe("train", doubled, *SGD, "--out", "run", "--json", report=True).record
    page = Path("run/report.html").read_text()
    assert f"8 images; {trained['n_test_trained_on']} of them equal to a training image, so not all are new" in page
    assert "never seen before" not in page


def test_the_report_names_the_source_of_the_challenges(linprobe: Any, drawn: Path, pictures: Path) -> None:
    linprobe("train", pictures, *SGD, "--out", "run")
    for source, words in ((pictures, "Accuracy on 8 test images, "), (drawn, f"20 images of another source ({drawn})")):
        linprobe("challenges", "run", source, "--challenges", "mirror", "--severity", 1)
        linprobe("report", "run")
        assert words in Path("run/report.html").read_text()


def test_images_that_judge_and_train_are_counted(linprobe: Any, doubled: Path) -> None:
    grid = ("--reg-grid", "0.1,1", "--json")
    by_share = linprobe("sweep", doubled, *grid).record["notes"]
    assert re.match(r"\d of 3 validation images are equal to a training image", by_share[1])
    by_folds = linprobe("sweep", doubled, *grid, "--folds", 2).record["notes"]
    assert re.match(r"\d+ of 32 training images are equal to another one, which may be in another fold", by_folds[1])
    for found, words in ((by_share, ()), (by_folds, ("--folds", 2))):
        notes = linprobe("knn", doubled, *words, "--k", "1,3", "--json").record["notes"]
        assert [note.split(":")[0].split(" ", 1)[1] for note in notes] == [
            note.split(":")[0].split(" ", 1)[1] for note in found
        ]


def test_images_of_two_classes_at_once_are_counted(linprobe: Any, pictures: Path) -> None:
    shutil.copy(pictures / "train" / "dark" / "0.png", pictures / "train" / "light" / "wrong.png")
    (note,) = linprobe("train", pictures, *SGD, "--json").record["notes"]
    assert note == "2 of 17 training images are equal to one of another class."


def test_folds_say_that_a_validation_split_is_not_used(linprobe: Any, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = np.arange(40) % 2
    np.savez(tmp_path / "s.npz", X_train=X, y_train=y, X_val=X[:6] + 1, y_val=y[:6], X_test=X[:4] - 1, y_test=y[:4])
    for command in (("sweep", "--reg-grid", "0.1,1"), ("knn", "--k", "1,3")):
        told = linprobe(command[0], "s.npz", *command[1:], "--folds", 2, "--json")
        assert "the 6 images of the validation split are not used" in told.err
        assert len(json.loads(told.out)["notes"]) == 1


def test_mirror_images_of_training_images_are_left_out(linprobe: Any, pictures: Path, tmp_path: Path) -> None:
    linprobe("train", pictures, *SGD, "--out", "run")
    for path in (pictures / "train").rglob("*.png"):
        new = tmp_path / "mirrored" / path.parent.name / path.name
        new.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as picture:
            picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(new)
    refused = linprobe("evaluate", "run", "mirrored")
    assert refused.code == 2
    assert "the model was trained on all 16 images" in refused.err
    shutil.copy(tmp_path / "mirrored" / "dark" / "0.png", pictures / "test" / "dark" / "seen.png")
    assert linprobe("evaluate", "run", pictures, "--json").record["n_left_out"] == 1
    assert linprobe("train", pictures, *SGD, "--json").record["n_test_trained_on"] == 1
