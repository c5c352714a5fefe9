"""`linprobe evaluate`: the figures agree with the training's, and classes are matched by name."""

from __future__ import annotations

import copy
import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linprobe import LinearClassifier, load_model, open_dataset
from linprobe.classifiers.model_file import model_bytes, save
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
    assert re.search(
        rf"^accuracy +{run['test_accuracy']:.4f}, 95% interval 0\.\d{{3}} to 0\.\d{{3}}$", answer.out, re.MULTILINE
    )


def test_a_split_that_the_training_did_not_hold_out_is_refused(linprobe: Any, pictures: Path) -> None:
    linprobe("train", pictures, "--optimizer", "sgd", "--epochs", 1, "--out", "run")
    answer = linprobe("evaluate", "run", pictures, "--split", "validation")
    assert answer.code == 2
    assert "has no validation split, only train and test, and the training held out none" in answer.err


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


def test_pictures_that_were_trained_on_are_left_out(linprobe: Any, tmp_path: Path, write_pictures: Write) -> None:
    write_pictures(tmp_path / "grows", 10, 0)
    linprobe("train", "grows", "--out", "run")
    as_trained = linprobe("evaluate", "run", "grows", "--json").record
    assert (as_trained["split"], as_trained["n_images"], as_trained["n_left_out"]) == ("test", 4, 0)
    write_pictures(tmp_path / "more", 3, 7)
    for kind in ("dark", "light"):
        for i in range(3):
            shutil.copy(tmp_path / "more" / kind / f"{i}.png", tmp_path / "grows" / kind / f"new{i}.png")
    record = linprobe("evaluate", "run", "grows", "--json").record  # the 4 test images of then, and 6 new ones
    assert (record["split"], record["n_images"], record["n_left_out"], record["n_trained_on"]) == ("all", 10, 16, 0)
    told = linprobe("evaluate", "run", "grows").out
    assert re.search(r"^split +all: the whole source$", told, re.MULTILINE)
    assert re.search(r"^left out +16 images that the model was trained on$", told, re.MULTILINE)
    for model in ("run", "run/model.safetensors"):  # other names, other places: it is the pixels that count
        shutil.copytree(tmp_path / "grows", tmp_path / "copy", dirs_exist_ok=True)
        assert linprobe("evaluate", model, "copy", "--json").record["n_left_out"] == 16
    refused = linprobe("evaluate", "run", "grows", "--split", "test")
    assert refused.code == 2
    assert "choose --split all" in refused.err


def test_a_source_of_pictures_that_were_all_trained_on_is_refused(
    linprobe: Any, pictures: Path, tmp_path: Path
) -> None:
    linprobe("train", pictures, "--out", "run")
    shutil.copytree(pictures / "train", tmp_path / "again")
    answer = linprobe("evaluate", "run", "again")
    assert answer.code == 2
    assert "the model was trained on all 16 images of all; give images that it has not seen" in answer.err
    record = linprobe("evaluate", "run", "again", "--split", "train", "--json").record
    assert (record["n_images"], record["n_trained_on"]) == (16, 16)


def test_another_source_is_used_whole_or_by_its_own_test_split(
    linprobe: Any, pictures: Path, tmp_path: Path, write_pictures: Write
) -> None:
    linprobe("train", pictures, "--out", "run")
    write_pictures(tmp_path / "other", 10, 5)
    whole = linprobe("evaluate", "run", "other", "--json").record
    assert (whole["split"], whole["split_origin"], whole["n_images"]) == ("all", "the whole source", 20)
    write_pictures(tmp_path / "tests" / "test", 3, 6)
    own = linprobe("evaluate", "run", "tests", "--json").record  # a folder with test/ alone
    assert (own["split"], own["split_origin"], own["n_images"]) == ("test", "the source's own", 6)
    shutil.copy(pictures / "train" / "dark" / "0.png", tmp_path / "tests" / "test" / "dark" / "seen.png")
    assert linprobe("evaluate", "run", "tests", "--json").record["n_left_out"] == 1


def test_a_test_split_that_lacks_a_class_is_scored_and_said(linprobe: Any, pictures: Path) -> None:
    shutil.rmtree(pictures / "test" / "light")
    trained = linprobe("train", pictures, "--out", "run", "--json")
    assert trained.record["n_test"] == 4
    assert "warning: class 'light' has no image in the test split: its figures are over the other 1" in trained.err
    told = linprobe("evaluate", "run", pictures, "--json")
    assert told.record["accuracy"] == trained.record["test_accuracy"]
    assert [one["accuracy"] is None for one in told.record["classes"]] == [False, True]
    assert "class 'light' has no image in the test split" in told.err


