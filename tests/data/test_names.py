"""What names mean: splits wherever they stand, classes that look alike, arrays and files that are not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linprobe.data import open_dataset
from linprobe.data.base import Dataset
from linprobe.data.names import alike_note, split_word, splits_named
from linprobe.errors import LabelError, SplitError

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 2


def counts(dataset: Dataset) -> dict[str, int]:
    """Images of each split."""
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {name: part.n_images for name, part in parts.items() if part is not None}


def write_pictures(root: Path, folders: dict[str, int]) -> Path:
    """A number of pictures in each folder below `root`."""
    for folder, n in folders.items():
        (root / folder).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(np.full((2, 2, 3), i, np.uint8)).save(root / folder / f"{i}.png")
    return root


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train2017", "val2017"], {"train2017": "train", "val2017": "validation"}),
        (["asl_train", "asl_dev"], {"asl_train": "train", "asl_dev": "validation"}),
        (["TRAIN", "HoldOut"], {"TRAIN": "train", "HoldOut": "test"}),
        (["train 1", "train 2"], {}),
        (["training", "bus"], {"training": "train"}),
    ],
)
def test_words_that_all_names_share_do_not_count(names: list[str], expected: dict[str, str]) -> None:
    assert dict(splits_named(names)) == expected


def test_the_word_of_one_split_says_what_a_file_of_data_holds() -> None:
    assert [split_word(name) for name in ("clip-train-00", "valid.b", "train_test", "trainer")] == [
        "train",
        "validation",
        None,
        None,
    ]


def test_splits_inside_of_the_classes_are_splits(tmp_path: Path) -> None:
    inside = {f"{name}/{split}": n for name in ("cat", "dog") for split, n in (("Train", 4), ("test", 2))}
    dataset = open_dataset(write_pictures(tmp_path / "in", inside), cache=False)
    above = {f"{split}/{name}": n for name in ("cat", "dog") for split, n in (("Train", 4), ("test", 2))}
    expected = open_dataset(write_pictures(tmp_path / "above", above), cache=False)
    assert dataset.class_names == ("cat", "dog")
    assert counts(dataset) == counts(expected) == {"train": 8, "test": 4}
    assert dataset.test is not None
    assert dataset.test.names == ("cat/test/0.png", "cat/test/1.png", "dog/test/0.png", "dog/test/1.png")


def test_pictures_next_to_such_folders_are_of_the_class(tmp_path: Path) -> None:
    write_pictures(tmp_path, {f"{name}/{split}": 2 for name in ("cat", "dog") for split in ("train", "test")})
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "cat" / "0.png")
    dataset = open_dataset(tmp_path, cache=False)
    assert counts(dataset) == {"train": 9}
    assert "subfolders" in dataset.notes[0]


@pytest.mark.parametrize(("names", "warned"), [(("train", "test"), True), (("train", "bus"), False)])
def test_classes_that_may_be_splits_are_warned_of(tmp_path: Path, names: tuple[str, ...], warned: bool) -> None:
    dataset = open_dataset(write_pictures(tmp_path, dict.fromkeys(names, 3)), cache=False)
    assert dataset.class_names == tuple(sorted(names))
    assert [note.partition(",")[0] for note in dataset.notes] == ["the classes are test"] * warned


def test_names_that_differ_in_what_nobody_sees_are_one_class(tmp_path: Path) -> None:
    write_pictures(tmp_path, {"train/New York": 3, "train/cat": 3, "test/New\u00a0York": 2, "test/cat\u200b": 2})
    dataset = open_dataset(tmp_path, cache=False)
    assert dataset.class_names == ("New York", "cat")
    write_pictures(tmp_path, {"train/cat\ufeff": 3})
    with pytest.raises(LabelError, match="look the same"):
        open_dataset(tmp_path, cache=False)


def test_names_that_differ_in_capital_letters_are_warned_of(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=np.array(["Cat", "cat", "dog", "emu"])[np.arange(40) % 4])
    (note,) = open_dataset(tmp_path / "a.npz").notes
    assert note.startswith("the classes 'Cat' and 'cat' differ in capital letters or unseen characters only")
    assert alike_note(["a", "b"]) is None
    note = alike_note(["x", "x ", "\xe9", "e\u0301"])
    assert note is not None
    assert note.startswith("the classes 'x' and 'x ', '\\xe9' and 'e\\u0301' differ")


@pytest.mark.parametrize("word", ["X_test y_test", "test_X test_y", "X_testing y_testing", "X_holdout y_holdout"])
def test_a_test_split_next_to_plain_names_is_read(tmp_path: Path, word: str) -> None:
    rows, labels = word.split()
    np.savez(tmp_path / "a.npz", **{"X": X, "y": Y, rows: X[:6], labels: Y[:6]})
    assert counts(open_dataset(tmp_path / "a.npz")) == {"train": 40, "test": 6}


def test_arrays_that_are_not_read_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X_train=X, y_train=Y, X=X, y=Y, Xtest=X, files=Y)
    dataset = open_dataset(tmp_path / "a.npz")
    assert counts(dataset) == {"train": 40}
    assert dataset.notes[0].startswith("the arrays X, y, Xtest are not read.")


def write_parquet(folder: Path, names: dict[str, int]) -> Path:
    """Vectors in files of these numbers of rows."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name, n in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"embedding": list(X[:n]), "label": Y[:n]}), folder / name)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        {"clip_train.parquet": 30, "clip_test.parquet": 10},
        {"test-b.parquet": 4, "test-a.parquet": 6, "train-b.parquet": 10, "train-a.parquet": 20},
        {"training_set/a.parquet": 30, "test_set/a.parquet": 10},
    ],
)
def test_splits_are_found_in_the_names_of_parquet(tmp_path: Path, names: dict[str, int]) -> None:
    assert counts(open_dataset(write_parquet(tmp_path, names), cache=False)) == {"train": 30, "test": 10}


def test_a_test_file_is_not_trained_on_with_the_others(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"found vectors\.parquet and test\.parquet"):
        open_dataset(write_parquet(tmp_path, {"vectors.parquet": 30, "test.parquet": 10}), cache=False)


def test_files_that_are_missing_by_their_numbers_are_counted(tmp_path: Path) -> None:
    names = {"train-00000-of-00003.parquet": 9, "train-00002-of-00003.parquet": 9, "test-00000-of-00001.parquet": 9}
    dataset = open_dataset(write_parquet(tmp_path, names), cache=False)
    assert dataset.notes == ("found 2 of the 3 files train-*-of-00003: the others are missing.",)


@pytest.mark.parametrize(("labels", "warned"), [(["nan", "x"], True), (["", "x"], True), (["none", "x"], False)])
def test_a_class_named_as_a_missing_label_is_warned_of(tmp_path: Path, labels: list[str], warned: bool) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=np.array(labels)[Y])
    notes = open_dataset(tmp_path / "a.npz").notes
    assert [note.startswith(f"the class {labels[0]!r} has the name that programs write") for note in notes] == [
        True
    ] * warned
