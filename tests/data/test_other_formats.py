"""What people give in place of a source: each is named for what it is, and the next step works."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from linprobe.data.base import open_dataset
from linprobe.data.decode import decode
from linprobe.errors import ArchiveError, DataError, LabelError, SourceError


def class_folders(root: Path, *classes: str, n: int = 4) -> None:
    """Folders of dark and light pictures."""
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(np.full((4, 4), 60 * k + i, np.uint8)).save(root / name / f"{i}.png")


def idx(path: Path, array: np.ndarray) -> None:
    """An IDX file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def mnist(folder: Path) -> None:
    """MNIST's four files, with two classes."""
    for part, n in (("train", 8), ("t10k", 4)):
        idx(folder / f"{part}-images-idx3-ubyte", np.arange(16 * n, dtype=np.uint8).reshape(n, 4, 4))
        idx(folder / f"{part}-labels-idx1-ubyte", (np.arange(n) % 2).astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "known"),
    [
        ("a.zip", b"<!DOCTYPE html><html>", "is a web page"),
        ("a.tar.gz", b"\n<HTML><body>404", "is a web page"),
        ("a.zip", b"Rar!\x1a\x07\1\0", "is a RAR archive"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(9), "is an HDF5 file"),
        ("a.mat", b"MATLAB 5.0 MAT-file", "is a MATLAB file"),
        ("a.csv", b"label,pixel0\n1,2\n", "is a table of text"),
        ("a.pkl", b"\x80\4]\x94.", "is a pickle"),
        ("a.parquet.zip", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.zip", b"PK\3\4" + bytes(40), "no directory at its end"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "is a single picture"),
    ],
)
def test_a_file_that_is_no_source_is_named(tmp_path: Path, name: str, content: bytes, known: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=known):
        open_dataset(tmp_path / name)


def test_the_tensors_of_pytorch_are_no_pictures(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\2}q\0.")
        archive.writestr("a/data/0", bytes(8))
    with pytest.raises(ArchiveError, match="is a file of PyTorch"):
        open_dataset(tmp_path / "a.pt")


def test_an_unknown_compression_is_one_message(tmp_path: Path) -> None:
    class_folders(tmp_path / "in", "cat", "dog")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "in").rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path / "in"))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = -1
    while (at := content.find(b"PK\1\2", at + 1)) >= 0:
        content[at + 10 : at + 12] = struct.pack("<H", 9)
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"8 of its 8 files are compressed by Deflate64 \(method 9") as found:
        open_dataset(tmp_path / "b.zip")
    assert str(found.value).count("Deflate64") == 1


def test_the_last_part_of_an_archive_is_no_damaged_one(tmp_path: Path) -> None:
    class_folders(tmp_path / "in", "cat", "dog")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "in").rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path / "in"))
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(whole[len(whole) // 4 :])
    with pytest.raises(ArchiveError, match="the last part of several"):
        open_dataset(tmp_path / "b.zip", cache=False)


def test_files_of_arrays_inside_an_archive_are_referred_to(tmp_path: Path) -> None:
    mnist(tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in (tmp_path / "raw").iterdir():
            archive.write(file, file.name)
    with pytest.raises(ArchiveError, match="and 3 more files of data, no class folders"):
        open_dataset(tmp_path / "a.zip")


def test_a_sparse_matrix_is_to_be_saved_dense(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", indices=np.zeros(1), indptr=np.zeros(2), data=np.zeros(1), shape=np.ones(2))
    with pytest.raises(DataError, match="toarray"):
        open_dataset(tmp_path / "a.npz")


def test_only_one_hot_rows_are_to_become_integers(tmp_path: Path) -> None:
    X = np.zeros((6, 3), np.float32)
    np.savez(tmp_path / "one.npz", X=X, y=np.eye(3, dtype=np.uint8)[np.arange(6) % 3])
    with pytest.raises(LabelError, match="argmax"):
        open_dataset(tmp_path / "one.npz")
    several = np.zeros((6, 3), np.uint8)
    several[0] = 1
    np.savez(tmp_path / "several.npz", X=X, y=several)
    with pytest.raises(LabelError, match=r"mark 0 to 3 of 3 classes.*one for each column") as found:
        open_dataset(tmp_path / "several.npz")
    assert "argmax" not in str(found.value)
    np.savez(tmp_path / "followed.npz", X=X, y=several[:, 1])
    assert open_dataset(tmp_path / "followed.npz").class_names == ("0", "1")


def test_folders_around_a_data_set_are_looked_through(tmp_path: Path) -> None:
    class_folders(tmp_path / "a" / "b" / "c", "cat", "dog")
    (tmp_path / "a" / "readme.txt").write_text("hello")
    assert open_dataset(tmp_path / "a", cache=False).class_names == ("cat", "dog")
    mnist(tmp_path / "data" / "MNIST" / "raw")
    assert open_dataset(tmp_path / "data").format == "idx"
    mnist(tmp_path / "data" / "FashionMNIST" / "raw")
    with pytest.raises(SourceError, match="found the data sets FashionMNIST, MNIST") as found:
        open_dataset(tmp_path / "data")
    advised = str(found.value).rpartition("as in ")[2].rstrip(".")
    assert open_dataset(advised).train.n_images == 8


def test_a_link_to_a_folder_around_it_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a").symlink_to(tmp_path / "a")
    with pytest.raises(SourceError, match="remove the link"):
        open_dataset(tmp_path / "a")


def test_names_that_look_the_same_are_one_class(tmp_path: Path) -> None:
    class_folders(tmp_path / "a" / "train", "ping\xfcino", "cat ")
    class_folders(tmp_path / "a" / "test", "cat", "pingu\u0308ino")
    found = open_dataset(tmp_path / "a", cache=False)
    assert found.class_names == ("cat", "ping\xfcino")
    assert found.test is not None
    assert np.bincount(found.test.y).tolist() == [4, 4]


def test_two_folders_that_look_the_same_are_told_apart_in_the_message(tmp_path: Path) -> None:
    class_folders(tmp_path / "a", "ping\xfcino", "pingu\u0308ino", "cat")
    with pytest.raises(LabelError, match=r"'ping\\xfcino'.*look the same") as found:
        open_dataset(tmp_path / "a", cache=False)
    assert r"'pingu\u0308ino'" in str(found.value)


def test_a_test_folder_without_classes_is_to_be_taken_out(tmp_path: Path) -> None:
    class_folders(tmp_path / "a" / "train", "cat", "dog")
    (tmp_path / "a" / "test").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "a" / "test" / "0.png")
    with pytest.raises(SourceError, match="take test out of the source"):
        open_dataset(tmp_path / "a", cache=False)
    (tmp_path / "a" / "test").rename(tmp_path / "elsewhere")
    assert open_dataset(tmp_path / "a", cache=False).test is None


def test_a_picture_with_a_long_text_is_decoded(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    about = PngImagePlugin.PngInfo()
    about.add_text("comment", "scene " * 400_000, zip=True)
    Image.fromarray(pixels).save(tmp_path / "a.png", pnginfo=about)
    assert np.array_equal(decode((tmp_path / "a.png").read_bytes()), pixels)
