"""A memory map whose file is cut after it was opened: an error, where reading it would end the process."""

from __future__ import annotations

import os

import numpy as np
import pytest

from linprobe import Objective
from linprobe.errors import DataError
from linprobe.neighbors.search import NeighborSearch
from linprobe.shapes import check_mapped

ROWS, FEATURES = 3000, 64


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (ROWS, FEATURES), dtype=np.uint8))
    return path


def cut(path, size=100_000):
    os.truncate(path, size)


@pytest.mark.parametrize("engine", ["threads", "reference"])
def test_a_pass_over_a_file_that_was_cut_is_an_error_that_names_it(stored, engine):
    objective = Objective(
        np.load(stored, mmap_mode="r"), np.arange(ROWS) % 3, loss="softmax", penalty="l2", reg=0.1, engine=engine
    )
    before = objective.value(np.zeros((3, FEATURES)), np.zeros(3))
    assert before == pytest.approx(np.log(3))
    cut(stored)
    with pytest.raises(DataError, match=r"rows\.npy has 100000 bytes; its memory map needs 192128"):
        objective.value_and_gradient(np.zeros((3, FEATURES)), np.zeros(3))


def test_neighbors_in_a_file_that_was_cut_are_an_error(stored):
    X = np.load(stored, mmap_mode="r")
    search = NeighborSearch(X, metric="l2")
    queries = np.array(X[:5])
    search.search(queries, 3)
    cut(stored)
    with pytest.raises(DataError, match="was cut"):
        search.search(queries, 3)


def test_views_of_a_map_and_a_map_that_begins_within_its_file_are_checked(tmp_path):
    path = tmp_path / "rows.bin"
    path.write_bytes(bytes(10_000))
    mapped = np.memmap(path, np.uint8, mode="r", offset=5000, shape=(50, 100))
    views = [mapped, mapped[10:], np.asarray(mapped), mapped.reshape(-1)[::3], mapped.view(np.ndarray)[1:2]]
    for view in views:
        check_mapped(view)
    cut(path, 9999)
    for view in views:
        with pytest.raises(DataError, match="needs 10000"):
            check_mapped(view)


def test_an_array_in_memory_has_no_file_to_check():
    check_mapped(np.zeros((3, 4)))
    check_mapped(np.frombuffer(bytes(16), np.float32))
