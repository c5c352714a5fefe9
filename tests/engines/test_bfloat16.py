"""Passes in bfloat16 against an oracle that rounds as they do, for every kind of products that runs here."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe import _core
from linprobe.engines.base import Examples, Precision, open_engine
from linprobe.engines.reference import bfloat16_pass, bfloat16_terms
from linprobe.features.base import Affine
from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge

LOSSES = [SoftmaxCrossEntropy(), MulticlassHinge(delta=0.7), SquaredHinge()]
COARSE = (1, 2, 1)
SHAPES = [(1, 1, 10), (70, 33, 11), (300, 100, 20), (129, 47, 33), (65, 40, 300), (700, 768, 100), (33, 2050, 9)]
"""N, D, K: blocks and tiles that are full, and some that are not."""


def made(n, D, K, dtype, *, weighted=False, affine=False, picked=False, seed=0):
    random = np.random.default_rng(seed)
    used = n + 5 if picked else n
    return Examples(
        random.normal(size=(used, D)).astype(dtype),
        random.integers(0, K, n),
        K,
        rows=random.integers(0, used, n) if picked else None,
        sample_weight=random.uniform(0.1, 2.0, n) if weighted else None,
        affine=Affine(random.uniform(0.5, 1.5, D), random.normal(size=D)) if affine else None,
    )


def weights(examples, seed=1):
    random = np.random.default_rng(seed)
    shape = (examples.n_classes, examples.n_features)
    return random.normal(size=shape) / np.sqrt(shape[1]), random.normal(size=shape[0])


def assert_is(found, wanted, examples, exact):
    """Sums are float32: 2^-24 a term. A few slopes lie so near a tie that they are rounded the other way,
    which moves the gradients of their class and of the last."""
    scale = np.abs(wanted.dW).max() + 1.0
    misses = np.abs(found.dW - wanted.dW)
    assert np.quantile(misses, 1.0 if exact else 0.5) < 1e-5 * scale
    assert misses.max() < scale * 1e-5 + 0.03 * np.abs(examples.mapped(slice(None))).max()
    assert_allclose(found.db, wanted.db, atol=2e-5 * (np.abs(wanted.db).max() + 1.0))
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5, abs=1e-5)
    assert [found.correct, found.weight] == pytest.approx([wanted.correct, wanted.weight])


def assert_passes_are_those_of_the_oracle():
    """In the process that calls it; for every shape, dtype and loss."""
    for seed, (n, D, K) in enumerate(SHAPES):
        for dtype in ("float16", "float32"):
            weighted, affine, picked = seed % 2 == 0, seed % 3 == 0, seed % 4 == 1
            examples = made(n, D, K, dtype, weighted=weighted, affine=affine, picked=picked, seed=seed)
            engine = open_engine("threads", examples, 2)
            W, b = weights(examples)
            for loss in LOSSES:
                wanted = bfloat16_pass(examples, W, b, loss, COARSE, engine._sample[0])
                found = engine.loss_and_gradient(W, b, loss, precision=Precision.COARSE)
                assert_is(found, wanted, examples, exact=False)
                value = engine.loss_and_gradient(W, b, loss, need_gradient=False, precision=Precision.COARSE)
                assert value.loss == found.loss
                single = engine.loss_and_gradient(W, b, loss, precision=Precision.SINGLE)
                exactly = open_engine("reference", examples).loss_and_gradient(W, b, loss)
                assert_is(single, exactly, examples, exact=True)
            S = open_engine("reference", examples).scores(W, b)
            assert_allclose(engine.scores(W, b), S, atol=2e-6 * max(1.0, np.abs(S).max()) * np.sqrt(D))


@pytest.mark.parametrize("kind", ["plain", "avx512", "amx"])
def test_every_kind_of_products_is_the_oracle(kind):
    program = textwrap.dedent("""
        import sys
        sys.path.insert(0, "tests/engines")
        from linprobe import _core
        import test_bfloat16
        print(_core.bfloat16())
        test_bfloat16.assert_passes_are_those_of_the_oracle()
    """)
    environment = os.environ | {"LINPROBE_BFLOAT16": kind}
    if kind == "plain":
        environment["LINPROBE_INSTRUCTION_SET"] = "plain"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    name = {"plain": "plain", "avx512": "AVX-512", "amx": "AMX"}[kind]
    if kind != "plain" and f"ValueError: LINPROBE_BFLOAT16 is '{kind}', which this processor lacks" in done.stderr:
        pytest.skip(f"this processor has no bfloat16 by {name}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == name


def in_another_process(kind: str, program: str) -> str:
    """What a program prints, its engine being told which products in bfloat16 to use."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=os.environ | {"LINPROBE_BFLOAT16": kind},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_bfloat16_can_be_switched_off_and_a_wrong_name_is_an_error():
    program = """
        import sys
        sys.path.insert(0, "tests/engines")
        import test_bfloat16 as t
        examples = t.made(90, 40, 12, "float32")
        engine = t.open_engine("threads", examples, 2)
        coarse, single = (engine.loss_and_gradient(*t.weights(examples), t.LOSSES[0], precision=p) for p in (0, 1))
        print(engine.coarse_rounding, (coarse.dW == single.dW).all(), "bfloat16" in engine.describe())
    """
    assert in_another_process("off", program) == "0.0 True False\n"
    assert in_another_process("plain", program) == "0.00390625 False True\n"
    with pytest.raises(subprocess.CalledProcessError) as error:
        in_another_process("fast", program)
    assert "LINPROBE_BFLOAT16 must be off, plain, avx512 or amx" in error.value.stderr


