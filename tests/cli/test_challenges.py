"""`linprobe challenges`: the table, the record and the sheet; what does not fit is told in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., None]


def is_png(path: str) -> bool:
    with Image.open(path) as picture:
        return picture.format == "PNG"


@pytest.fixture
def run(linprobe: Any, pictures: Path) -> dict[str, Any]:
    """A run on the small pictures, with its result."""
    record: dict[str, Any] = linprobe("train", pictures, "--out", "run", "--json").record
    return record


def test_the_record_holds_every_challenge_and_is_kept_in_the_run(
    linprobe: Any, run: dict[str, Any], pictures: Path
) -> None:
    record = linprobe("challenges", "run", pictures, "--json").record
    assert record["clean"]["accuracy"] == run["test_accuracy"]
    assert record["n_images"] == 8
    assert len(record["cells"]) == 11 * 5
    assert {cell["challenge"] for cell in record["cells"]} == {
        "viewpoint",
        "illumination",
        "deformation",
        "occlusion",
        "clutter",
    }
    for cell in record["cells"]:
        assert 0 <= cell["low"] <= cell["accuracy"] <= cell["high"] <= 1
    assert record["intraclass"]["clusters"]
    assert json.loads(Path("run/challenges.json").read_text()) == record
    assert record["sheet"] == str(Path("run/challenges.png"))
    assert is_png("run/challenges.png")
    # nothing else is left in the run, and it is a run still
    assert not list(Path("run").glob(".*"))
    assert linprobe("evaluate", "run", pictures).code == 0


def test_the_same_seed_and_any_threads_give_the_same_record(linprobe: Any, run: dict[str, Any], pictures: Path) -> None:
    first = linprobe("challenges", "run", pictures, "--seed", 4, "--threads", 1, "--json").record
    sheet = Path("run/challenges.png").read_bytes()
    assert linprobe("challenges", "run", pictures, "--seed", 4, "--threads", 3, "--json").record == first
    assert Path("run/challenges.png").read_bytes() == sheet


def test_the_tables_hold_the_figures(linprobe: Any, run: dict[str, Any], pictures: Path) -> None:
    answer = linprobe("challenges", "run", pictures, "--severity", "1,3", "--challenges", "illumination,mirror")
    assert answer.code == 0
    assert re.search(r"^severity +1 +3 +mean$", answer.out, re.MULTILINE)
    ends = r" +[01]\.\d\d-[01]\.\d\d"
    assert re.search(rf"^viewpoint\n mirror( +[01]\.\d{{3}}){{3}}\n(?:{ends}){{2}}$", answer.out, re.MULTILINE)
    interval = r"[01]\.\d{4}, 95% interval [01]\.\d{3} to [01]\.\d{3}"
    assert re.search(rf"^accuracy unchanged +{interval}$", answer.out, re.MULTILINE)
    assert re.search(r"^sheet +run.challenges\.png$", answer.out, re.MULTILINE)
    assert "patch" not in answer.out


def test_classes_too_small_to_be_divided_are_told_in_words(linprobe: Any, run: dict[str, Any], pictures: Path) -> None:
    asked = ("--severity", "1", "--challenges", "mirror,intraclass")
    answer = linprobe("challenges", "run", pictures, *asked)
    assert re.search("^best less worst +no class has two clusters of 10 images$", answer.out, re.MULTILINE)


def test_a_model_file_leaves_only_the_sheet_that_was_asked_for(
    linprobe: Any, run: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    before = sorted(path.name for path in Path("run").iterdir())
    model = Path("run/model.safetensors")
    record = linprobe("challenges", model, pictures, "--challenges", "patch", "--json").record
    assert record["sheet"] is None
    assert linprobe("challenges", model, pictures, "--challenges", "patch", "--sheet", "mine.png").code == 0
    assert is_png("mine.png")
    assert sorted(path.name for path in Path("run").iterdir()) == before
    answer = linprobe("challenges", model, pictures, "--challenges", "patch", "--sheet", "nowhere/mine.png")
    assert answer.code == 2
    assert "nowhere/mine.png: cannot be written" in answer.err


def test_fewer_images_are_spread_over_the_source(linprobe: Any, run: dict[str, Any], pictures: Path) -> None:
    record = linprobe("challenges", "run", pictures, "--limit", 2, "--challenges", "intraclass", "--json").record
    assert record["clean"]["n_images"] == record["limit"] == 2
    assert {cluster["class"] for cluster in record["intraclass"]["clusters"]} == {"dark", "light"}


def test_a_source_without_a_test_split_gives_up_the_same_as_in_training(linprobe: Any) -> None:
    trained = linprobe(
        "train", "digits", "--optimizer", "sgd", "--epochs", 2, "--seed", 5, "--out", "digits-run", "--json"
    ).record
    record = linprobe("challenges", "digits-run", "digits", "--severity", "0", "--json").record
    assert record["clean"]["accuracy"] == trained["test_accuracy"]
    assert record["cells"] == []
    record = linprobe("challenges", "digits-run", "digits", "--severity", 5, "--challenges", "viewpoint", "--json")
    assert record.record["cells"][0]["accuracy"] < trained["test_accuracy"]


def test_classes_are_matched_by_name(linprobe: Any, tmp_path: Path, write_pictures: Write) -> None:
    write_pictures(tmp_path / "three", 20, 0, names=("amber", "dark", "light"))
    linprobe("train", "three", "--out", "run")
    write_pictures(tmp_path / "two" / "test", 5, 2)
    write_pictures(tmp_path / "two" / "train", 5, 3)
    record = linprobe("challenges", "run", "two", "--challenges", "none", "--json").record
    assert record["clean"]["accuracy"] > 0.5
    (tmp_path / "two" / "test" / "dark").rename(tmp_path / "two" / "test" / "night")
    (tmp_path / "two" / "train" / "dark").rename(tmp_path / "two" / "train" / "night")
    answer = linprobe("challenges", "run", "two")
    assert answer.code == 2
    assert "the model does not know the class 'night'" in answer.err


@pytest.fixture
def corrupted(tmp_path: Path) -> Path:
    """CIFAR-10-C's files for the small pictures."""
    folder = tmp_path / "small-C"
    folder.mkdir()
    levels = np.repeat(np.tile([20, 220], 5), 1)[:, None, None, None]
    np.save(folder / "fog.npy", np.broadcast_to(levels, (10, 4, 4, 3)).astype(np.uint8))
    np.save(folder / "labels.npy", np.tile([0, 1], 5))
    return folder


