"""What the readers of stored arrays share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from linprobe.data.arrays import ArraysReader
from linprobe.data.cifar import CifarReader
from linprobe.data.idx import IdxReader
from linprobe.data.stored import files_in, fingerprint_of_arrays, fingerprint_of_files, number_classes

READERS = [ArraysReader, CifarReader, IdxReader]


def test_classes_are_numbered_in_the_order_of_their_values_over_all_splits():
    names, (train, test) = number_classes([np.array([10, 9, 10]), np.array([2])])
    assert names == ("2", "9", "10")
    assert (train.tolist(), test.tolist()) == ([2, 1, 2], [0])
    assert train.dtype == np.int64


@pytest.mark.parametrize("change", ["size", "time", "name"])
def test_a_fingerprint_of_files_changes_with_their_sizes_times_and_names(tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(0, 5))
    before = fingerprint_of_files([path])
    assert before == fingerprint_of_files([path])
    if change == "size":
        path.write_bytes(b"more")
        os.utime(path, ns=(0, 5))
    elif change == "time":
        os.utime(path, ns=(0, 6))
    else:
        path = path.rename(tmp_path / "other")
    assert fingerprint_of_files([path]) != before


def test_a_fingerprint_of_files_does_not_depend_on_their_order_or_their_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    paths = [tmp_path / "folder" / name for name in "ab"]
    for path in paths:
        path.write_bytes(b"")
        os.utime(path, ns=(0, 0))
    before = fingerprint_of_files(paths)
    moved = (tmp_path / "folder").rename(tmp_path / "moved")
    assert fingerprint_of_files([moved / "b", moved / "a"]) == before


@pytest.mark.parametrize("other", [np.arange(6), np.arange(6.0).reshape(2, 3), np.arange(1, 7).reshape(2, 3)])
def test_a_fingerprint_of_arrays_tells_dtypes_shapes_and_numbers_apart(other):
    array = np.arange(6).reshape(2, 3)
    assert fingerprint_of_arrays(array) == fingerprint_of_arrays(np.asfortranarray(array))
    assert fingerprint_of_arrays(array) != fingerprint_of_arrays(other)


def test_a_folder_that_may_not_be_listed_is_left_to_the_folder_reader(tmp_path, monkeypatch):
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)  # permissions do not hold for root
    assert files_in(tmp_path) == []
    assert not any(reader().accepts(str(tmp_path), tmp_path) for reader in READERS)


def test_no_reader_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not any(reader().accepts("pipe", tmp_path / "pipe") for reader in READERS)
