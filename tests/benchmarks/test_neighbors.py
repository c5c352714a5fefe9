"""The neighbours benchmark on a few bytes: what it compares is the same, or it compares nothing."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmarks import neighbors


@pytest.fixture
def archive(tmp_path):
    """Twelve small JPEGs in two class folders, for training and for testing."""
    random = np.random.default_rng(0)
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as out:
        for split, name, i in ((s, n, i) for s in ("train", "test") for n in ("cat", "dog") for i in range(3)):
            data = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(data, "jpeg")
            out.writestr(f"{split}/{name}/{i}.jpg", data.getvalue())
    return path


def test_a_record_tells_of_every_search(archive, tmp_path):
    record = neighbors.measure(archive, repeats=1, threads=1, k=2, cache=tmp_path / "cache")
    assert (record["n_images"], record["n_queries"], record["n_features"]) == (6, 6, 90)
    assert {"linprobe", "scikit-learn"} <= record["seconds"].keys()
    assert set(record["neighbours"]) | set(record["absent"]) == {"scikit-learn", "faiss"}
    for counts in record["neighbours"].values():
        assert counts["identical"] + counts["same_up_to_ties"] == counts["queries"] == 6
    assert set(record["one_neighbour"]) == {"l2", "l1"}
    assert record["memory"]["limit"] == 12 * 90 + 500_000_000
    # peak_resident holds the peak of the process that forks, and that of the tests may be large
    assert 0 < record["memory"]["RssAnon"] < record["memory"]["limit"]
    assert record["memory"]["RssAnon"] <= record["memory"]["peak_resident"]


def test_ties_may_change_places_and_nothing_else():
    X = np.array([[0], [2], [2], [9]], np.uint8)
    Q = np.array([[1]], np.uint8)
    same = neighbors.check_same(X, Q, np.array([[0, 1]]), np.array([[2, 0]]), "peer")
    assert same == {"queries": 1, "identical": 0, "same_up_to_ties": 1}
    for ours, theirs in (([[0, 1]], [[0, 3]]), ([[0, 3]], [[0, 1]])):
        with pytest.raises(SystemExit, match="nothing to compare"):
            neighbors.check_same(X, Q, np.array(ours), np.array(theirs), "peer")


def test_rows_are_evenly_spaced():
    X, y = np.arange(10)[:, None], np.arange(10)
    picked, labels = neighbors.rows_of(X, np.arange(9, -1, -1), y, 4)
    assert labels.tolist() == [0, 3, 6, 9]
    assert picked[:, 0].tolist() == [9, 6, 3, 0]
