"""The native engine against the reference, over dtypes, losses, odd sizes and layouts; and its own promises."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from linprobe import _core
from linprobe.engines.base import EpochPlan, Examples, Precision, open_engine
from linprobe.engines.dropout import Dropout
from linprobe.features.base import Affine
from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.losses.base import Loss

LOSSES: list[Loss] = [SoftmaxCrossEntropy(), MulticlassHinge(delta=0.7), SquaredHinge()]
DTYPES = ["uint8", "float16", "float32", "float64"]


class UserHinge(Loss):
    """A loss that the core does not know, though it borrows a name that it knows."""

    name = "hinge"
    smooth = False

    def value_and_gradient(self, scores, y):
        values, dscores = MulticlassHinge().value_and_gradient(scores, y)
        return 3 * values, 3 * dscores


def made_examples(n=70, D=33, K=3, dtype="uint8", *, seed=0, weighted=False, affine=True, rows=None):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (n, D)).astype(np.uint8) if dtype == "uint8" else rng.normal(size=(n, D)).astype(dtype)
    used = n if rows is None else len(rows)
    scale = rng.uniform(0.5, 1.5, D) / (255 if dtype == "uint8" else 1)
    return Examples(
        X,
        rng.integers(0, K, used),
        K,
        rows=rows,
        sample_weight=rng.uniform(0, 2, used) if weighted else None,
        affine=Affine(scale, rng.normal(size=D)) if affine or dtype == "uint8" else None,
    )


def made_weights(examples, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(examples.n_classes, examples.n_features)), rng.normal(size=examples.n_classes)


def assert_gradients_agree(found, wanted, exact):
    """float32 products err by 2^-24 for each of D terms of size |w x|, products of float64 rows by 2^-53."""
    tol = (1e-12 if exact else 2e-5) * (np.abs(wanted.dW).max() + np.abs(wanted.db).max() + 1)
    assert_allclose(found.dW, wanted.dW, rtol=0, atol=tol)
    assert_allclose(found.db, wanted.db, rtol=0, atol=tol)


def assert_engines_agree(examples, loss, n_threads=2, size=1.0):
    W, b = (size * array for array in made_weights(examples))
    found = open_engine("threads", examples, n_threads).loss_and_gradient(W, b, loss)
    wanted = open_engine("reference", examples).loss_and_gradient(W, b, loss)
    exact = examples.X.dtype == np.float64
    # The slopes of the hinge jump at a margin of 0; no margin of these examples lies within rounding of it.
    assert_gradients_agree(found, wanted, exact)
    assert_allclose(found.loss, wanted.loss, rtol=1e-12 if exact else 1e-5)
    assert_allclose([found.correct, found.weight], [wanted.correct, wanted.weight], rtol=1e-12)


def near_a_jump(examples, loss, W, b, within):
    """Whether a slope of the loss, or the highest score of an image, could change if scores changed by `within`."""
    S = open_engine("reference", examples).scores(W, b)
    top = np.sort(S, axis=1)
    ties = (top[:, -1] - top[:, -2] < within).any()
    return bool(ties or (np.abs(loss.kinks(S, examples.y)) < within).any())


@pytest.mark.parametrize("loss", [*LOSSES, UserHinge()], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pass_agrees_with_the_reference(dtype, loss):
    assert_engines_agree(made_examples(dtype=dtype), loss)
    assert_engines_agree(made_examples(dtype=dtype, weighted=True, affine=False), loss)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(
    n=st.integers(1, 200),
    D=st.integers(1, 70),
    K=st.integers(2, 24),
    dtype=st.sampled_from(DTYPES),
    loss=st.sampled_from(LOSSES),
    weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_pass_agrees_with_the_reference_for_odd_sizes(n, D, K, dtype, loss, weighted, seed):
    examples = made_examples(n, D, K, dtype, seed=seed, weighted=weighted)
    if weighted and not examples.sample_weight.any():
        return
    W, b = made_weights(examples)
    assume(not near_a_jump(examples, loss, W, b, within=1e-5))
    found = open_engine("threads", examples, 2).loss_and_gradient(W, b, loss)
    wanted = open_engine("reference", examples).loss_and_gradient(W, b, loss)
    assert_gradients_agree(found, wanted, exact=dtype == "float64")
    # A small loss of softmax is a difference of large scores, so an error in them adds to it.
    assert_allclose(found.loss, wanted.loss, rtol=1e-5, atol=1e-5 * wanted.weight)
    assert_allclose([found.correct, found.weight], [wanted.correct, wanted.weight], rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pass_agrees_with_the_reference_for_a_thousand_classes(dtype):
    for loss in LOSSES:
        assert_engines_agree(made_examples(130, 40, 1000, dtype), loss)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K", [2, 10, 191, 194])
def test_a_pass_agrees_with_the_reference_over_many_slices_blocks_and_groups(dtype, K):
    # 1,107 columns: slices, and a few columns over; 2,500 rows: more blocks than groups; 191 and 192 templates:
    # both sides of the choice between tiles and BLAS
    n = 2500 if K == 10 else 150
    assert_engines_agree(made_examples(n, 1107, K, dtype, weighted=True), SoftmaxCrossEntropy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [3, 64, 129, 300])
def test_a_pass_over_long_rows_agrees_with_the_reference(dtype, n):
    """Beyond 8,192 columns a block has twice the rows."""
    for D in (8192, 8193):
        # scores of a size at which a float32 product leaves even a small loss its digits
        assert_engines_agree(made_examples(n, D, 3, dtype, weighted=True), SoftmaxCrossEntropy(), size=0.03)


@pytest.mark.parametrize("K", [3, 200])
def test_a_constant_pixel_in_the_mean_image_has_no_gradient(K):
    examples = made_examples(90, 40, K)
    examples.X[:, 7] = 201
    scale = np.full(40, 1 / 255)
    shift = -examples.X.mean(axis=0) * scale
    centred = Examples(examples.X, examples.y, K, affine=Affine(scale, shift))
    W, b = made_weights(centred)
    dW = open_engine("threads", centred, 2).loss_and_gradient(W, b, SoftmaxCrossEntropy()).dW
    assert np.abs(dW[:, 7]).max() < 1e-12


def test_rows_are_read_in_any_layout():
    base = made_examples(80, 40, 4, "float32")
    W, b = made_weights(base)
    wanted = open_engine("threads", base, 2).scores(W, b)
    frozen = base.X.copy()
    frozen.flags.writeable = False
    wide = np.zeros((160, 120), np.float32)
    wide[::2, ::3] = base.X
    for X in (np.asfortranarray(base.X), frozen, wide[::2, ::3], base.X[::-1][::-1]):
        other = Examples(X, base.y, 4, affine=base.affine)
        assert_array_equal(open_engine("threads", other, 2).scores(W, b), wanted)


def test_a_memory_map_is_read_as_it_is(tmp_path):
    base = made_examples(100, 30, 3)
    np.save(tmp_path / "X.npy", base.X)
    mapped = Examples(np.load(tmp_path / "X.npy", mmap_mode="r"), base.y, 3, affine=base.affine)
    W, b = made_weights(base)
    assert_array_equal(open_engine("threads", mapped, 2).scores(W, b), open_engine("threads", base, 2).scores(W, b))


def test_rows_pick_and_positions_count_among_the_picked():
    rows = np.array([5, 3, 60, 3, 11])
    examples = made_examples(70, 20, 3, rows=rows)
    W, b = made_weights(examples)
    for name in ("threads", "reference"):
        engine = open_engine(name, examples)
        assert_allclose(engine.scores(W, b, np.array([2, 0])), engine.scores(W, b)[[2, 0]], rtol=1e-6)
    found = open_engine("threads", examples).loss_and_gradient(W, b, LOSSES[0], np.array([4, 1, 1]))
    wanted = open_engine("reference", examples).loss_and_gradient(W, b, LOSSES[0], np.array([4, 1, 1]))
    assert_allclose(found.dW, wanted.dW, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_threads_gives_the_same_bits(dtype):
    examples = made_examples(1000, 1100, 10, dtype, weighted=True)
    W, b = made_weights(examples)
    first = open_engine("threads", examples, 1).loss_and_gradient(W, b, LOSSES[0])
    for n_threads in (2, 3, 7):
        again = open_engine("threads", examples, n_threads).loss_and_gradient(W, b, LOSSES[0])
        assert first.loss == again.loss
        assert_array_equal(first.dW, again.dW)
        assert_array_equal(first.db, again.db)


def test_scores_that_are_not_finite_give_a_loss_that_is_not_finite():
    examples = made_examples(5, 4, 3, "float64", affine=False)
    W, b = made_weights(examples)
    for bad in (np.nan, np.inf):
        broken = b.copy()
        broken[1] = bad
        for loss in LOSSES:
            assert not np.isfinite(open_engine("threads", examples).loss_and_gradient(W, broken, loss).loss)


def test_softmax_keeps_its_digits_near_zero_and_far_out():
    examples = Examples(np.array([[40.0], [-1000.0]]), np.array([0, 0]), 2)
    W, b = np.array([[1.0], [0.0]]), np.zeros(2)
    found = open_engine("threads", examples).loss_and_gradient(W, b, SoftmaxCrossEntropy(), np.array([0]))
    assert_allclose(found.loss, np.exp(-40.0), rtol=1e-12)
    assert_allclose(found.db, [-np.exp(-40.0), np.exp(-40.0)], rtol=1e-12)
    far = open_engine("threads", examples).loss_and_gradient(W, b, SoftmaxCrossEntropy(), np.array([1]))
    assert far.loss == 1000.0


def sgd_arrays(examples, update, averaging):
    dtype = np.float64 if examples.X.dtype == np.float64 else np.float32
    K, D = examples.n_classes, examples.n_features
    names = ["W"]
    names += ["W_m"] if update in ("momentum", "nesterov", "adam") else []
    names += ["W_v"] if update in ("adagrad", "rmsprop", "adam") else []
    names += ["W_avg"] if averaging else []
    shapes = dict.fromkeys(names, (K, D)) | {name.replace("W", "b"): (K,) for name in names}
    return {name: np.zeros(shape, dtype) for name, shape in shapes.items()}


def run_epoch(
    examples,
    loss,
    update,
    *,
    n_threads=2,
    batch_size=7,
    averaging=False,
    l1=1e-3,
    rate=0.01,
    bias_rate=1.0,
    dropout=None,
):
    order = np.random.default_rng(5).permutation(examples.n_images)
    arrays = sgd_arrays(examples, update, averaging)
    plan = EpochPlan(
        order=order,
        batch_size=batch_size,
        rates=np.full(-(-examples.n_images // batch_size), rate),
        update=update,
        momentum=0.9,
        rho=0.99,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-8,
        l2=1e-3,
        l1=l1,
        step=0,
        averaged=0 if averaging else -1,
        bias_rate=bias_rate,
        dropout=dropout,
    )
    mean_loss = open_engine("threads", examples, n_threads).sgd_epoch(arrays, loss, plan)
    return mean_loss, arrays


def naive_plain_epoch(examples, loss, batch_size, rate, l2, l1, bias_rate):
    """Mini-batch descent written out once more, in float64, on whole arrays."""
    X = examples.mapped(slice(None))
    weight = (
        np.ones(len(X)) if examples.sample_weight is None else examples.sample_weight / examples.sample_weight.mean()
    )
    W, b = np.zeros((examples.n_classes, examples.n_features)), np.zeros(examples.n_classes)
    order = np.random.default_rng(5).permutation(len(X))
    for start in range(0, len(X), batch_size):
        batch = order[start : start + batch_size]
        dS = loss.value_and_gradient(X[batch] @ W.T + b, examples.y[batch])[1] * weight[batch, None] / len(batch)
        stepped = W - rate * (dS.T @ X[batch] + 2 * l2 * W)
        W = np.sign(stepped) * np.maximum(np.abs(stepped) - rate * l1, 0)
        b = b - bias_rate * rate * dS.sum(axis=0)
    return W, b


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", [1, 7, 64, 300, 10_000])
def test_an_sgd_epoch_is_the_plain_loop(dtype, loss, batch_size):
    examples = made_examples(700, 33, 3, dtype, weighted=True)
    _, arrays = run_epoch(examples, loss, "plain", batch_size=batch_size, rate=5e-4, bias_rate=3.0)
    W, b = naive_plain_epoch(examples, loss, batch_size, 5e-4, 1e-3, 1e-3, 3.0)
    # Hinge slopes are steps: in float32 a margin within rounding of 0 may fall on the other side of one.
    atol = 1e-12 if dtype == "float64" else 2e-3 if loss.name == "hinge" else 2e-4
    assert_allclose(arrays["W"], W, atol=atol * max(1, np.abs(W).max()))
    assert_allclose(arrays["b"], b, atol=atol * max(1, np.abs(b).max()))


@pytest.mark.parametrize("update", ["plain", "momentum", "nesterov", "adagrad", "rmsprop", "adam"])
def test_an_sgd_epoch_has_the_same_bits_for_any_number_of_threads(update):
    examples = made_examples(150, 2100, 10, "uint8")
    first_loss, first = run_epoch(examples, LOSSES[0], update, n_threads=1, averaging=True, rate=1e-3)
    for n_threads in (2, 3, 8):
        loss, arrays = run_epoch(examples, LOSSES[0], update, n_threads=n_threads, averaging=True, rate=1e-3)
        assert loss == first_loss
        for name in first:
            assert_array_equal(arrays[name], first[name])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n_features", "batch_size"), [(1, 1), (33, 7), (1100, 300)])
def test_dropout_of_the_core_is_that_of_the_plain_masks(dtype, n_features, batch_size):
    examples, mask = made_examples(320, n_features, 3, dtype), Dropout(0.4, 2**63 + 12345)
    inputs = examples.mapped(slice(None)) * mask.masks(np.arange(320), n_features)
    masked = Examples(inputs if dtype == "float64" else inputs.astype(np.float32), examples.y, 3)
    given = {"batch_size": batch_size, "rate": 1e-4, "l1": 0.0}
    loss, arrays = run_epoch(examples, SoftmaxCrossEntropy(), "plain", dropout=mask, **given)
    wanted_loss, wanted = run_epoch(masked, SoftmaxCrossEntropy(), "plain", **given)
    rtol = 1e-12 if dtype == "float64" else 1e-4
    assert_allclose(loss, wanted_loss, rtol=rtol)
    assert_allclose(arrays["W"], wanted["W"], atol=rtol * np.abs(wanted["W"]).max())


def test_dropout_has_the_same_bits_for_any_number_of_threads():
    examples, mask = made_examples(150, 2100, 10, "uint8"), Dropout(0.5, 7)
    first = run_epoch(examples, LOSSES[0], "adam", n_threads=1, dropout=mask)[1]["W"]
    for n_threads in (2, 3, 8):
        assert_array_equal(run_epoch(examples, LOSSES[0], "adam", n_threads=n_threads, dropout=mask)[1]["W"], first)


def test_an_sgd_epoch_stops_at_a_loss_that_is_not_finite():
    examples = made_examples(300, 20, 3, "float32")
    mean_loss, arrays = run_epoch(examples, SquaredHinge(), "plain", rate=1e20)
    assert np.isnan(mean_loss)
    assert not np.isfinite(arrays["W"]).all() or np.abs(arrays["W"]).max() > 1e10


def scores_sum(n_threads: int) -> float:
    examples = made_examples(500, 600, 4)
    return float(open_engine("threads", examples, n_threads).scores(*made_weights(examples)).sum())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_works():
    wanted = scores_sum(2)
    with multiprocessing.get_context("fork").Pool(2) as children:
        assert children.map_async(scores_sum, [2, 2, 1]).get(timeout=60) == [wanted] * 3


def test_several_python_threads_work_at_once():
    wanted = scores_sum(1)
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(scores_sum, [2] * 12)) == [wanted] * 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")
def test_an_interrupt_is_answered_while_the_core_works():
    program = textwrap.dedent("""
        import numpy as np
        from linprobe.engines.base import Examples, open_engine
        from linprobe.losses import SoftmaxCrossEntropy
        engine = open_engine("threads", Examples(np.zeros((4000, 4000), np.float32), np.zeros(4000, int), 200))
        W, b = np.zeros((200, 4000)), np.zeros(200)
        try:
            print("ready", flush=True)
            while True:
                engine.loss_and_gradient(W, b, SoftmaxCrossEntropy())
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


