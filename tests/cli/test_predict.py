"""`linprobe predict`: the class of single pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linprobe import load_model


@pytest.fixture
def model(linprobe: Any, pictures: Path) -> Path:
    """A run on dark and light pictures, of 4x4 pixels in colour."""
    linprobe("train", pictures, "--out", "run")
    return Path("run")


def test_each_picture_gets_its_class_and_a_probability(linprobe: Any, model: Path, pictures: Path) -> None:
    images = [pictures / "test" / "light" / "1.png", pictures / "test" / "dark" / "0.png"]
    record = linprobe("predict", model, *images, "--json").record
    assert [one["image"] for one in record["images"]] == [str(image) for image in images]
    assert [one["class"] for one in record["images"]] == ["light", "dark"]
    for one, image in zip(record["images"], images, strict=True):
        row = np.asarray(Image.open(image)).reshape(1, -1)
        expected = load_model(model).predict_proba(row)[0].max()
        assert one["best"][0]["probability"] == pytest.approx(expected)
        assert sum(best["probability"] for best in one["best"]) == pytest.approx(1.0)


def test_a_hinge_model_gives_scores(linprobe: Any, pictures: Path) -> None:
    linprobe("train", pictures, "--loss", "hinge", "--out", "run")
    record = linprobe("predict", "run", pictures / "test" / "dark" / "0.png", "--json").record
    one = record["images"][0]
    assert one["best"][0]["score"] == one["scores"]["dark"] > one["scores"]["light"]
    assert "score" in linprobe("predict", "run", pictures / "test" / "dark" / "0.png").out


def test_the_table_shows_the_best_classes(linprobe: Any, model: Path, pictures: Path) -> None:
    image = pictures / "test" / "dark" / "0.png"
    lines = linprobe("predict", model, image, "--top", 1).out.splitlines()
    assert lines[0].split() == ["image", "class", "probability"]
    assert lines[2].split()[:2] == [str(image), "dark"]
    assert len(linprobe("predict", model, image, "--top", 9).out.splitlines()) == len(lines) + 1


def test_grey_and_transparent_pictures_are_read_as_the_model_reads(linprobe: Any, model: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 20, np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((4, 4, 4), (0, 0, 0, 0), np.uint8)).save(tmp_path / "clear.png")
    record = linprobe("predict", model, "grey.png", "clear.png", "--json").record
    assert [one["class"] for one in record["images"]] == ["dark", "light"]  # alpha is laid over white


def test_a_picture_of_another_size_is_refused_unless_resized(linprobe: Any, model: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 6, 3), np.uint8)).save(tmp_path / "large.png")
    answer = linprobe("predict", model, "large.png")
    assert answer.code == 2
    assert answer.err == (
        "error: large.png: has 8x6 pixels, but the model was trained on 4x4; resize it with --image-size 4x4.\n"
    )
    assert (
        linprobe("predict", model, "large.png", "--image-size", "4x4", "--json").record["images"][0]["class"] == "dark"
    )


def test_a_model_trained_on_resized_pictures_resizes(linprobe: Any, pictures: Path, tmp_path: Path) -> None:
    linprobe("train", pictures, "--image-size", "3", "--out", "run")
    Image.fromarray(np.zeros((8, 6, 3), np.uint8)).save(tmp_path / "large.png")
    assert linprobe("predict", "run", "large.png", "--json").record["images"][0]["class"] == "dark"


def test_files_that_are_no_pictures_are_all_named(linprobe: Any, model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    files = (pictures / "test" / "dark" / "0.png", "text.png", "none.png")
    answer = linprobe("predict", model, *files, "--on-bad-image", "fail")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("error: 2 of 3 files cannot be read as pictures: ")
    for name in ("text.png", "none.png"):
        assert name in answer.err


def test_bad_pictures_are_left_out_and_counted(linprobe: Any, model: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.zeros((8, 6, 3), np.uint8)).save(tmp_path / "large.png")
    answer = linprobe("predict", model, "text.png", pictures / "test" / "dark" / "0.png", "large.png", "--json")
    assert answer.code == 0
    assert [one["class"] for one in answer.record["images"]] == ["dark"]
    assert [one["image"] for one in answer.record["skipped"]] == ["text.png", "large.png"]
    assert answer.err.startswith("warning: 2 of 3 pictures were left out: text.png (")
    assert "resize it with --image-size 4x4" in answer.err
    nothing = linprobe("predict", model, "text.png")
    assert (nothing.code, nothing.out) == (2, "")


def test_a_folder_stands_for_its_pictures(linprobe: Any, model: Path, pictures: Path) -> None:
    (pictures / "test" / "notes.txt").write_text("no picture")
    record = linprobe("predict", model, pictures / "test", "--json").record
    assert [one["image"] for one in record["images"]] == [str(p) for p in sorted((pictures / "test").rglob("*.png"))]
    assert record["skipped"] == []
    (pictures / "empty").mkdir()
    answer = linprobe("predict", model, pictures / "empty")
    assert answer.code == 2
    assert "holds no picture" in answer.err


def test_predictions_are_written_as_csv_and_json_lines(linprobe: Any, model: Path, pictures: Path) -> None:
    record = linprobe("predict", model, pictures / "test", "--json", "--out", "p.csv").record
    head, *rows = csv.reader(Path("p.csv").read_text().splitlines())
    assert head == ["image", "class", "dark", "light"]
    assert [row[:2] for row in rows] == [[one["image"], one["class"]] for one in record["images"]]
    probabilities = {best["class"]: best["probability"] for best in record["images"][0]["best"]}
    assert [float(value) for value in rows[0][2:]] == [probabilities["dark"], probabilities["light"]]
    assert linprobe("predict", model, pictures / "test", "--out", "p.jsonl").code == 0
    lines = [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()]
    assert [line["scores"] for line in lines] == [one["scores"] for one in record["images"]]
    refused = linprobe("predict", model, pictures / "test", "--out", "p.txt")
    assert refused.code == 2
    assert "FILE.csv or FILE.jsonl" in refused.err


def test_a_model_of_vectors_is_refused(linprobe: Any, pictures: Path) -> None:
    linprobe("train", "planar:shell", "--optimizer", "sgd", "--epochs", 1, "--out", "run")
    answer = linprobe("predict", "run", pictures / "test" / "dark" / "0.png")
    assert answer.code == 2
    assert "this model was trained on vectors of 2 numbers, not on pictures" in answer.err