@pytest.mark.parametrize("kind", ["avx512", "amx"])
def test_products_that_the_instruction_set_goes_without_are_refused(kind):
    environment = os.environ | {"LINPROBE_BFLOAT16": kind, "LINPROBE_INSTRUCTION_SET": "plain"}
    command = [sys.executable, "-c", "from linprobe import _core; _core.bfloat16()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert f"ValueError: LINPROBE_BFLOAT16 is '{kind}', which this processor lacks" in done.stderr
    assert "the instruction set plain goes without. Name off or plain" in done.stderr


@pytest.mark.parametrize("precision", [Precision.COARSE, Precision.SINGLE])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_bits_depend_on_neither_threads_nor_layout_nor_members(dtype, precision):
    examples = made(1500, 100, 40, dtype, weighted=True)
    W, b = weights(examples)
    first = open_engine("threads", examples, 1).loss_and_gradient(W, b, LOSSES[0], precision=precision)
    apart = np.zeros((3000, 300), dtype)
    apart[::2, ::3] = examples.X
    for X, n_threads in ((examples.X, 2), (examples.X, 3), (np.asfortranarray(examples.X), 2), (apart[::2, ::3], 2)):
        again = Examples(X, examples.y, 40, sample_weight=examples.sample_weight)
        found = open_engine("threads", again, n_threads).loss_and_gradient(W, b, LOSSES[0], precision=precision)
        assert_array_equal(found.dW, first.dW)
        assert_array_equal(found.db, first.db)
        assert found.loss == first.loss
    members = np.stack([W, 2 * W, W]), np.stack([b, b, b])
    stacked = open_engine("threads", examples, 2).stacked_loss_and_gradient(*members, LOSSES[0], precision=precision)
    assert_array_equal(stacked[0].dW, stacked[2].dW)
    assert_allclose(stacked[0].dW, first.dW, atol=1e-5 * np.abs(first.dW).max())


def test_members_with_few_classes_round_no_more_together_than_alone():
    examples = made(200, 40, 3, "float32")
    engine = open_engine("threads", examples, 2)
    assert engine.coarse_rounding == 0.0
    W, b = weights(examples)
    members = np.stack([W] * 20), np.stack([b] * 20)
    found = engine.stacked_loss_and_gradient(*members, LOSSES[0], precision=Precision.COARSE)[7]
    wanted = open_engine("reference", examples).loss_and_gradient(W, b, LOSSES[0])
    assert_allclose(found.dW, wanted.dW, atol=2e-5 * np.abs(wanted.dW).max())


def test_numbers_are_rounded_to_the_nearest_and_ties_to_even():
    ulp = 2.0**-7
    values = np.array([1.0, 1 + ulp / 2, 1 + 1.5 * ulp, -1 - 0.51 * ulp, 3e38, np.inf, np.nan, 1e-40, -1e-40, 0.0])
    found = bfloat16_terms(values, 1)[0]
    assert_array_equal(found[:4], [1.0, 1.0, 1 + 2 * ulp, -1 - ulp])
    assert found[4] == pytest.approx(3e38, rel=2.0**-8)
    assert_array_equal(found[5:], [np.inf, np.nan, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(("dtype", "n"), [("float16", 2), ("float32", 3)])
def test_a_number_is_the_sum_of_its_terms(dtype, n):
    random = np.random.default_rng(0)
    values = (random.normal(size=10_000) * np.exp(random.normal(size=10_000) * 3)).astype(dtype)
    assert_array_equal(sum(term.astype(float) for term in bfloat16_terms(values, n)), values.astype(float))


def test_scores_that_are_not_finite_give_a_loss_that_is_not_finite():
    examples = made(40, 30, 12, "float32")
    W, b = weights(examples)
    for bad in (np.nan, np.inf):
        broken = W.copy()
        broken[1, 3] = bad
        for precision in (Precision.COARSE, Precision.SINGLE):
            engine = open_engine("threads", examples)
            assert not np.isfinite(engine.loss_and_gradient(broken, b, LOSSES[0], precision=precision).loss)


@pytest.mark.skipif(_core.bfloat16() == "", reason="no products in bfloat16 here")
def test_the_rounding_of_a_coarse_pass_moves_the_gradient_as_far_as_it_says():
    examples = made(3000, 60, 20, "float16", weighted=True)
    examples.X[:, :] += 10 * np.random.default_rng(5).normal(size=60).astype("float16")  # the mean costs nothing
    W, b = weights(examples)
    engine = open_engine("threads", examples, 2)
    coarse = engine.loss_and_gradient(W, b, LOSSES[0], precision=Precision.COARSE)
    double = engine.loss_and_gradient(W, b, LOSSES[0], precision=Precision.DOUBLE)
    predicted = engine.coarse_noise * examples.total_weight
    assert 0.1 * predicted < np.linalg.norm(coarse.dW - double.dW) < 2.0 * predicted