def with_instruction_set(name: str, program: str) -> subprocess.CompletedProcess[str]:
    """Of a process that is told to use `name`."""
    environment = os.environ | {"LINPROBE_INSTRUCTION_SET": name}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("instruction_set", ["plain", "avx2", "avx512", "neon"])
def test_every_instruction_set_that_runs_here_agrees(instruction_set):
    program = textwrap.dedent("""
        import sys
        sys.path.insert(0, "tests/engines")
        from linprobe import _core
        import test_threads as t
        print(_core.instruction_set())
        for dtype in t.DTYPES:
            for loss in t.LOSSES:
                t.assert_engines_agree(t.made_examples(130, 61, 11, dtype), loss)
                t.test_an_sgd_epoch_is_the_plain_loop(dtype, loss, 7)
    """)
    done = with_instruction_set(instruction_set, program)
    if "which this processor lacks" in done.stderr or "this build of linprobe has: " in done.stderr:
        pytest.skip(f"this processor has no {instruction_set}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == instruction_set


def test_an_instruction_set_that_is_not_here_is_an_error():
    done = with_instruction_set("avx9", "from linprobe import _core; _core.instruction_set()")
    assert "ValueError: LINPROBE_INSTRUCTION_SET is 'avx9'; this build of linprobe has: plain" in done.stderr
    done = with_instruction_set("avx9", "from linprobe.cli import main; main(['train', 'digits', '--out', 'unused'])")
    assert done.returncode == 2
    assert "error: LINPROBE_INSTRUCTION_SET is 'avx9'; this build of linprobe has: plain" in done.stderr


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_precise_pass_is_that_of_the_reference_to_rounding(dtype):
    for loss in [*LOSSES, UserHinge()]:
        examples = made_examples(150, 90, 5, dtype, weighted=True)
        W, b = made_weights(examples)
        found = open_engine("threads", examples, 2).loss_and_gradient(W, b, loss, precision=Precision.DOUBLE)
        wanted = open_engine("reference", examples).loss_and_gradient(W, b, loss)
        scale = np.abs(wanted.dW).max()
        assert_allclose(found.dW, wanted.dW, atol=1e-12 * scale)
        assert_allclose(found.db, wanted.db, atol=1e-12 * scale)
        assert found.loss == pytest.approx(wanted.loss, rel=1e-12)
    S = open_engine("threads", examples, 2).scores(W, b, precise=True)
    assert_allclose(S, open_engine("reference", examples).scores(W, b), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("members", [1, 3, 70])
def test_stacked_classifiers_share_a_pass_and_keep_their_sums(members):
    examples = made_examples(150, 90, 5, weighted=True)  # 70 members: 280 templates, through the BLAS
    random = np.random.default_rng(0)
    W, b = random.normal(size=(members, 5, 90)), random.normal(size=(members, 5))
    engine = open_engine("threads", examples, 2)
    for found, *member in zip(engine.stacked_loss_and_gradient(W, b, SoftmaxCrossEntropy()), W, b, strict=True):
        wanted = open_engine("reference", examples).loss_and_gradient(*member, SoftmaxCrossEntropy())
        assert_allclose(found.dW, wanted.dW, atol=2e-5 * np.abs(wanted.dW).max())
        assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
        assert found.correct == pytest.approx(wanted.correct, rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_second_moment_is_that_of_the_reference_for_any_number_of_threads(dtype):
    examples = made_examples(5000 if dtype == "uint8" else 700, 300, 3, dtype, weighted=True)
    wanted = open_engine("reference", examples).second_moment()
    found = [open_engine("threads", examples, threads).second_moment() for threads in (1, 2, 3)]
    assert_allclose(found[0], wanted, atol=3e-6 * np.abs(wanted).max())
    assert_array_equal(found[0], found[1])
    assert_array_equal(found[0], found[2])
    single = [open_engine("threads", examples, threads).second_moment(dtype=np.float32) for threads in (1, 2)]
    assert_allclose(single[0], wanted, atol=3e-6 * np.abs(wanted).max())
    assert_array_equal(single[0], single[1])
    some = np.array([5, 3, 600, 3])
    wanted = open_engine("reference", examples).second_moment(some)
    found_some = open_engine("threads", examples, 2).second_moment(some)
    assert_allclose(found_some, wanted, atol=3e-6 * np.abs(wanted).max())


@pytest.mark.parametrize(("n", "D"), [(1, 1), (5, 3), (513, 25), (1024, 24), (17_000, 49), (67_585, 3)])
def test_the_second_moment_of_bytes_is_exact(n, D):
    random = np.random.default_rng(0)
    X = random.integers(0, 256, (n, D)).astype(np.uint8)
    X[:, 0] = 255  # the sums that are the first to overflow
    rows, labels = random.permutation(n), np.zeros(n, np.int64)
    for threads in (1, 2, 3):
        engine = open_engine("threads", Examples(X, labels, 2, rows), threads)
        assert_array_equal(engine.second_moment(), X.T.astype(float) @ X.astype(float))
        single = engine.second_moment(dtype=np.float32)
        assert single.dtype == np.float32
        # beyond 16,384 rows some processors sum in float32, and beyond 65,536 all: equal numbers round the same way
        rtol = 6e-8 if n <= 16_384 else 1e-6 if n <= 65_536 else 2e-5
        assert_allclose(single, X.T.astype(float) @ X.astype(float), rtol=rtol)
    mapped = Examples(X[:, ::-1], labels, 2, affine=Affine(random.random(D) + 0.1, random.normal(size=D)))
    wanted = open_engine("reference", mapped).second_moment()
    assert_allclose(open_engine("threads", mapped, 2).second_moment(), wanted, atol=1e-11 * np.abs(wanted).max())
    single = open_engine("threads", mapped, 2).second_moment(dtype=np.float32)
    assert_allclose(single, wanted, atol=(rtol if n <= 16_384 else 2 * rtol) * np.abs(wanted).max())


@pytest.mark.parametrize("rows", [None, np.arange(149, 20, -2)], ids=["all", "some"])
@pytest.mark.parametrize("n_classes", [1, 5])
def test_the_gradient_of_given_scores_is_that_of_the_reference(rows, n_classes):
    examples = made_examples(150, 90, 5)
    dS = np.random.default_rng(0).normal(size=(150 if rows is None else len(rows), n_classes))
    found = open_engine("threads", examples, 2).gradient_of_scores(dS, rows, precise=True)
    for one, other in zip(found, open_engine("reference", examples).gradient_of_scores(dS, rows), strict=True):
        assert_allclose(one, other, atol=1e-11 * np.abs(other).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_split_step_is_that_of_the_reference_and_its_dual_point_feasible(dtype, loss):
    examples = made_examples(150, 90, 5, dtype, weighted=True)
    W, b = made_weights(examples)
    results = []
    for engine in ("reference", "threads"):
        random = np.random.default_rng(0)
        z = random.normal(size=(150, 5)).astype(np.float32)
        g = loss.value_and_gradient(z.astype(np.float64), examples.y)[1].astype(np.float32)
        run = open_engine(engine, examples, 2).split_step
        sums = run(W, b, loss, z, g, rho=0.8, relax=1.6, need_dual=True)
        results.append((sums, z, g))
    (wanted, z_wanted, g_wanted), (found, z, g) = results
    size = np.abs(z_wanted).max()
    assert_allclose(z, z_wanted, atol=2e-4 * size)
    assert_allclose(g, g_wanted, atol=2e-4 * max(1.0, np.abs(g_wanted).max()))
    assert np.abs(g.sum(axis=1)).max() <= 1e-5 * max(1.0, np.abs(g).max())
    for name in ("miss", "miss_columns", "dual", "dual_columns"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert_allclose(one, other, atol=5e-4 * np.abs(other).max(), err_msg=name)
    for name in ("loss", "correct", "weight", "conjugate"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=2e-4)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize(
    ("n", "D", "K"), [(1, 1, 2), (255, 63, 3), (257, 64, 17), (513, 65, 50), (7, 4095, 3), (9, 4097, 3), (300, 130, 60)]
)
def test_bytes_agree_with_the_reference_at_the_edges_of_the_blocks_of_whole_numbers(loss, n, D, K):
    examples = made_examples(n, D, K, weighted=True)
    assert_engines_agree(examples, loss, size=0.1)
    W, b = (0.1 * array for array in made_weights(examples))
    found = [
        open_engine("threads", examples, t).loss_and_gradient(W, b, loss, precision=Precision.DOUBLE) for t in (1, 2, 3)
    ]
    wanted = open_engine("reference", examples).loss_and_gradient(W, b, loss)
    assert_allclose(found[0].dW, wanted.dW, atol=1e-12 * (np.abs(wanted.dW).max() + np.abs(wanted.db).max()))
    assert_allclose(found[0].loss, wanted.loss, rtol=1e-12)
    for other in found[1:]:
        assert_array_equal(other.dW, found[0].dW)
        assert_array_equal(other.db, found[0].db)
        assert other.loss == found[0].loss


@pytest.mark.parametrize("scale", ["none", "one", "each"])
@pytest.mark.parametrize("order", ["rows", "columns", "some"])
@pytest.mark.parametrize(("n", "D"), [(1, 1), (3, 7), (47, 65), (49, 2049), (130, 4100)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_products_of_rows_with_each_other_are_those_of_the_reference(n, D, dtype, order, scale):
    random = np.random.default_rng(D)
    X = random.integers(0, 256, (2 * n, D), dtype=np.uint8).astype(dtype)
    X = {"rows": X, "columns": np.asfortranarray(X), "some": np.repeat(X, 2, axis=1)[::-1, ::2]}[order]
    scales = {"none": None, "one": np.full(D, 1 / 255), "each": random.uniform(0.5, 1, D) / 255}[scale]
    affine = None if scales is None else Affine(scales, random.normal(size=D))
    examples = Examples(X, np.zeros(2 * n, np.int64), 2, affine=affine)
    rows, roots = random.permutation(2 * n)[:n], random.uniform(0.5, 2.0, n)
    wanted = examples.mapped(rows) * roots[:, None]
    wanted = wanted @ wanted.T
    found = [open_engine("threads", examples, t).gram(rows, roots) for t in (1, 2, 3)]
    # each of uint8 with one scale is rounded once
    tolerance = 1e-7 if dtype is np.uint8 and scale != "each" else 1e-5
    assert_allclose(found[0], wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max() * (scale != "none"))
    assert_array_equal(found[0], found[0].T)
    for other in found[1:]:
        assert_array_equal(other, found[0])
    assert_allclose(
        open_engine("reference", examples).gram(rows, roots), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max()
    )


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SquaredHinge()], ids=lambda loss: loss.name)
@pytest.mark.parametrize(("n", "D", "K"), [(1, 1, 2), (255, 63, 3), (257, 64, 17), (513, 65, 50), (9, 4097, 3)])
def test_a_pass_loses_no_more_than_it_tells(n, D, K, loss, precision):
    examples = made_examples(n, D, K, weighted=True)
    W, b = (0.1 * array for array in made_weights(examples))
    engines = [open_engine("threads", examples, t) for t in (1, 2, 3)]
    found = [engine.loss_and_gradient(W, b, loss, precision=precision) for engine in engines]
    wanted = open_engine("reference", examples).loss_and_gradient(W, b, loss)
    one = found[0]
    # slopes move with the scores, by the curvature of the loss; both count by the largest number of a feature
    curvature = 2.0 * loss.curvature(K) * np.sqrt(K)
    lost = one.slope_error + one.weight * curvature * one.score_error
    unit = {Precision.COARSE: 1e-6, Precision.SINGLE: 1e-6}.get(precision, 1e-13) * (np.abs(wanted.db).max() + n)
    sizes = 255 * np.abs(examples.affine.scale) + np.abs(examples.affine.shift)
    assert np.abs(one.dW - wanted.dW).max() <= sizes.max() * (lost + unit)
    if precision >= Precision.PROOF:
        assert_allclose(one.dW, wanted.dW, atol=1e-8 * (np.abs(wanted.dW).max() + np.abs(wanted.db).max()))
        assert_allclose(one.loss, wanted.loss, rtol=1e-9)
        assert one.slope_error <= 1e-9 * (np.abs(wanted.dW).max() + n * K * np.abs(wanted.db).max())
    for other in found[1:]:
        assert_array_equal(other.dW, one.dW)
        assert (other.loss, other.score_error, other.slope_error) == (
            one.loss,
            one.score_error,
            one.slope_error,
        )


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("n", "D", "K"), [(1, 1, 2), (255, 63, 3), (700, 64, 10), (300, 130, 50), (9, 4161, 3)])
def test_passes_at_coarse_weights_are_exact_but_for_their_slopes(n, D, K, scaled):
    examples = made_examples(n, D, K)
    if not scaled:
        examples = replace(examples, affine=None)
    W, b = (0.01 * array for array in made_weights(examples))
    engines = [open_engine("threads", examples, t) for t in (1, 2, 3)]
    found = list(engines[0].coarse(W))
    whole = examples.X.dtype == np.uint8 and _core.instruction_set() == "avx512"
    assert len(found) == (2 if whole else 0)
    far = [np.abs(near - W).max() for near in found]
    assert far == sorted(far, reverse=True)
    for near, bits in zip(found, (7, 15), strict=False):
        scale = 1.0 if examples.affine is None else examples.affine.scale
        units = np.abs((W[:-1] - W[-1]) * scale).max(axis=1, keepdims=True) * 2.0 ** (1 - bits)
        assert (np.abs(near - W)[:-1] * scale <= units).all()
        assert_array_equal(near[-1], W[-1])
        passes = [e.loss_and_gradient(near, b, SoftmaxCrossEntropy(), precision=Precision.COARSE) for e in engines]
        wanted = open_engine("reference", examples).loss_and_gradient(near, b, SoftmaxCrossEntropy())
        assert passes[0].loss == pytest.approx(wanted.loss, rel=1e-6)
        sizes = 255.0 if examples.affine is None else (255 * np.abs(scale) + np.abs(examples.affine.shift)).max()
        assert np.abs(passes[0].dW - wanted.dW).max() <= sizes * n * (2.0**-15 + 1e-6)
        for other in passes[1:]:
            assert_array_equal(other.dW, passes[0].dW)


def test_coarse_weights_may_be_zero_and_features_constant():
    examples = made_examples(20, 5, 3)
    scale = np.array([1.0, 0.0, 1.0, 0.5, 2.0])
    engine = open_engine("threads", replace(examples, affine=Affine(scale, np.zeros(5))), 1)
    for W in (np.zeros((3, 5)), np.array([[0.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5])):
        for near in engine.coarse(W):
            assert np.isfinite(near).all()
            assert_allclose(near, W, atol=0.1)
            assert_array_equal(near[:, 1], W[:, 1])


@pytest.mark.parametrize("over", [0, 1, 16, 63])
@pytest.mark.parametrize("D", [64, 128, 4096, 4160])
def test_bytes_may_lie_at_any_address(D, over):
    n, K, loss = 37, 5, SoftmaxCrossEntropy()
    memory = np.zeros(n * D + 128, np.uint8)
    first = -memory.ctypes.data % 64 + over
    examples = made_examples(n, D, K)
    memory[:] = 255  # what lies around the rows counts for nothing
    X = memory[first : first + n * D].reshape(n, D)
    X[:] = examples.X
    assert X.ctypes.data % 64 == over
    assert_engines_agree(replace(examples, X=X), loss, size=0.02)
    assert_engines_agree(replace(examples, X=X[::-1], rows=np.arange(n)[::2], y=examples.y[::2]), loss, size=0.02)


@pytest.mark.parametrize("n_great", [1, 20])
def test_weights_of_very_different_sizes_keep_their_digits(n_great):
    """In whole multiples of a unit for all of a template, the small ones would have 9 digits, of 24, left."""
    examples = made_examples(200, 300, 3, affine=True)
    examples.X[:, :n_great] = 0
    W, b = made_weights(examples)
    W[:, :n_great] *= 1e6
    found = open_engine("threads", examples, 2).scores(W, b)
    wanted = open_engine("reference", examples).scores(W, b)
    # what the great weight adds to every score, float64, goes: it tells no image from another
    found, wanted = found - found.mean(axis=0), wanted - wanted.mean(axis=0)
    assert_allclose(found, wanted, atol=2e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_nan_and_inf_stay_so(value):
    examples = made_examples(40, 70, 3)
    W, b = made_weights(examples)
    W[1, 5] = value
    found = open_engine("threads", examples, 2).loss_and_gradient(W, b, SquaredHinge())
    with np.errstate(invalid="ignore"):
        wanted = open_engine("reference", examples).loss_and_gradient(W, b, SquaredHinge())
    assert np.isfinite(found.loss) == np.isfinite(wanted.loss) == (value == 1e30)
    # 1e30 squared is beyond float32: the gradient may overflow, but is not wrong
    finite = np.isfinite(found.dW)
    assert_allclose(found.dW[finite], wanted.dW[finite], rtol=1e-5, atol=1e-6 * value if value == 1e30 else 1.0)
    dS = np.ones((40, 3))
    dS[7, 1] = value
    found_dW = open_engine("threads", examples, 2).gradient_of_scores(dS)[0]
    with np.errstate(invalid="ignore"):
        wanted_dW = open_engine("reference", examples).gradient_of_scores(dS)[0]
    assert_allclose(found_dW[[0, 2]], wanted_dW[[0, 2]], rtol=1e-4, atol=1e-4)
    assert np.isfinite(found_dW[1]).all() == (value == 1e30)


@pytest.mark.parametrize("size", [1e-30, 1e-36, 1e30])
def test_slopes_of_any_size_that_float32_has_give_a_gradient(size):
    examples = made_examples(100, 70, 3)
    dS = size * np.random.default_rng(0).normal(size=(100, 3))
    found = open_engine("threads", examples, 2).gradient_of_scores(dS)[0]
    wanted = open_engine("reference", examples).gradient_of_scores(dS)[0]
    assert_allclose(found, wanted, atol=(1e-5 if size > 1e-32 else 1e-2) * np.abs(wanted).max())


@pytest.mark.parametrize("rows", [None, np.arange(299, 3, -3)], ids=["all", "some"])
def test_a_gradient_of_small_whole_slopes_is_exact_in_bytes(rows):
    """Sums of products of whole numbers; with a power of two as the scale nothing is rounded."""
    X = np.random.default_rng(0).integers(0, 256, (300, 77)).astype(np.uint8)
    affine = Affine(np.full(77, 2.0**-8), np.full(77, -0.5))
    picked = np.arange(300) if rows is None else rows
    examples = Examples(X, np.zeros(300, np.int64), 5, affine=affine)
    dS = np.random.default_rng(1).integers(-9, 10, (len(picked), 5)).astype(float)
    found = open_engine("threads", examples, 2).gradient_of_scores(dS, rows)[0]
    assert_array_equal(found, dS.T @ (X[picked] * 2.0**-8 - 0.5))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_the_description_is_one_line_with_the_precision_of_the_products(dtype):
    line = open_engine("threads", made_examples(dtype=dtype), 2).describe()
    whole = dtype == "uint8" and _core.instruction_set() == "avx512"
    expected = "products of whole numbers" if whole else "float64" if dtype == "float64" else "float32 products"
    assert line.startswith(f"threads: {_core.instruction_set()}, 2 threads, {expected}")


@pytest.mark.parametrize("K", [5, 17, 300])  # in the tiles, and with a BLAS
def test_slopes_too_small_for_float32_are_zero_and_spoil_no_gradient(K):
    examples = replace(made_examples(200, 64, K, "float32", affine=False), y=np.zeros(200, np.int64))
    W, b = np.zeros((K, 64)), np.linspace(-110.0, -50.0, K)  # e^-87 is the least normal number
    b[0] = 0.0
    loss = SoftmaxCrossEntropy()
    found = open_engine("threads", examples, 2).loss_and_gradient(W, b, loss)
    wanted = open_engine("reference", examples).loss_and_gradient(W, b, loss)
    assert (found.dW[1:-1][b[1:-1] < -70.0] == 0.0).all()
    assert_allclose(found.dW, wanted.dW, atol=1e-5 * np.abs(wanted.dW).max())
    assert_allclose(found.db, wanted.db, rtol=1e-6)  # sums of float64 slopes
    assert_allclose(found.loss, wanted.loss)
