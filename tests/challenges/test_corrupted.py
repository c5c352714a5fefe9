"""Ready-made corrupted sets: CIFAR-10-C's arrays, ImageNet-C's folders, class folders; and broken ones."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.challenges.conftest import smooth

from linprobe.challenges.corrupted import open_corrupted
from linprobe.challenges.table import score_sets
from linprobe.errors import FormatError, IncompatibleError, LinprobeError, SourceError

NAMES = ("cat", "dog")


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """A small CIFAR-10-C: four pictures in two kinds, five severities, the labels five times over as theirs are."""
    folder = tmp_path / "CIFAR-10-C"
    folder.mkdir()
    for seed, kind in enumerate(("gaussian_noise", "fog")):
        np.save(folder / f"{kind}.npy", smooth(20, 6, 6, 3, seed))
    np.save(folder / "labels.npy", np.tile([0, 1, 1, 0], 5))
    return folder


def write_pictures(folder: Path, names: tuple[str, ...] = NAMES) -> None:
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(np.full((4, 4, 3), 40 * k + i, np.uint8)).save(folder / name / f"{i}.png")


def test_the_arrays_are_split_by_severity_and_stay_on_disk(arrays: Path) -> None:
    sets = open_corrupted(arrays, NAMES)
    assert [(one.kind, one.severity) for one in sets] == [
        (kind, severity) for kind in ("fog", "gaussian_noise") for severity in range(1, 6)
    ]
    images = sets[7].images
    assert np.array_equal(images.images, smooth(20, 6, 6, 3, 0)[8:12])
    assert images.y.tolist() == [0, 1, 1, 0]
    assert images.class_names == NAMES
    base: object = images.images
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_labels_of_one_severity_will_do(arrays: Path) -> None:
    np.save(arrays / "labels.npy", np.array([0, 1, 1, 0], np.uint8))
    assert all(one.images.y.tolist() == [0, 1, 1, 0] for one in open_corrupted(arrays, NAMES))


def test_the_sets_are_scored_by_kind_and_severity(arrays: Path) -> None:
    sets = [(one.kind, one.severity, one.images, one.images.y) for one in open_corrupted(arrays, NAMES)]
    cells = score_sets(lambda pictures: np.zeros(len(pictures), np.int64), sets)
    assert len(cells) == 10
    assert {(cell.challenge, cell.rate.hits, cell.rate.n) for cell in cells} == {("corrupted", 2, 4)}


def test_kinds_of_folders_1_to_5_are_read_as_severities(tmp_path: Path) -> None:
    for kind in ("fog", "snow"):
        for severity in ("1", "3"):
            write_pictures(tmp_path / "C" / kind / severity)
    sets = open_corrupted(tmp_path / "C", NAMES)
    assert [(one.kind, one.severity) for one in sets] == [("fog", 1), ("fog", 3), ("snow", 1), ("snow", 3)]
    assert sets[0].images.class_names == NAMES
    assert sets[0].images.n_images == 4


def test_class_folders_are_one_set(tmp_path: Path) -> None:
    write_pictures(tmp_path / "foggy")
    (only,) = open_corrupted(tmp_path / "foggy", NAMES)
    assert (only.kind, only.severity, only.images.n_images) == ("foggy", None, 4)


def test_classes_named_1_and_2_are_classes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "digits", ("1", "2"))
    (only,) = open_corrupted(tmp_path / "digits", ("1", "2"))
    assert only.images.class_names == ("1", "2")


def broken_arrays() -> list[tuple[str, np.ndarray | bytes, str]]:
    return [
        ("fog.npy", np.zeros((20, 6, 6), np.uint8), r"fog.npy: shape \(20, 6, 6\) and dtype uint8; expected \(5 n,"),
        ("fog.npy", np.zeros((20, 6, 6, 3)), "dtype float64"),
        ("fog.npy", np.zeros((21, 6, 6, 3), np.uint8), r"shape \(21, 6, 6, 3\)"),
        ("fog.npy", np.zeros((0, 6, 6, 3), np.uint8), r"shape \(0, 6, 6, 3\)"),
        ("fog.npy", np.zeros((25, 6, 6, 3), np.uint8), "25 pictures, but labels.npy has 20 labels; expected 25 or"),
        ("fog.npy", b"", "fog.npy: found Python objects .* or no array at all"),
        ("fog.npy", b"\x93NUMPY\x01\x00", "cannot be read"),
        ("fog.npy", pickle.dumps([1, 2]), "no array at all, expected an array of numbers"),
        ("labels.npy", np.tile([0, 2], 10), r"labels 0..2, but the source has 2 classes; expected 0..1"),
        ("labels.npy", np.tile([-1, 0], 10), r"labels -1..0"),
        ("labels.npy", np.zeros(20), r"shape \(20,\) and dtype float64"),
        ("labels.npy", np.zeros((20, 1), int), r"shape \(20, 1\)"),
        ("labels.npy", np.zeros(0, int), r"shape \(0,\)"),
    ]


@pytest.mark.parametrize(("name", "content", "message"), broken_arrays())
def test_a_broken_array_gives_one_clear_line(
    arrays: Path, name: str, content: np.ndarray | bytes, message: str
) -> None:
    if isinstance(content, bytes):
        (arrays / name).write_bytes(content)
    else:
        np.save(arrays / name, content)
    with pytest.raises(FormatError, match=message) as caught:
        open_corrupted(arrays, NAMES)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_an_array_of_python_objects_is_not_unpickled(arrays: Path) -> None:
    np.save(arrays / "fog.npy", np.array([{"a": 1}] * 5, dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="found Python objects"):
        open_corrupted(arrays, NAMES)


def test_what_is_missing_is_named(arrays: Path, tmp_path: Path) -> None:
    (arrays / "labels.npy").unlink()
    with pytest.raises(FormatError, match=r"labels\.npy: is missing"):
        open_corrupted(arrays, NAMES)
    with pytest.raises(SourceError, match="nowhere: no such folder"):
        open_corrupted(tmp_path / "nowhere", NAMES)
    (tmp_path / "labels").mkdir()
    np.save(tmp_path / "labels" / "labels.npy", np.arange(2))
    with pytest.raises(FormatError, match="no array of pictures beside it"):
        open_corrupted(tmp_path / "labels", NAMES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LinprobeError, match="empty"):
        open_corrupted(tmp_path / "empty", NAMES)


def test_vectors_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "vectors").mkdir()
    np.savez(tmp_path / "vectors" / "train.npz", X=np.random.default_rng(0).normal(size=(4, 3)), y=[0, 1, 0, 1])
    with pytest.raises(IncompatibleError, match="holds vectors"):
        open_corrupted(tmp_path / "vectors", NAMES)