def test_test_images_that_equal_training_images_are_counted(linprobe: Any, pictures: Path) -> None:
    shutil.copy(pictures / "train" / "dark" / "0.png", pictures / "test" / "dark" / "seen.png")
    trained = linprobe("train", pictures, "--out", "run", "--json")
    assert "1 of 9 test images are equal to a training image" in trained.err
    assert "1 of 9 test images are equal to a training image" in linprobe("knn", pictures, "--k", 1).err
    record = linprobe("evaluate", "run", pictures, "--json").record  # the figure of the training, and what is wrong
    assert (record["n_images"], record["n_trained_on"]) == (9, 1)
    assert record["accuracy"] == trained.record["test_accuracy"]


def test_a_model_that_does_not_know_its_training_images_says_so(linprobe: Any, pictures: Path) -> None:
    data = open_dataset(pictures)
    save(LinearClassifier(random_state=0).fit_sets(data.train), "mine.safetensors")
    answer = linprobe("evaluate", "mine.safetensors", pictures, "--json")
    assert answer.record["n_trained_on"] is None
    assert answer.err == (
        "warning: the model file does not say which images the model was trained on, so none was left out, and any "
        "among these makes the figures too good. Give images that it has not seen, or train again.\n"
    )


def test_a_run_of_a_version_without_digests_says_what_to_do(
    linprobe: Any, tmp_path: Path, write_pictures: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "undivided", 10, 0)

    def earlier(classifier: Any, made_from: dict[str, Any]) -> bytes:
        classifier = copy.copy(classifier)
        classifier.trained_on_ = classifier.chosen_on_ = None
        return model_bytes(classifier, {name: value for name, value in made_from.items() if name != "content"})

    with monkeypatch.context() as patched:
        patched.setattr("linprobe.runs.train.model_bytes", earlier)
        trained = linprobe("train", "undivided", "--seed", 3, "--out", "run", "--json").record
    advised = "If this is the source of the training, add --seed 3 to test on what it held out; else train again."
    whole = linprobe("evaluate", "run", "undivided", "--json")
    assert whole.record["split"] == "all"
    assert advised in whole.err
    assert whole.err.count("\n") == 1
    refused = linprobe("evaluate", "run", "undivided", "--split", "test")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "not known whether this is the source of the training; add --seed 3 to draw the split" in refused.err
    followed = linprobe("evaluate", "run", "undivided", "--seed", 3, "--json")
    assert followed.record["accuracy"] == trained["test_accuracy"]
    assert followed.record["split_origin"] == trained["test_origin"]
    assert "right only if the source is that of the training, unchanged" in followed.err


@pytest.mark.parametrize("grey", ["trained", "tested"])
def test_grey_and_colour_are_converted_as_predict_does(
    linprobe: Any, pictures: Path, tmp_path: Path, grey: str
) -> None:
    shutil.copytree(pictures, tmp_path / "grey")
    for path in (tmp_path / "grey").rglob("*.png"):
        with Image.open(path) as picture:
            picture.convert("L").save(path)
    trained, tested = ("grey", pictures) if grey == "trained" else (pictures, "grey")
    linprobe("train", trained, "--out", "run")
    record = linprobe("evaluate", "run", tested, "--json").record
    files = sorted((Path(tested) / "test").rglob("*.png"))
    predicted = linprobe("predict", "run", *files, "--json").record["images"]
    hits = [one["class"] == path.parent.name for one, path in zip(predicted, files, strict=True)]
    assert (record["n_images"], record["accuracy"]) == (8, pytest.approx(np.mean(hits)))


def test_the_confusion_matrix_is_written_as_csv(linprobe: Any, run: dict[str, Any]) -> None:
    record = linprobe("evaluate", run["run"], "digits", "--confusion", "c.csv", "--json").record
    rows = list(csv.reader(Path("c.csv").read_text().splitlines()))
    assert rows[0] == ["is \\ taken for", *map(str, range(10))]
    assert [[int(count) for count in row[1:]] for row in rows[1:]] == record["confusion"]
    assert [row[0] for row in rows[1:]] == [str(k) for k in range(10)]


def test_challenges_leave_out_what_was_trained_on(linprobe: Any, pictures: Path, tmp_path: Path) -> None:
    linprobe("train", pictures / "train", "--out", "run")
    shutil.copytree(pictures / "train", tmp_path / "grown")
    shutil.copy(pictures / "test" / "dark" / "0.png", tmp_path / "grown" / "dark" / "new.png")
    answer = linprobe("challenges", "run", "grown", "--challenges", "mirror", "--severity", "1", "--json")
    assert answer.record["n_images"] == 4  # 3 test images of then, and the new one
    assert (answer.record["split"], answer.record["n_left_out"]) == ("all", 13)
