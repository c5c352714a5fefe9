"""Fewer images than features: the smaller problem has the same optimum, proved on the images themselves."""

import numpy as np
import pytest

from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.optimizers import LBFGS, Status
from linprobe.optimizers.span import SpanOfImages, suits_span


def wide(loss="softmax", n=40, D=150, K=5, dtype=np.float64, seed=0, **options):
    random = np.random.default_rng(seed)
    y = np.arange(n) % K
    X = random.standard_normal((n, D)) + 3.0 + random.standard_normal((K, D))[y]
    if dtype == np.uint8:
        X = np.clip(128 + 30 * (X - 3.0), 0, 255)
    defaults = {"penalty": "l2", "reg": 1e-3, "n_classes": K}
    return Objective(X.astype(dtype), y, loss=loss, **(defaults | options))


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("loss", ["softmax", "squared-hinge"])
def test_the_optimum_is_that_over_all_features(loss, dtype):
    reg = 300.0 if dtype == np.uint8 else 0.3
    found = SpanOfImages(tol=1e-5).minimize(wide(loss, dtype=dtype, reg=reg))
    known = LBFGS(tol=1e-6).minimize(wide(loss, dtype=dtype, reg=reg, engine="reference"))
    assert found.status is known.status is Status.CERTIFIED
    assert found.certificate.objective == pytest.approx(known.certificate.objective, rel=1e-5)


def test_repeated_images_and_images_without_weight_are_allowed():
    objective = wide()
    X, y = np.concatenate([objective.examples.X] * 2), np.concatenate([objective.examples.y] * 2)
    weight = np.where(np.arange(len(y)) % 7 == 0, 0.0, 1.0 + np.arange(len(y)) % 3)
    repeated = Objective(X, y, loss="softmax", penalty="l2", reg=1e-3, sample_weight=weight)
    assert SpanOfImages().minimize(repeated).status is Status.CERTIFIED


def test_the_bits_do_not_depend_on_the_number_of_threads():
    one, two = (SpanOfImages().minimize(wide(n=300, D=600, n_threads=n)) for n in (1, 2))
    assert one.W.tobytes() == two.W.tobytes()


def test_a_search_resumed_from_any_state_has_the_same_bits():
    states = []
    whole = SpanOfImages().minimize(wide(), callback=lambda epoch: states.append(epoch.state))
    assert len(states) > 3
    assert states[2].arrays["W"].shape == whole.W.shape  # a state shows the weights of the whole
    for state in states:
        again = SpanOfImages().minimize(wide(), state)
        assert again.W.tobytes() == whole.W.tobytes()
        assert again.passes == again.certificate.passes == whole.passes


def test_ctrl_c_at_any_row_ends_the_search_also_where_the_proof_suffices():
    n_rows = len(SpanOfImages().minimize(wide(), callback=lambda epoch: None).history)
    for last in range(n_rows):

        def stop(epoch, last=last):
            if epoch.epoch == last:
                raise KeyboardInterrupt

        assert SpanOfImages().minimize(wide(), callback=stop).status is Status.INTERRUPTED


def test_rows_of_the_trace_have_the_validation_images_measured_too():
    rows = []
    SpanOfImages().minimize(wide(), callback=rows.append, validation=wide(seed=1))
    assert np.isfinite([row.validation_loss for row in rows]).all()


def test_problems_it_is_not_for_are_refused_in_words():
    assert not suits_span(wide(n=200))
    assert not suits_span(wide(penalty="l1"))
    assert not suits_span(wide("hinge"))
    with pytest.raises(IncompatibleError, match="fewer images than features"):
        SpanOfImages().minimize(wide(n=200))
