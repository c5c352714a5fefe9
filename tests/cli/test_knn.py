"""`linprobe knn`: what it prints, and how it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


def test_the_record_holds_what_was_chosen_and_how_it_did(linprobe: Any) -> None:
    answer = linprobe("knn", "digits", "--k", "1,3,5", "--json")
    record = answer.record
    assert answer.code == 0
    assert answer.err == ""
    assert record["k"] in (1, 3, 5)
    assert record["metric"] == "l2"
    assert set(record["validation_accuracies"]) == {"1", "3", "5"}
    assert record["validation_accuracy"] == max(record["validation_accuracies"].values())
    assert record["test_accuracy"] > 0.95
    assert record["seconds"] > 0


def test_the_table_says_the_same(linprobe: Any) -> None:
    out = linprobe("knn", "digits", "--k", "1,3", "--metric", "l1", "--folds", 2).out
    assert out.splitlines()[0].split() == ["k", "validation", "accuracy"]
    assert "chosen by 2 folds; metric l1" in out
    assert "test accuracy" in out


def test_the_neighbours_of_a_picture_are_listed(linprobe: Any, pictures: Path) -> None:
    image = pictures / "train" / "light" / "3.png"
    arguments = ("knn", pictures, "--k", "3", "--neighbours-of", image)
    one = linprobe(*arguments, "--json").record["neighbours"][0]
    assert one["image"] == str(image)
    assert one["class"] == "light"
    assert len(one["neighbours"]) == 3
    assert one["neighbours"][0]["distance"] == 0.0
    assert one["neighbours"][0]["name"].endswith("light/3.png")
    distances = [neighbour["distance"] for neighbour in one["neighbours"]]
    assert distances == sorted(distances)
    out = linprobe(*arguments).out
    assert "light/3.png: light" in out
    assert "distance" in out


def test_embeddings_are_compared_by_cosine(linprobe: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(3, 8))
    y = np.arange(90) % 3
    X = (directions[y] + 0.05 * rng.normal(size=(90, 8))) * rng.uniform(0.1, 10, (90, 1))
    np.savez(tmp_path / "rows.npz", X=X.astype(np.float16), y=y)
    assert linprobe("knn", "rows.npz", "--metric", "cosine", "--k", "1,3", "--json").record["test_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--k", "0"], "'0'; expected numbers of neighbours >= 1"),
        (["--k", "1,x"], "'1,x'; expected numbers of neighbours >= 1"),
        (["--k", "1,5000"], "k = 5000 neighbours, but n_samples = "),
        (["--metric", "cosine"], "metric = 'cosine' needs float vectors; found uint8 pixels"),
        (["--metric", "l3"], "'l3'"),
        (["--folds", "1"], "folds"),
        (["--folds", "3", "--validation", "0.2"], "--folds and --validation are two ways to choose k"),
        (["--validation", "0"], "validation"),
        (["--neighbours-of", "none.png"], "none.png"),
    ],
)
def test_bad_input_is_one_line(linprobe: Any, arguments: list[str], words: str) -> None:
    answer = linprobe("knn", "digits", *arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert words in answer.err


def test_l1_does_not_fit_vectors(linprobe: Any) -> None:
    answer = linprobe("knn", "planar:shell", "--metric", "l1")
    assert answer.code == 2
    assert answer.err == ("error: metric = 'l1' needs uint8 pixels; found float32 numbers. Use 'l2' or 'cosine'.\n")
