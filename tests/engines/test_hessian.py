"""The Hessian of a loss in all classes of all images: the core against NumPy, for every kind of products here."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe import _core
from linprobe.engines.base import Engine, Examples, HessianWeights, open_engine
from linprobe.engines.curvature import HESSIAN_ROWS
from linprobe.features import Affine
from linprobe.losses import SoftmaxCrossEntropy, SquaredHinge

ROUNDED = 2.0**-8
"""Of rows and slopes: what a sum may be off by, relative to the sum of the sizes of its terms."""

SHAPES = [(1, 1, 2), (63, 17, 3), (257, 64, 10), (300, 131, 40), (513, 768, 100), (40, 2050, 9)]
"""N, D, K: blocks and tiles that are full, and some that are not."""


def problem(dtype, n, D, K, *, affine=False, picked=False, seed=0):
    random = np.random.default_rng(seed)
    used = 2 * n + 1
    X = random.integers(0, 256, (used, D)) if dtype == "uint8" else random.standard_normal((used, D)) + 0.5
    scale = 0.01 if dtype == "uint8" else 1.0
    mapped = Affine(scale * (0.5 + random.random(D)), random.standard_normal(D)) if affine else None
    rows = np.sort(random.permutation(used)[:n]) if picked else None
    X = X.astype(dtype) if picked else X.astype(dtype)[:n]
    return Examples(X, random.integers(0, K, n), K, rows=rows, affine=mapped), random


def some_weights(examples, random, star):
    n, K, block = len(examples.y), examples.n_classes, _core.HESSIAN_ROWS
    dense = np.where(random.random((n, K)) < 0.3, random.random((n, K)), 0.0)
    if star:
        dense[np.arange(n), examples.y] = 0.0
    padded = np.zeros((-(-n // block) * block, K), np.float16)
    padded[:n] = dense
    q = np.ascontiguousarray(padded.reshape(-1, block, K).transpose(0, 2, 1))
    return HessianWeights(q, random.random(n).astype(np.float32), star)


def assert_the_core_is_numpy():
    """In the process that calls it; for every shape, dtype and form."""
    for seed, (n, D, K) in enumerate(SHAPES):
        for dtype in ("uint8", "float16", "float32", "float64"):
            examples, random = problem(dtype, n, D, K, affine=dtype == "uint8" or seed % 2 == 0, picked=seed % 3 == 1)
            X, plain = examples.mapped(np.arange(n)), open_engine("reference", examples)
            V, c = random.standard_normal((K, D)), random.standard_normal(K)
            engines = [open_engine("threads", examples, threads) for threads in (1, 2, 3)]
            spread = float(np.abs(X).max()) * (np.abs(V) @ np.abs(X).max(axis=0)).max()
            for star in (False, True):
                weights = some_weights(examples, random, star)
                wanted = Engine.hessian_product(plain, weights, V, c)
                found = [engine.hessian_product(weights, V, c) for engine in engines]
                size = ROUNDED * spread * float(weights.shares.sum()) / np.sqrt(n)
                for got, want in zip(found[0], wanted, strict=True):
                    assert_allclose(got, want, rtol=0.0, atol=max(4.0 * ROUNDED * np.abs(want).max(), size))
                for other in found[1:]:
                    assert_array_equal(other[0], found[0][0])
                    assert_array_equal(other[1], found[0][1])
            W = V / np.sqrt(D)
            for loss in (SoftmaxCrossEntropy(), SquaredHinge(delta=0.7)):
                wanted_q = Engine.hessian_weights(plain, W, c, loss, np.ones(n)).q
                all_q = [engine.hessian_weights(W, c, loss, np.ones(n)).q for engine in engines]
                off = np.abs(all_q[0].astype(float) - wanted_q)
                assert np.mean(off > 2e-3) < 1e-3  # a margin that is 0 but for rounding may fall on either side
                for q in all_q[1:]:
                    assert_array_equal(q, all_q[0])
            rows, weight = random.permutation(n)[: n // 2 + 1], random.random(n // 2 + 1)
            Z = np.concatenate([X[rows], np.ones((len(rows), 1))], axis=1)
            block = engines[0].hessian_block(rows, weight)
            wanted_block = (Z * weight[:, None]).T @ Z
            assert_allclose(np.triu(block), np.triu(wanted_block), atol=4.0 * ROUNDED * np.abs(wanted_block).max())


@pytest.mark.parametrize("kind", ["off", "plain", "avx512", "amx"])
def test_every_kind_of_products_gives_what_numpy_gives(kind):
    program = textwrap.dedent("""
        from tests.engines.test_hessian import assert_the_core_is_numpy
        assert_the_core_is_numpy()
    """)
    environment = {**os.environ, "LINPROBE_BFLOAT16": kind}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    if kind in ("avx512", "amx") and f"LINPROBE_BFLOAT16 is '{kind}', which this processor lacks" in ran.stderr:
        pytest.skip(f"this processor has no bfloat16 by {kind}")
    assert ran.returncode == 0, ran.stderr


def test_the_blocks_of_images_have_one_size():
    assert HESSIAN_ROWS == _core.HESSIAN_ROWS


def test_what_does_not_fit_is_refused():
    examples, random = problem("float32", 10, 4, 2)
    engine = open_engine("threads", examples, 1)
    if not _core.bfloat16():
        pytest.skip("there is no bfloat16 here")
    weights = some_weights(examples, random, True)
    short = HessianWeights(weights.q[:, :1].copy(), weights.shares, True)
    with pytest.raises(ValueError, match="q must be"):
        engine.hessian_product(short, np.zeros((2, 4)), np.zeros(2))
    with pytest.raises(ValueError, match="out must be"):
        _core.hessian_block(examples.X, None, None, None, np.ones(10, np.float32), np.zeros((4, 4), np.float32))
