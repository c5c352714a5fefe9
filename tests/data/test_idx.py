"""IDX files: what is written comes back, plain and gzipped, and broken files are named."""

from __future__ import annotations

import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from linprobe.data.base import Dataset, ImageSet, ReadOptions
from linprobe.data.idx import IdxReader
from linprobe.errors import FormatError, ImageError, LabelError

PIXELS = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
LABELS = np.array([0, 1, 1, 0], np.uint8)
IMAGES_NAME, LABELS_NAME = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    """`array` as an IDX file."""
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path, images: np.ndarray = PIXELS, labels: np.ndarray = LABELS, part: str = "train") -> Path:
    """The images file of a pair in `folder`."""
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    path = folder / f"{part}-images-idx3-ubyte"
    path.write_bytes(idx(images))
    return path


def read(path: Path, **options: object) -> Dataset:
    assert IdxReader().accepts(str(path), path)
    return IdxReader().read(str(path), path, ReadOptions(**options))


@settings(max_examples=40)
@given(
    arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=5)),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
    st.data(),
)
def test_what_is_written_comes_back(pixels, channels, packed, data):
    images = pixels if channels is None else np.repeat(pixels[..., None], channels, axis=3)
    labels = data.draw(arrays(np.uint8, len(images)))
    ending, pack = (".gz", gzip.compress) if packed else ("", bytes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / (IMAGES_NAME + ending)).write_bytes(pack(idx(images)))
        (folder / (LABELS_NAME + ending)).write_bytes(pack(idx(labels)))
        dataset = read(folder)
        assert isinstance(dataset.train, ImageSet)
        assert np.array_equal(dataset.train.images, images[..., None] if channels is None else images)
        assert [int(dataset.class_names[k]) for k in dataset.train.y] == labels.tolist()
        del dataset


def test_a_folder_with_the_names_of_mnist_has_a_train_and_a_test_part(tmp_path):
    write(tmp_path)
    write(tmp_path, PIXELS[:2], np.array([2, 0], np.uint8), part="t10k")
    dataset = read(tmp_path)
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.train.n_images == 4
    assert dataset.test is not None
    assert dataset.test.y.tolist() == [2, 0]
    assert dataset.image_shape == (2, 3, 1)


def test_an_images_file_finds_its_labels_beside_it_gzipped_or_not(tmp_path):
    path = write(tmp_path)
    labels = tmp_path / LABELS_NAME
    (tmp_path / (LABELS_NAME + ".gz")).write_bytes(gzip.compress(labels.read_bytes(), mtime=0))
    labels.unlink()
    dataset = read(path)
    assert dataset.train.y.tolist() == LABELS.tolist()
    assert dataset.test is None


@pytest.mark.parametrize("name", ["train-images.idx3-ubyte", "emnist-letters-train-images-idx3-ubyte"])
def test_the_names_of_the_whole_family_are_known(tmp_path, name):
    write(tmp_path)
    (tmp_path / IMAGES_NAME).rename(tmp_path / name)
    labels = name.replace("images", "labels").replace("idx3", "idx1")
    (tmp_path / LABELS_NAME).rename(tmp_path / labels)
    assert read(tmp_path).train.n_images == 4


def test_a_file_of_any_name_is_known_by_its_magic(tmp_path):
    write(tmp_path)
    (tmp_path / IMAGES_NAME).rename(tmp_path / "images")
    (tmp_path / LABELS_NAME).rename(tmp_path / "labels")
    assert read(tmp_path / "images").train.n_images == 4


def test_a_plain_file_is_mapped_and_read_only(tmp_path):
    train = read(write(tmp_path)).train
    assert isinstance(train, ImageSet)
    assert isinstance(train.images, np.memmap)
    assert isinstance(train.X, np.memmap)
    assert not train.images.flags.writeable


def test_other_folders_and_files_are_not_accepted(tmp_path):
    for name, content in (("notes", b"text"), ("short", b""), ("packed", gzip.compress(b"text", mtime=0)[:-9])):
        (tmp_path / name).write_bytes(content)
        assert not IdxReader().accepts(name, tmp_path / name)
    assert not IdxReader().accepts("folder", tmp_path)
    assert not IdxReader().accepts("digits", None)


