"""The exact search against plain NumPy: dtypes, metrics, odd shapes, layouts and ties; and its own promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from linprobe import _core
from linprobe.errors import IncompatibleError, ParameterError, ShapeError
from linprobe.neighbors.codes import LONGEST_QUERY, Coder, GroupCoder
from linprobe.neighbors.search import LEAST_ROWS, NeighborSearch

CASES = [("uint8", "l2"), ("uint8", "l1")] + [
    (dtype, metric) for dtype in ("float16", "float32", "float64") for metric in ("l2", "cosine")
]


def smooth_rows(n, D, dtype, seed=0):
    """Rows with most of their variance in a few directions, as pictures have."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 12)) * np.geomspace(8, 0.5, 12)
    X = latent @ np.random.default_rng(99).normal(size=(12, D)) + rng.normal(size=(n, D))
    return np.clip(X * 6 + 128, 0, 255).astype(np.uint8) if dtype == "uint8" else X.astype(dtype)


def expected(X, Q, k, metric):
    """The k nearest by every distance, in exact integers of bytes and in float64 of the others."""
    keys = np.empty((len(Q), len(X)))
    for i, q in enumerate(Q):
        if X.dtype == np.uint8:
            gap = X.astype(np.int64) - q.astype(np.int64)
            keys[i] = (gap**2).sum(axis=1) if metric == "l2" else np.abs(gap).sum(axis=1)
        elif metric == "l2":
            keys[i] = ((X.astype(np.float64) - q.astype(np.float64)) ** 2).sum(axis=1)
        else:
            A, b = X.astype(np.float64), q.astype(np.float64)
            lengths = np.linalg.norm(A, axis=1) * np.linalg.norm(b)
            keys[i] = 1 - np.divide(A @ b, lengths, out=np.zeros(len(A)), where=lengths > 0)
    order = np.argsort(keys, axis=1, kind="stable")[:, :k]
    found = np.maximum(np.take_along_axis(keys, order, axis=1), 0.0)
    return np.sqrt(found) if metric == "l2" else found, order


def assert_nearest(X, Q, k, metric, found, rows=None):
    used = X if rows is None else X[rows]
    distances, positions = expected(used, Q, k, metric)
    if X.dtype == np.uint8:
        assert_array_equal(found[0], distances)
        assert_array_equal(found[1], positions)
    else:  # sums of D squares in another order; rows closer than that may change places
        assert_allclose(found[0], distances, rtol=1e-9, atol=1e-7 if metric == "cosine" else 1e-9)
        assert np.mean(found[1] == positions) > 0.99


@pytest.mark.parametrize(("dtype", "metric"), CASES)
@pytest.mark.parametrize(("n", "D"), [(1, 1), (7, 1), (50, 3), (70, 33), (300, 130), (40, 1100)])
def test_every_distance_is_the_one_of_numpy(dtype, metric, n, D):
    X, Q = smooth_rows(n, D, dtype), smooth_rows(37, D, dtype, seed=1)
    for k in {1, min(5, n), n}:
        assert_nearest(X, Q, k, metric, NeighborSearch(X, metric=metric, n_threads=2).search(Q, k))


@pytest.mark.parametrize(("dtype", "metric"), [case for case in CASES if case[1] != "l1"])
@pytest.mark.parametrize("D", [1, 2, 63, 64, 65, 120, 128, 129, 300])
def test_bounds_leave_out_no_neighbour(dtype, metric, D):
    X, Q = smooth_rows(LEAST_ROWS + 77, D, dtype), smooth_rows(45, D, dtype, seed=1)
    search = NeighborSearch(X, metric=metric, n_threads=2)
    assert "bounds" in search.describe()
    for k in (1, 5, 30):
        assert_nearest(X, Q, k, metric, search.search(Q, k))


@pytest.mark.parametrize(("dtype", "metric"), [("float16", "cosine"), ("float32", "l2"), ("float64", "cosine")])
@pytest.mark.parametrize("D", [129, 160, 200, 300, 700])
def test_vectors_that_no_few_directions_describe_have_long_codes(dtype, metric, D):
    rng = np.random.default_rng(0)
    X, Q = (rng.normal(size=(n, D)).astype(dtype) for n in (LEAST_ROWS + 3, 45))
    Q[7] *= 100
    search = NeighborSearch(X, metric=metric, n_threads=2)
    search.prepare()
    assert search._coder.long or D < 200  # of 160, three quarters are enough
    for k in (1, 5, 30):
        assert_nearest(X, Q, k, metric, search.search(Q, k))


