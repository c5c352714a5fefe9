"""Embeddings through every command: arrays and Parquet, from the source to the run and back."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linprobe import load_model

SPLITS = {"train": 60, "val": 20, "test": 30}
MEAN = np.float32(20.0)
"""What all vectors share, as those of a network do."""


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` vectors of 8 numbers of three classes far apart, (n, 8) float32 and (n,) names."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = MEAN + 0.3 * random.standard_normal((n, 8))
    X[np.arange(n), y] += 2
    return X.astype(np.float32), np.array(["cat", "dog", "owl"])[y]


def write_npy(folder: Path, dtype: str) -> None:
    for seed, (word, n) in enumerate(SPLITS.items()):
        X, y = draw(n, seed)
        np.save(folder / f"X_{word}.npy", X.astype(dtype))
        np.save(folder / f"y_{word}.npy", y)


def write_npz(folder: Path, dtype: str) -> None:
    for seed, (word, n) in enumerate(SPLITS.items()):
        X, y = draw(n, seed)
        np.savez(folder / f"{word}.npz", embeddings=X.astype(dtype), labels=y)


def write_parquet(folder: Path, dtype: str) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    for seed, (word, n) in enumerate(SPLITS.items()):
        X, y = draw(n, seed)
        for i, rows in enumerate(np.array_split(np.arange(n), 2)):
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(X[rows].astype(dtype).ravel()), X.shape[1])
            names = pa.array(y[rows].tolist()).dictionary_encode()
            pq.write_table(pa.table({"embedding": vectors, "label": names}), folder / f"{word}-{i}.parquet")


WRITERS = [write_npy, write_npz, write_parquet]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_embeddings_are_trained_on_evaluated_described_and_checked(
    linprobe: Any, tmp_path: Path, write: Any, dtype: str
) -> None:
    (tmp_path / "embeddings").mkdir()
    write(tmp_path / "embeddings", dtype)
    metrics = linprobe("train", "embeddings/", "--optimizer", "sgd", "--epochs", 10, "--out", "run", "--json").record
    assert [metrics[f"n_{part}"] for part in ("train", "validation", "test")] == list(SPLITS.values())
    assert metrics["image_shape"] is None
    assert metrics["test_accuracy"] == 1.0
    for split, part in (("test", "test"), ("validation", "validation"), ("train", "train")):
        record = linprobe("evaluate", "run", "embeddings", "--split", split, "--json").record
        assert record["accuracy"] == metrics[f"{part}_accuracy"]
        assert [c["name"] for c in record["classes"]] == ["cat", "dog", "owl"]
    record = linprobe("info", "embeddings", "--json").record
    assert (record["n_features"], record["dtype"], record["n_classes"]) == (8, dtype, 3)
    assert record["n_images"] == {"train": 60, "validation": 20, "test": 30}
    assert linprobe("info", "run", "--json").record["settings"]["preprocess"] == "center"
    for loss in ("softmax", "hinge"):
        assert linprobe("gradcheck", "embeddings", "--loss", loss, "--json").record["ok"]


def test_the_same_vectors_give_the_same_run_in_every_format(linprobe: Any, tmp_path: Path) -> None:
    objectives = set()
    for write in WRITERS:
        (tmp_path / write.__name__).mkdir()
        write(tmp_path / write.__name__, "float16")
        objectives.add(
            linprobe("train", write.__name__, "--optimizer", "sgd", "--epochs", 3, "--json").record["objective"]
        )
    assert len(objectives) == 1


def test_vectors_are_centred_unless_another_map_is_asked_for(linprobe: Any, tmp_path: Path) -> None:
    write_npy(tmp_path, "float32")
    found = {
        kind: linprobe(
            "train", ".", "--optimizer", "sgd", "--epochs", 10, "--preprocess", kind, "--out", kind, "--json"
        ).record["objective"]
        for kind in ("auto", "center", "none")
    }
    assert found["auto"] == found["center"]
    assert found["auto"] < found["none"] / 2  # the mean, 20 in each feature, allows small steps only


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_run_on_embeddings_goes_on_to_the_same_bits(
    linprobe: Any, tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import linprobe.runs.train as runs

    (tmp_path / "embeddings").mkdir()
    write(tmp_path / "embeddings", "float16")
    whole = linprobe("train", "embeddings", "--optimizer", "sgd", "--epochs", 4, "--out", "whole", "--json").record

    def stop(self: Any, epoch: Any) -> None:
        record(self, epoch)
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    record = runs._Session._record
    with monkeypatch.context() as patch:
        patch.setattr(runs._Session, "_record", stop)
        assert linprobe("train", "embeddings", "--optimizer", "sgd", "--epochs", 4, "--out", "stopped").code == 130
    resumed = linprobe("train", "--resume", "stopped", "--json").record
    assert resumed["objective"] == whole["objective"]
    assert resumed["epochs"] == 4
    weights = [load_model(tmp_path / run).weights_ for run in ("stopped", "whole")]
    assert np.array_equal(*weights)


def test_a_model_of_embeddings_does_not_guess_at_pictures(linprobe: Any, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "embeddings").mkdir()
    write_npy(tmp_path / "embeddings", "float16")
    linprobe("train", "embeddings", "--optimizer", "sgd", "--epochs", 1, "--out", "run")
    answer = linprobe("predict", "run", pictures / "test" / "dark" / "0.png")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: run: this model was trained on vectors of 8 numbers, not on pictures. ")
    assert answer.err.count("\n") == 1
    answer = linprobe("evaluate", "run", pictures)
    assert answer.code == 2
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_training_makes_no_float64_copy_of_the_vectors(linprobe: Any, tmp_path: Path, dtype: str) -> None:
    X = np.random.default_rng(0).standard_normal((60_000, 256), np.float32).astype(dtype)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", np.arange(len(X)) % 2)
    linprobe("info", "digits")  # what is imported on the way
    tracemalloc.start()
    try:
        answer = linprobe("train", ".", "--optimizer", "sgd", "--epochs", 1, "--batch-size", 256, "--json")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.record["n_train"] == 48_000
    # In float64 X takes 123 MB. Blocks of rows, the labels and the scores take some 30 MB.
    assert peak < 8 * X.size / 2
