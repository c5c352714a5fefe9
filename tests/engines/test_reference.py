"""The reference engine against a naive loop; the other engines are compared with it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.engines import reference as reference_module
from linprobe.engines.base import Examples, open_engine
from linprobe.engines.reference import ReferenceEngine
from linprobe.errors import ParameterError, ShapeError
from linprobe.features import Affine
from linprobe.losses import LOSSES, Loss, MulticlassHinge, SoftmaxCrossEntropy

N, D, K = 23, 7, 4
RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 256, (N, D), dtype=np.uint8)
Y = RANDOM.integers(0, K, N)
W = RANDOM.normal(size=(K, D)) / 100
B = RANDOM.normal(size=K)
WEIGHT = RANDOM.random(N)
AFFINE = Affine(RANDOM.random(D), RANDOM.normal(size=D))


def naive_sums(loss, X, y, weight):
    """Loss, gradient, hits and weight, image by image and class by class."""
    total, dW, db, correct = 0.0, np.zeros((K, D)), np.zeros(K), 0.0
    for x, label, w in zip(X, y, weight, strict=True):
        s = [sum(W[k, d] * x[d] for d in range(D)) + B[k] for k in range(K)]
        value, ds = loss.value_and_gradient(np.array([s]), np.array([label]))
        total += w * value[0]
        for k in range(K):
            db[k] += w * ds[0, k]
            for d in range(D):
                dW[k, d] += w * ds[0, k] * x[d]
        correct += w > 0 and s.index(max(s)) == label  # each image counts once, whatever its weight
    return total, dW, db, correct, sum(weight)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("block", [D, 5 * D, 1000 * D])
def test_the_sums_are_those_of_a_naive_loop(name, weighted, mapped, block, monkeypatch):
    monkeypatch.setattr(reference_module, "BLOCK_NUMBERS", block)
    loss = LOSSES[name]()
    examples = Examples(X, Y, K, sample_weight=WEIGHT if weighted else None, affine=AFFINE if mapped else None)
    sums = ReferenceEngine(examples).loss_and_gradient(W, B, loss)
    rows = AFFINE.apply(X) if mapped else X.astype(float)
    total, dW, db, correct, weight = naive_sums(loss, rows, Y, WEIGHT if weighted else np.ones(N))
    assert_allclose(sums.loss, total, rtol=1e-12)
    assert_allclose(sums.dW, dW, rtol=1e-10, atol=1e-10)
    assert_allclose(sums.db, db, rtol=1e-10, atol=1e-12)
    assert_allclose([sums.correct, sums.weight], [correct, weight], rtol=1e-12)
    counted = int((WEIGHT > 0).sum()) if weighted else N
    assert sums.counted == counted
    assert_allclose(sums.accuracy, correct / counted)


@pytest.mark.parametrize("name", LOSSES)
def test_without_the_gradient_loss_and_hits_are_the_same(name):
    engine = ReferenceEngine(Examples(X, Y, K, sample_weight=WEIGHT))
    whole = engine.loss_and_gradient(W, B, LOSSES[name]())
    part = engine.loss_and_gradient(W, B, LOSSES[name](), need_gradient=False)
    assert part.dW is None
    assert part.db is None
    assert (part.loss, part.correct, part.weight) == (whole.loss, whole.correct, whole.weight)


def test_sums_over_two_shards_add_up_to_the_sums_over_all():
    engine = ReferenceEngine(Examples(X, Y, K, sample_weight=WEIGHT))
    loss = SoftmaxCrossEntropy()
    first, second = (engine.loss_and_gradient(W, B, loss, rows) for rows in np.split(np.arange(N), [9]))
    whole = engine.loss_and_gradient(W, B, loss)
    assert_allclose(first.loss + second.loss, whole.loss, rtol=1e-13)
    assert_allclose(first.dW + second.dW, whole.dW, rtol=1e-11, atol=1e-11)
    assert_allclose(first.correct + second.correct, whole.correct, rtol=1e-13)


def test_rows_of_the_examples_and_rows_of_the_call_pick_the_same_images():
    order = np.array([5, 2, 2, 20])
    used = np.array([22, 1, 9, 14, 0, 7])
    picked = np.array([4, 0, 0])
    engine = ReferenceEngine(Examples(X, Y[used], K, rows=used))
    assert_allclose(engine.scores(W, B, picked), X[used[picked]] @ W.T + B)
    direct = ReferenceEngine(Examples(X, Y, K))
    assert_allclose(direct.scores(W, B, order), X[order] @ W.T + B)
    by_rows = direct.loss_and_gradient(W, B, MulticlassHinge(), used[picked])
    assert_allclose(engine.loss_and_gradient(W, B, MulticlassHinge(), picked).dW, by_rows.dW)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_rows_of_any_dtype_strides_and_writability_are_read_as_float64(dtype):
    wide = np.asfortranarray(np.repeat(X.astype(dtype), 2, axis=1))
    view = wide[:, ::2]
    view.flags.writeable = False
    engine = ReferenceEngine(Examples(view, Y, K))
    assert engine.scores(W.astype(np.float32), B).dtype == np.float64
    assert_allclose(engine.scores(W, B), X.astype(dtype).astype(float) @ W.T + B)


def test_a_read_only_memory_map_is_read(tmp_path):
    np.save(tmp_path / "pixels.npy", X)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    assert_allclose(ReferenceEngine(Examples(mapped, Y, K)).scores(W, B), X @ W.T + B)


def test_on_equal_scores_the_first_class_counts_as_the_answer():
    engine = ReferenceEngine(Examples(X[:3], np.array([0, 1, 3]), K))
    assert engine.loss_and_gradient(np.zeros((K, D)), np.zeros(K), MulticlassHinge()).correct == 1.0


def test_one_image_and_two_classes_are_enough():
    engine = ReferenceEngine(Examples(X[:1], Y[:1] * 0, 2))
    sums = engine.loss_and_gradient(np.zeros((2, D)), np.zeros(2), SoftmaxCrossEntropy())
    assert_allclose(sums.loss, np.log(2.0))
    assert_allclose(sums.dW, np.array([-0.5, 0.5])[:, None] * X[:1])


def test_no_rows_give_empty_scores_and_zero_sums():
    engine = ReferenceEngine(Examples(X, Y, K))
    none = np.zeros(0, dtype=np.int64)
    assert engine.scores(W, B, none).shape == (0, K)
    sums = engine.loss_and_gradient(W, B, MulticlassHinge(), none)
    assert (sums.loss, sums.correct, sums.weight) == (0.0, 0.0, 0.0)
    assert np.isnan(sums.accuracy)
    assert_array_equal(sums.dW, 0.0)


def test_weights_that_are_not_finite_give_a_loss_that_is_not_and_no_warning():
    engine = ReferenceEngine(Examples(X, Y, K, affine=AFFINE))
    bad = W.copy()
    bad[1, 2] = np.nan
    for loss in LOSSES.values():
        assert np.isnan(engine.loss_and_gradient(bad, B, loss()).loss)
        assert not np.isfinite(engine.loss_and_gradient(W * 1e308, B, loss()).loss)


def test_memory_stays_bounded_by_a_block_and_not_by_the_number_of_images():
    rows, labels = np.zeros((30_000, 300), np.uint8), np.zeros(30_000, int)
    engine = ReferenceEngine(Examples(rows, labels, 2))
    tracemalloc.start()
    engine.loss_and_gradient(np.zeros((2, 300)), np.zeros(2), SoftmaxCrossEntropy())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6  # the float64 rows would take 72 MB, a block 8 MB


def test_a_loss_that_gives_the_wrong_shape_is_named():
    class Column(Loss):
        name, smooth = "column", True

        def value_and_gradient(self, scores, y):
            return np.zeros((len(scores), 1)), np.zeros_like(scores)

    with pytest.raises(ShapeError, match=r"Column gave losses \(23, 1\) .* expected \(23,\)"):
        ReferenceEngine(Examples(X, Y, K)).loss_and_gradient(W, B, Column())


def test_weights_of_the_wrong_shape_are_refused():
    with pytest.raises(ShapeError, match=r"W has shape \(4, 8\) but X has 7 features"):
        ReferenceEngine(Examples(X, Y, K)).scores(np.zeros((K, D + 1)), B)


def test_the_description_is_one_line_with_the_precision():
    line = ReferenceEngine(Examples(X, Y, K)).describe()
    assert "float64" in line
    assert "\n" not in line


def test_an_unknown_engine_lists_the_known_ones():
    with pytest.raises(ParameterError, match="engine = 'gpu'; expected one of reference, threads"):
        open_engine("gpu", Examples(X, Y, K))