@pytest.mark.parametrize("D", [512, 600, 1030, 3072])
@pytest.mark.parametrize("more", [0, 1, 78, 79])
def test_bounds_by_groups_of_columns_leave_out_no_neighbour(D, more):
    X, Q = smooth_rows(LEAST_ROWS + more, D, "uint8"), smooth_rows(33, D, "uint8", seed=1)
    Q[3], X[17], Q[4] = 255, 0, 0
    search = NeighborSearch(X, metric="l1", n_threads=2)
    assert "bounds" in search.describe()
    for k in (1, 5, 30):
        assert_nearest(X, Q, k, "l1", search.search(Q, k))


def test_distances_of_sums_are_bounds_of_the_distances():
    X = smooth_rows(300, 700, "uint8")
    coder = GroupCoder.fitted(X, None, 1)
    assert coder.groups.sum(axis=0).tolist() == [1] * 700
    codes = coder.codes(X, None)[0].astype(np.int64)
    true = np.abs(X[:, None].astype(np.int64) - X[None, :40]).sum(axis=2)
    bound = np.abs(codes[:, None] - codes[None, :40]).sum(axis=2)
    assert (bound <= coder.scale * true + coder.margins[0]).all()
    assert np.median(bound[true > 0] / (coder.scale * true[true > 0])) > 0.5


@pytest.mark.parametrize(("dtype", "metric"), CASES)
def test_the_reference_engine_gives_the_same(dtype, metric):
    X, Q = smooth_rows(90, 20, dtype), smooth_rows(11, 20, dtype, seed=1)
    assert_nearest(X, Q, 4, metric, NeighborSearch(X, metric=metric, engine="reference").search(Q, 4))