def test_swapped_paths_are_told_by_the_magic(tmp_path):
    path = write(tmp_path)
    path.write_bytes(idx(LABELS))
    message = (
        r"train-images-idx3-ubyte: expected magic 0x00000803 \(unsigned bytes, 3 axes\) at byte 0, "
        r"found 0x00000801\. "
        r"That is the magic of a label file: were the two paths swapped\?"
    )
    with pytest.raises(FormatError, match=message):
        read(path)
    write(tmp_path)
    (tmp_path / LABELS_NAME).write_bytes(idx(PIXELS))
    with pytest.raises(FormatError, match=r"0x00000801 \(unsigned bytes, 1 axis\).*found 0x00000803.*swapped"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG0000", "found 0x89504e47. This is not an IDX file"),
        (b"\0\0", "found 2 bytes in all. This is not an IDX file"),
        (idx(PIXELS, kind=0x0D), "found 0x00000d03. The numbers are of another type"),
        (b"\0\0\x08\x02" + bytes(8), "found 0x00000802. This is not an IDX file"),
        (idx(PIXELS)[:10], "found 10 bytes, expected a header of 16"),
        (idx(PIXELS)[:-1], r"found 23 bytes of data after the header, expected 24 \(4 x 2 x 3\)\. Fetch"),
        (idx(PIXELS) + b"\0", "found 25 bytes of data after the header, expected 24"),
        (idx(PIXELS[:0]), r"found an empty array \(0 x 2 x 3\), expected at least one image"),
        (idx(np.zeros((2, 3, 4, 5), np.uint8)), "found 5 channels in 2 x 3 x 4 x 5, expected 1 to 4"),
    ],
)
def test_a_broken_images_file_is_an_error_that_says_what_was_found(tmp_path, content, message):
    path = write(tmp_path)
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"{IMAGES_NAME}: .*{message}"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(idx(PIXELS)[:-1], mtime=0), "found 23 bytes of data after the header, expected 24"),
        (
            gzip.compress(idx(PIXELS) + bytes(9), mtime=0),
            "found at least 25 bytes of data after the header, expected 24",
        ),
        (gzip.compress(idx(PIXELS), mtime=0)[:-9], "found what cannot be read"),
        (gzip.compress(idx(PIXELS), mtime=0)[:-5] + b"\0\0\0\0\0", "found what cannot be read"),
        (
            gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12, mtime=0),
            "the header claims 79,228,162,458,924,105,385,300,197,375 bytes",
        ),
    ],
)
def test_a_broken_gzip_file_is_an_error_too(tmp_path, content, message):
    path = write(tmp_path)
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"{IMAGES_NAME}: .*{message}"):
        read(path)


def test_labels_that_are_missing_or_too_few_are_errors(tmp_path):
    path = write(tmp_path, labels=LABELS[:3])
    with pytest.raises(LabelError, match=rf"{LABELS_NAME}: found 3 labels, expected 4, one for each image of"):
        read(path)
    (tmp_path / LABELS_NAME).unlink()
    wanted = rf"found no labels for it; expected {LABELS_NAME} or {LABELS_NAME}.gz in the same folder\. Put"
    with pytest.raises(FormatError, match=wanted):
        read(path)


def test_a_name_that_does_not_tell_its_labels_is_an_error(tmp_path):
    path = tmp_path / "digits.idx3"
    path.write_bytes(idx(PIXELS))
    with pytest.raises(FormatError, match=r"digits\.idx3: the name does not say which file holds its labels"):
        read(path)


def test_a_folder_with_test_images_only_or_with_two_sets_is_an_error(tmp_path):
    write(tmp_path, part="t10k")
    with pytest.raises(FormatError, match="found t10k-images-idx3-ubyte but no training images"):
        read(tmp_path)
    write(tmp_path, part="emnist-letters-train")
    with pytest.raises(FormatError, match=r"found 2 sets of IDX files \('', 'emnist-letters-'\), expected one"):
        read(tmp_path)


def test_parts_with_pictures_of_two_sizes_are_an_error(tmp_path):
    write(tmp_path)
    write(tmp_path, PIXELS[:, :1], part="t10k")
    with pytest.raises(FormatError, match="t10k-images-idx3-ubyte: found pictures of 1 x 3, expected 2 x 3"):
        read(tmp_path)


def test_stored_pictures_keep_their_size(tmp_path):
    with pytest.raises(ImageError, match=r"holds pictures of 2x3.*expected 4x4"):
        read(write(tmp_path), image_size=(4, 4))
