"""CIFAR: planes become channels in every version, and no pickle runs any code."""

from __future__ import annotations

import contextlib
import io
import pickle
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from linprobe.data.base import Dataset, ImageSet, ReadOptions
from linprobe.data.cifar import CifarReader
from linprobe.errors import ArchiveError, FormatError, ImageError, LabelError

NAMES = ["airplane", "automobile", "bird"]
TRAIN = [f"data_batch_{i}" for i in range(1, 6)]
VERSIONS = ["cifar10-python", "cifar10-binary", "cifar100-python", "cifar100-binary"]


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """(n, 32, 32, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), np.uint8)


def planes(images: np.ndarray) -> np.ndarray:
    """Rows of the red plane, the green, the blue."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), 3072)


def content(images: np.ndarray, labels: list[int], version: str, protocol: int = 2, keys: type = bytes) -> bytes:
    """One file of pictures."""
    if version.endswith("binary"):
        before = b"" if version.startswith("cifar10-") else b"\x07"  # CIFAR-100 has a coarse label first
        rows = zip(labels, planes(images), strict=True)
        return b"".join(before + bytes([label]) + row.tobytes() for label, row in rows)
    fine = "labels" if version.startswith("cifar10-") else "fine_labels"
    batch = {
        "batch_label": "testing",
        fine: labels,
        "coarse_labels": [7] * len(labels),
        "data": planes(images),
        "filenames": [f"{i}.png" for i in range(len(labels))],
    }
    return pickle.dumps({k.encode() if keys is bytes else k: v for k, v in batch.items()}, protocol)


def files(version: str, images: np.ndarray, labels: list[int], **how: Any) -> dict[str, bytes]:
    """Every file of a small CIFAR; each training batch holds all of `images`, as does the test."""
    ending = ".bin" if version.endswith("binary") else ""
    ten = version.startswith("cifar10-")
    train = TRAIN if ten else ["train"]
    meta = {
        "cifar10-python": ("batches.meta", pickle.dumps({b"num_vis": 3072, b"label_names": NAMES}, 2)),
        "cifar10-binary": ("batches.meta.txt", ("\n".join(NAMES) + "\n\n").encode()),
        "cifar100-python": (
            "meta",
            pickle.dumps({"fine_label_names": NAMES, "coarse_label_names": ["x"]}, 2),
        ),
        "cifar100-binary": ("fine_label_names.txt", "\n".join(NAMES).encode()),
    }[version]
    one = content(images, labels, version, **how)
    return {name + ending: one for name in [*train, "test_batch" if ten else "test"]} | dict([meta])


def folder_of(path: Path, contents: dict[str, bytes]) -> Path:
    path.mkdir(exist_ok=True)
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def tar_of(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"cifar/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def read(path: Path, **options: Any) -> Dataset:
    assert CifarReader().accepts(str(path), path)
    return CifarReader().read(str(path), path, ReadOptions(**options))


@settings(max_examples=25)
@given(
    arrays(np.uint8, st.integers(1, 2).map(lambda n: (n, 32, 32, 3))),
    st.sampled_from(VERSIONS),
    st.integers(2, pickle.HIGHEST_PROTOCOL),
    st.sampled_from([bytes, str]),
    st.data(),
)
def test_what_is_written_comes_back(images, version, protocol, keys, data):
    labels = data.draw(st.lists(st.integers(0, 2), min_size=len(images), max_size=len(images)))
    with tempfile.TemporaryDirectory() as name:
        dataset = read(folder_of(Path(name), files(version, images, labels, protocol=protocol, keys=keys)))
    copies = 5 if version.startswith("cifar10-") else 1
    assert isinstance(dataset.train, ImageSet)
    assert isinstance(dataset.test, ImageSet)
    assert np.array_equal(dataset.train.images, np.concatenate([images] * copies))
    assert np.array_equal(dataset.test.images, images)
    assert dataset.train.y.tolist() == labels * copies
    assert dataset.class_names == tuple(NAMES)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_archive_reads_as_the_folder_does(tmp_path, version):
    contents = files(version, pictures(3), [0, 1, 2])
    unpacked = read(folder_of(tmp_path / "folder", contents))
    packed = read(tar_of(tmp_path / "cifar.tar.gz", contents))
    for one, other in ((unpacked.train, packed.train), (unpacked.test, packed.test)):
        assert isinstance(one, ImageSet)
        assert isinstance(other, ImageSet)
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.y, other.y)
        assert one.names == other.names
    assert len(unpacked.fingerprint) == len(packed.fingerprint) == 64