@given(st.data())
@settings(max_examples=40)
def test_random_pixels_of_any_shape(data):
    n, D, k = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 200)), data.draw(st.integers(1, 60))
    high = data.draw(st.sampled_from([1, 2, 4, 256]))  # few values: many ties
    metric = data.draw(st.sampled_from(["l2", "l1"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    X, Q = rng.integers(0, high, (n, D)).astype(np.uint8), rng.integers(0, high, (5, D)).astype(np.uint8)
    assert_nearest(X, Q, min(k, n), metric, NeighborSearch(X, metric=metric, n_threads=1).search(Q, min(k, n)))


@pytest.mark.parametrize("n", [50, LEAST_ROWS + 5])
@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_of_equal_distances_the_smaller_position_comes_first(n, metric):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (n, 6)).astype(np.uint8) * 90  # every row many times
    X = np.concatenate([X, X])
    Q = X[:40]
    found = NeighborSearch(X, metric=metric, n_threads=2).search(Q, 9)
    assert_nearest(X, Q, 9, metric, found)
    assert (np.diff(found[1], axis=1) > 0)[np.diff(found[0], axis=1) == 0].all()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_constant_rows_are_all_at_distance_zero(dtype):
    X = np.full((LEAST_ROWS + 1, 40), 7, dtype)
    distances, positions = NeighborSearch(X).search(X[:3], 4)
    assert_array_equal(distances, np.zeros((3, 4)))
    assert_array_equal(positions, np.tile(np.arange(4), (3, 1)))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_extremes_of_pixels_and_of_columns_do_not_overflow(dtype):
    D = 40_000  # squares of 255 sum to more than 2^31
    X, Q = np.zeros((3, D), dtype), np.full((1, D), 255, dtype)
    X[1, 0] = 1
    distances, positions = NeighborSearch(X).search(Q, 3)
    assert_array_equal(positions, [[1, 0, 2]])
    assert distances[0, 1] == 255 * np.sqrt(D)


def test_random_noise_is_searched_exactly_though_no_bound_helps():
    rng = np.random.default_rng(0)
    X, Q = (rng.integers(0, 256, (n, 400)).astype(np.uint8) for n in (LEAST_ROWS, 9))
    assert_nearest(X, Q, 3, "l2", NeighborSearch(X).search(Q, 3))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_query_too_long_for_a_code_is_compared_with_every_row(dtype):
    X = smooth_rows(LEAST_ROWS, 150, dtype)
    X = X // 16 if dtype == "uint8" else X
    Q = smooth_rows(6, 150, dtype, seed=1)
    Q[2:4] = 255 if dtype == "uint8" else 1e6
    search = NeighborSearch(X)
    search.prepare()
    _, beyond = search._coder.codes(Q, None)
    assert beyond[2:4].all()
    assert_nearest(X, Q, 3, "l2", search.search(Q, 3))


def test_one_row_far_from_all_others_costs_time_and_not_exactness():
    X, Q = smooth_rows(LEAST_ROWS, 30, "float64"), smooth_rows(9, 30, "float64", seed=1)
    X[17] = 1e30
    assert_nearest(X, Q, 3, "l2", NeighborSearch(X).search(Q, 3))


@pytest.mark.parametrize("D", [20, 200])
@pytest.mark.parametrize("exponent", [-300, -170, -30, 30, 120, 400])
def test_the_scale_of_floats_does_not_matter(exponent, D):
    X, Q = smooth_rows(LEAST_ROWS, D, "float64"), smooth_rows(9, D, "float64", seed=1)
    factor = 2.0**exponent
    plain, scaled = NeighborSearch(X).search(Q, 3), NeighborSearch(X * factor).search(Q * factor, 3)
    assert_array_equal(scaled[1], plain[1])
    assert_allclose(scaled[0], plain[0] * factor, rtol=1e-12)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_numbers_whose_squares_overflow_are_refused(metric):
    X = smooth_rows(30, 20, "float64")
    with pytest.raises(ParameterError, match=r"X holds numbers of 1e\+140 or more"):
        NeighborSearch(X * 1e200, metric=metric)
    with pytest.raises(ParameterError, match=r"the queries hold numbers of 1e\+140 or more, or NaN"):
        NeighborSearch(X, metric=metric).search(X * np.nan, 1)


def test_a_zero_vector_is_at_cosine_distance_one():
    X = smooth_rows(LEAST_ROWS, 20, "float32")
    X[5] = 0
    distances, positions = NeighborSearch(X, metric="cosine").search(np.zeros((1, 20), np.float32), 3)
    assert_array_equal(distances, [[1, 1, 1]])
    assert_array_equal(positions, [[0, 1, 2]])


@pytest.mark.parametrize(("dtype", "metric"), CASES)
@pytest.mark.parametrize("n", [60, LEAST_ROWS + 200])
def test_any_layout_gives_the_same(dtype, metric, n):
    X, Q = smooth_rows(n, 70, dtype), smooth_rows(20, 70, dtype, seed=1)
    plain = NeighborSearch(X, metric=metric).search(Q, 3)
    wide = np.zeros((2 * n, 140), dtype)
    wide[::2, ::2] = X
    frozen = np.asfortranarray(X)
    frozen.flags.writeable = False
    for other in (wide[::2, ::2], frozen, X[::-1][::-1]):
        found = NeighborSearch(other, metric=metric).search(np.asfortranarray(Q), 3)
        assert_array_equal(found[1], plain[1])
        assert_array_equal(found[0], plain[0])


@pytest.mark.parametrize(("dtype", "metric"), CASES)
@pytest.mark.parametrize("n", [60, LEAST_ROWS + 200])
def test_picked_rows_are_numbered_by_their_place(dtype, metric, n):
    X, Q = smooth_rows(2 * n, 70, dtype), smooth_rows(30, 70, dtype, seed=1)
    rng = np.random.default_rng(0)
    rows, asked = rng.permutation(2 * n)[:n], rng.permutation(30)[:7]
    found = NeighborSearch(X, rows, metric=metric).search(Q, 3, asked)
    whole = NeighborSearch(np.ascontiguousarray(X[rows]), metric=metric).search(Q[asked], 3)
    assert_array_equal(found[1], whole[1])
    assert_array_equal(found[0], whole[0])


@pytest.mark.parametrize(("dtype", "metric"), CASES)
@pytest.mark.parametrize("n", [60, LEAST_ROWS + 200])
def test_the_bits_do_not_depend_on_the_number_of_threads(dtype, metric, n):
    X, Q = smooth_rows(n, 600, dtype), smooth_rows(150, 600, dtype, seed=1)
    found = [NeighborSearch(X, metric=metric, n_threads=threads).search(Q, 5) for threads in (1, 2, 3)]
    for other in found[1:]:
        assert_array_equal(found[0][0], other[0])
        assert_array_equal(found[0][1], other[1])


SETS = ["plain", "neon"] if _core.instruction_set() == "neon" else ["plain", "avx2", "avx512"]


@pytest.mark.parametrize("instruction_set", SETS[: 1 + SETS.index(_core.instruction_set())])
def test_every_instruction_set_finds_the_same(instruction_set, tmp_path):
    X, Q = smooth_rows(LEAST_ROWS + 101, 600, "uint8"), smooth_rows(33, 600, "uint8", seed=1)
    np.savez(tmp_path / "rows.npz", X=X, Q=Q)
    code = textwrap.dedent("""
        import sys
        import numpy as np
        from linprobe import _core
        from linprobe.neighbors.search import NeighborSearch
        rows = np.load(sys.argv[1])
        assert _core.instruction_set() == sys.argv[2]
        for metric in ("l2", "l1"):
            bytes_found = NeighborSearch(rows["X"], metric=metric).search(rows["Q"], 4)
            np.savez(sys.argv[3] + metric, *bytes_found)
        for metric in ("l2", "cosine"):
            floats = NeighborSearch(rows["X"].astype(np.float32), metric=metric).search(rows["Q"].astype(np.float32), 4)
            np.savez(sys.argv[3] + "float" + metric, *floats)
    """)
    environment = os.environ | {"LINPROBE_INSTRUCTION_SET": instruction_set}
    arguments = [tmp_path / "rows.npz", instruction_set, f"{tmp_path}/"]
    subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True, timeout=60)
    for name, rows, metric in (
        ("l2", X, "l2"),
        ("l1", X, "l1"),
        ("floatl2", X.astype(np.float32), "l2"),
        ("floatcosine", X.astype(np.float32), "cosine"),
    ):
        found = np.load(tmp_path / f"{name}.npz")
        assert_nearest(rows, Q.astype(rows.dtype), 4, metric, (found["arr_0"], found["arr_1"]))


@pytest.mark.parametrize(("dtype", "metric"), [("uint8", "l2"), ("float32", "l2"), ("float64", "cosine")])
def test_distances_of_codes_are_bounds_of_the_distances(dtype, metric):
    X = smooth_rows(500, 300, dtype)
    coder = Coder.fitted(X, None, metric, 1)
    codes, beyond = (array.astype(np.float64) for array in coder.codes(X, None))
    assert not beyond.any()
    rows = X.astype(np.float64)
    if metric == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    true = np.linalg.norm(rows[:, None, :] - rows[None, :60, :], axis=2)
    prefix = np.linalg.norm(codes[:, None, : _core.PREFIX] - codes[None, :60, : _core.PREFIX], axis=2)
    whole = np.delete(codes, _core.PREFIX - 1, axis=1)
    whole = np.linalg.norm(whole[:, None, :] - whole[None, :60, :], axis=2)
    assert (prefix <= coder.scale * true + coder.margins[0]).all()
    assert (whole <= coder.scale * true + coder.margins[1]).all()
    assert np.abs(codes).max() <= LONGEST_QUERY
    # and they are worth computing: these rows have most of their variance in twelve directions
    assert np.median(prefix[true > 0] / (coder.scale * true[true > 0])) > 0.5


def test_progress_is_told_to_the_end():
    X, told = smooth_rows(30, 5, "uint8"), []
    NeighborSearch(X).search(X, 1, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (30, 30)


@pytest.mark.parametrize("k", [0, -1, 31])
def test_a_k_without_so_many_rows_is_refused(k):
    X = smooth_rows(30, 5, "uint8")
    with pytest.raises(ParameterError, match=f"^k = {k}"):
        NeighborSearch(X).search(X, k)


def test_a_metric_that_does_not_fit_is_refused():
    with pytest.raises(IncompatibleError, match=r"cosine.*uint8 pixels"):
        NeighborSearch(smooth_rows(3, 5, "uint8"), metric="cosine")
    with pytest.raises(IncompatibleError, match=r"l1.*float32 numbers"):
        NeighborSearch(smooth_rows(3, 5, "float32"), metric="l1")
    with pytest.raises(ParameterError, match="expected one of l2, l1, cosine"):
        NeighborSearch(smooth_rows(3, 5, "float32"), metric="l3")


def test_tables_that_do_not_fit_are_refused():
    X = smooth_rows(30, 5, "float32")
    for bad in (X[:, :4], X.astype(np.float64), X[0]):
        with pytest.raises(ShapeError):
            NeighborSearch(X).search(bad, 1)
    for rows in (np.array([30]), np.array([-1]), np.array([], np.int64)):
        with pytest.raises(ShapeError):
            NeighborSearch(X, rows)
    with pytest.raises(ShapeError, match="int64"):
        NeighborSearch(X.astype(np.int64))
    with pytest.raises(ParameterError, match="n_threads = 0"):
        NeighborSearch(X, n_threads=0)
    with pytest.raises(ParameterError, match="engine = 'gpu'"):
        NeighborSearch(X, engine="gpu")


def test_no_queries_have_no_neighbours():
    X = smooth_rows(30, 5, "uint8")
    distances, positions = NeighborSearch(X).search(X[:0], 2)
    assert distances.shape == positions.shape == (0, 2)


def test_searches_at_once_do_not_disturb_each_other():
    X, Q = smooth_rows(LEAST_ROWS, 150, "uint8"), smooth_rows(64, 150, "uint8", seed=1)
    search = NeighborSearch(X, n_threads=2)
    wanted = search.search(Q, 3)[1]
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: search.search(Q, 3)[1], range(12)):
            assert_array_equal(found, wanted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")
def test_an_interrupt_is_answered_while_the_core_searches():
    program = textwrap.dedent("""
        import numpy as np
        from linprobe.neighbors.search import NeighborSearch
        X = np.random.default_rng(0).integers(0, 256, (4000, 3000)).astype(np.uint8)
        search = NeighborSearch(X)
        search.prepare()
        try:
            print("ready", flush=True)
            while True:
                search.search(X, 9)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    try:
        assert child.communicate(timeout=30)[0] == "interrupted\n"
    finally:
        child.kill()