def test_corrupted_sets_are_scored_beside_or_alone(
    linprobe: Any, run: dict[str, Any], pictures: Path, corrupted: Path
) -> None:
    both = linprobe("challenges", "run", pictures, "--challenges", "patch", "--corrupted", corrupted, "--json").record
    assert [cell["kind"] for cell in both["cells"]] == ["patch"] * 5 + ["fog"] * 5
    assert both["corrupted"] == str(corrupted)
    assert both["cells"][-1]["accuracy"] == 1.0
    assert both["cells"][-1]["n_images"] == 2
    alone = linprobe("challenges", "run", pictures, "--challenges", "none", "--corrupted", corrupted)
    assert re.search(r"^corrupted\n fog( +1\.000){6}\n( +0\.34-1\.00){5}$", alone.out, re.MULTILINE)


def test_a_folder_of_class_folders_is_one_corrupted_set(
    linprobe: Any, run: dict[str, Any], pictures: Path, tmp_path: Path, write_pictures: Write
) -> None:
    write_pictures(tmp_path / "foggy", 3, 9)
    answer = linprobe("challenges", "run", pictures, "--challenges", "none", "--corrupted", "foggy")
    assert re.search(r"^corrupted\n foggy +[01]\.\d{3}\n +[01]\.\d\d-[01]\.\d\d$", answer.out, re.MULTILINE)


def test_bad_input_ends_in_one_line_before_anything_is_scored(
    linprobe: Any, run: dict[str, Any], pictures: Path, corrupted: Path, tmp_path: Path
) -> None:
    np.save(corrupted / "fog.npy", np.zeros((10, 5, 5, 3), np.uint8))
    rows = np.random.default_rng(0).normal(size=(60, 4))
    np.savez(tmp_path / "rows.npz", X=rows, y=(rows[:, 0] > 0).astype(np.int64))
    linprobe("train", "rows.npz", "--out", "vectors")
    for arguments, message in (
        (["run", pictures, "--corrupted", corrupted], "its images are 5x5x3, but the model was trained on 4x4x3"),
        (["run", pictures, "--corrupted", "nowhere"], "nowhere: no such folder"),
        (["run", pictures, "--challenges", "blur"], "'blur'; expected one of viewpoint, illumination"),
        (["run", pictures, "--severity", "0:6"], "'0:6'; expected severities of 0..5"),
        (["run", pictures, "--severity", "3:1"], "expected severities of 0..5"),
        (["run", pictures, "--image-size", "5x5"], "--image-size 4x4"),
        (["run", "digits"], "its images are 8x8x1, but the model was trained on 4x4x3"),
        (["run", "rows.npz"], "holds vectors"),
        (["vectors", "rows.npz"], "was trained on vectors of 4 numbers"),
        (["nowhere", pictures], "no such run folder or model file"),
    ):
        answer = linprobe("challenges", *arguments)
        assert (answer.code, answer.out) == (2, ""), arguments
        assert message in answer.err
        assert answer.err.count("\n") == 1
    assert not Path("run/challenges.json").exists()