def test_the_training_batches_follow_each_other_by_number_whatever_their_order_in_the_archive(tmp_path):
    contents = files("cifar10-binary", pictures(1), [0])
    for i, name in enumerate(TRAIN):
        contents[f"{name}.bin"] = content(pictures(1, seed=i), [i % 3], "cifar10-binary")
    backwards = dict(reversed(contents.items()))
    train = read(tar_of(tmp_path / "cifar.tgz", backwards)).train
    assert isinstance(train, ImageSet)
    assert train.y.tolist() == [0, 1, 2, 0, 1]
    assert np.array_equal(train.images, np.concatenate([pictures(1, seed=i) for i in range(5)]))


def test_the_pictures_keep_the_names_that_the_python_version_has(tmp_path):
    test = read(folder_of(tmp_path, files("cifar100-python", pictures(2), [0, 1]))).test
    assert test is not None
    assert test.names == ("0.png", "1.png")


def test_a_pickle_of_python_2_with_its_text_as_bytes_is_read(tmp_path):
    # protocol 0 as Python 2 wrote it: strings are S'...', and NumPy's bytes lie in one of them
    pixels = b"a" * 3072
    old = (
        b"(dp0\nS'data'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\n"
        b"tp6\nRp7\n(I1\n(I1\nI3072\ntp8\ncnumpy\ndtype\np9\n(S'u1'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'|'\np13\n"
        b"NNNI-1\nI-1\nI0\ntp14\nbI00\nS'" + pixels + b"'\np15\ntp16\nbsS'labels'\np17\n(lp18\nI2\nas."
    )
    contents = files("cifar10-python", pictures(1), [0]) | {"test_batch": old}
    test = read(folder_of(tmp_path, contents)).test
    assert isinstance(test, ImageSet)
    assert (test.images == ord("a")).all()
    assert test.y.tolist() == [2]


def test_folders_and_archives_of_other_things_are_not_accepted(tmp_path):
    other = folder_of(tmp_path / "other", {"train": b"", "notes.txt": b""})
    (tmp_path / "split" / "train").mkdir(parents=True)
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(b"\x1f\x8b\x08")
    many = tar_of(tmp_path / "many.tar.gz", {f"{i}.png": b"" for i in range(99)})
    for path in (None, other, tmp_path / "split", damaged, many, tmp_path / "other" / "notes.txt"):
        assert not CifarReader().accepts("source", path)


class Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.path, "w")


@pytest.mark.parametrize("inside", ["batch", "value", "list", "meta"])
@pytest.mark.parametrize("make", [folder_of, tar_of])
def test_code_in_a_pickle_is_an_error_that_names_it_and_is_not_run(tmp_path, inside, make):
    trap = Trap(tmp_path / "sprung")
    poisoned = {
        "batch": trap,
        "value": {b"data": planes(pictures(1)), b"labels": trap},
        "list": {b"data": planes(pictures(1)), b"labels": [trap]},
        "meta": {b"label_names": [trap]},
    }[inside]
    name = "batches.meta" if inside == "meta" else "data_batch_3"
    contents = files("cifar10-python", pictures(1), [0]) | {name: pickle.dumps(poisoned)}
    path = make(tmp_path / "cifar.tar.gz", contents)
    with pytest.raises(FormatError, match=rf"{name}: found (_?io)\.open in the pickle, expected NumPy arrays and"):
        read(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([None], dtype=object), "dtype 'O8', expected numbers"),
        (np.array(["text"]), "dtype 'U4', expected numbers"),
        (np.zeros(1, [("a", "u1")]), "dtype 'V1', expected numbers"),
        (np.zeros((1, 3071), np.uint8), r"found uint8 of shape \(1, 3071\) under 'data'"),
        (np.zeros((1, 3072)), r"found float64 of shape \(1, 3072\) under 'data'"),
        (np.zeros((0, 3072), np.uint8), r"found uint8 of shape \(0, 3072\) under 'data'"),
        ([1, 2], "found an object of type list under 'data'"),
        (np.float64(1), "numpy.*scalar in the pickle"),
        (complex(1), "found (__builtin__|builtins).complex in the pickle"),
    ],
)
def test_pixels_that_are_no_rows_of_3072_bytes_are_errors(tmp_path, bad, message):
    batch = pickle.dumps({b"data": bad, b"labels": [0]}, 4)
    path = folder_of(tmp_path, files("cifar10-python", pictures(1), [0]) | {"test_batch": batch})
    with pytest.raises(FormatError, match=rf"test_batch: .*{message}"):
        read(path)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1, 2], "found an object of type list, expected a dictionary"),
        ({b"data": planes(pictures(1))}, "found 'data', expected the key 'labels'"),
        ({}, "found no keys, expected the key 'data'"),
        ({b"data": planes(pictures(1)), b"labels": ["cat"]}, "found an object of type list under 'labels'"),
        (
            {b"data": planes(pictures(1)), b"labels": [2**70]},
            "found an object of type list under 'labels', expected a list of small integers",
        ),
    ],
)
def test_batches_without_what_a_batch_has_are_errors(tmp_path, batch, message):
    contents = files("cifar10-python", pictures(1), [0]) | {"data_batch_2": pickle.dumps(batch)}
    with pytest.raises(FormatError, match=f"data_batch_2: {message}"):
        read(folder_of(tmp_path, contents))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_cut_short_is_an_error_that_names_it(tmp_path, version):
    contents = files(version, pictures(3), [0, 1, 2])
    name = next(name for name in contents if name.startswith("test"))
    whole = contents[name]
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path = folder_of(tmp_path, contents | {name: whole[:length]})
        with pytest.raises(FormatError, match=rf"{name}: found .*expected .*[Ff]etch"):
            read(path)


