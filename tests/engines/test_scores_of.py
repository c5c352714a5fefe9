"""Scores of rows without labels: those that an engine over labelled rows gives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linprobe.engines.base import ENGINES, Examples, MappedRows, open_engine, scores_of
from linprobe.errors import ParameterError, ShapeError
from linprobe.features.base import Affine

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 256, (50, 7), dtype=np.uint8)
W, B = RANDOM.normal(size=(3, 7)), RANDOM.normal(size=3)
AFFINE = Affine(np.full(7, 1 / 255), RANDOM.normal(size=7))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("affine", [None, AFFINE])
@pytest.mark.parametrize("rows", [None, np.array([3, 3, 49, 0])])
def test_scores_without_labels_are_those_of_an_engine_over_labelled_rows(engine, dtype, affine, rows):
    used = X.astype(dtype)
    n = len(used) if rows is None else len(rows)
    labelled = open_engine(engine, Examples(used, np.arange(n) % 3, 3, rows, affine=affine), 2)
    found = scores_of(MappedRows(used, rows, affine), W, B, engine=engine, n_threads=2)
    assert found.dtype == np.float64
    assert_array_equal(found, labelled.scores(W, B))


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_that_do_not_fit_the_rows_are_refused(engine):
    with pytest.raises(ShapeError, match="W has shape"):
        scores_of(MappedRows(X), W[:, :6], B, engine=engine)


def test_an_engine_or_a_number_of_threads_that_is_none_is_refused():
    with pytest.raises(ParameterError, match="engine = 'gpu'"):
        scores_of(MappedRows(X), W, B, engine="gpu")
    with pytest.raises(ParameterError, match="n_threads = 0"):
        scores_of(MappedRows(X), W, B, n_threads=0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"X": X[0]}, "two axes"),
        ({"X": X.astype(np.int32)}, "has dtype int32"),
        ({"X": X[:0]}, "no rows"),
        ({"X": X, "rows": np.array([50])}, r"rows must lie in 0\.\.49"),
        ({"X": X, "affine": Affine(np.ones(6), np.zeros(6))}, "the affine map has 6 features"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(rows, message):
    with pytest.raises(ShapeError, match=message):
        MappedRows(**rows)