@settings(max_examples=60)
@given(st.data())
def test_no_damaged_pickle_raises_anything_but_a_data_error(data):
    whole = content(pictures(1), [0], "cifar10-python")
    damaged = bytearray(whole)
    # the head and the tail hold the structure; the middle is pixels
    spots = st.integers(0, 150) | st.integers(len(whole) - 120, len(whole) - 1)
    for spot in data.draw(st.lists(spots, min_size=1, max_size=3)):
        damaged[spot] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as name:
        path = folder_of(Path(name), files("cifar10-python", pictures(1), [0]) | {"test_batch": bytes(damaged)})
        # most damage is seen; what is not, such as a pixel of another value, leaves one picture to read
        with contextlib.suppress(FormatError, LabelError):
            test = read(path).test
            assert test is not None
            assert test.n_images == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_label_out_of_range_is_named_by_file_and_row(tmp_path, version):
    path = folder_of(tmp_path, files(version, pictures(3), [0, 1, 3]))
    with pytest.raises(LabelError, match=r"found label 3 at row 2, expected 0\.\.2, one of the 3 class names"):
        read(path)


def test_labels_of_another_number_than_the_pictures_are_an_error(tmp_path):
    with pytest.raises(LabelError, match="found 1 labels, expected 2"):
        read(folder_of(tmp_path, files("cifar10-python", pictures(2), [0])))


@pytest.mark.parametrize("version", VERSIONS)
def test_missing_files_are_listed(tmp_path, version):
    whole = files(version, pictures(1), [0])
    for name in whole:
        left = {other: content for other, content in whole.items() if other != name}
        path = tar_of(tmp_path / "cifar.tar.gz", left)
        if not CifarReader().accepts(str(path), path):
            assert name == "meta"  # "train" and "test" alone are the names of any two files
            continue
        with pytest.raises(FormatError, match=rf"without {name}; expected the files"):
            read(path)


@pytest.mark.parametrize("names", [[], ["cat", "cat"], "cat"])
def test_class_names_that_are_missing_or_double_are_an_error(tmp_path, names):
    meta = pickle.dumps({"label_names": names})
    with pytest.raises(FormatError, match=r"batches\.meta: found \d class names, expected different names"):
        read(folder_of(tmp_path, files("cifar10-python", pictures(1), [0]) | {"batches.meta": meta}))


def test_a_damaged_archive_is_an_error(tmp_path):
    path = tar_of(tmp_path / "cifar.tar.gz", files("cifar10-binary", pictures(4), [0, 1, 2, 0]))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ArchiveError, match=r"cifar\.tar\.gz: found what cannot be read .*Fetch it again"):
        read(path)


def test_an_entry_too_large_to_be_cifar_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("linprobe.data.cifar.MOST_BYTES", 1000)
    path = tar_of(tmp_path / "cifar.tar.gz", files("cifar10-binary", pictures(1), [0]))
    with pytest.raises(ArchiveError, match=r"entry cifar/data_batch_1\.bin: found 3073 bytes, expected at most 1000"):
        read(path)


def test_stored_pictures_keep_their_size(tmp_path):
    path = folder_of(tmp_path, files("cifar10-binary", pictures(1), [0]))
    assert read(path, image_size=(32, 32)).image_shape == (32, 32, 3)
    with pytest.raises(ImageError, match=r"holds pictures of 32x32.*expected 8x8"):
        read(path, image_size=(8, 8))


def test_a_file_that_may_not_be_read_is_an_error(tmp_path, monkeypatch):
    path = folder_of(tmp_path, files("cifar10-binary", pictures(1), [0]))

    def refuse(path: Path, most: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("linprobe.data.cifar.read_regular", refuse)  # permissions do not hold for root
    with pytest.raises(FormatError, match=r"batches\.meta\.txt: cannot be read .*Check its permissions"):
        read(path)


def test_progress_is_told_file_by_file(tmp_path):
    told: list[tuple[str, int, int]] = []
    path = folder_of(tmp_path, files("cifar10-binary", pictures(1), [0]))
    read(path, progress=lambda *now: told.append(now))
    assert told[-1] == ("reading CIFAR", 6, 6)
