"""The methods of the page "Gradient check" against the library."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.gradcheck import check_gradient
from linprobe.losses import make_loss
from linprobe.objective import Objective

ASKED = {
    "set": "spiral", "n": 20, "seed": 0, "weights_seed": 0, "loss": "hinge", "delta": 1, "penalty": "l2", "reg": 0.01,
}  # fmt: skip


def test_the_coordinates_are_those_of_the_librarys_check(talk):
    found = talk("gradient.check", **ASKED, h=1e-5)
    points = talk("playground.draw", set="spiral", n=20, seed=0)
    X, y = np.array(points["points"]), np.array(points["labels"])
    objective = Objective(X, y, loss=make_loss("hinge"), penalty="l2", reg=0.01, n_classes=3)
    W, b = np.array(found["W"]), np.array(found["b"])
    expected = check_gradient(objective, W, b, n_coordinates=None, n_images=None, step=1e-5)
    assert [row["name"] for row in found["coordinates"]] == [row.name for row in expected.coordinates]
    for row, wanted in zip(found["coordinates"], expected.coordinates, strict=True):
        assert_allclose([row["analytic"], row["centred"]], [wanted.analytic, wanted.centred], rtol=1e-9, atol=1e-12)
        assert (row["kink"], row["ok"]) == (wanted.kink, wanted.ok)
    assert found["ok"] is expected.ok is True


def test_the_errors_are_those_that_are_seen_while_those_of_rounding_are_no_fault(talk):
    found = talk("gradient.check", **ASKED | {"loss": "softmax"}, h=1e-12)
    errors = []
    for row in found["coordinates"]:
        error = abs(row["analytic"] - row["centred"]) / max(abs(row["analytic"]), abs(row["centred"]))
        assert_allclose(row["error"], error)
        errors.append(error)
    assert found["largest_error"] == max(row["error"] for row in found["coordinates"])
    assert max(errors) > 1e3 * found["tolerance"]
    assert found["ok"]


def test_a_large_step_of_the_hinge_crosses_kinks_which_are_named(talk):
    found = talk("gradient.check", **ASKED | {"weights_seed": 2}, h=0.1)
    kinks = [row["kink"] for row in found["coordinates"] if row["kink"]]
    assert len(kinks) == found["n_kinks"] > 0
    assert all(kink.startswith("MulticlassHinge of image") for kink in kinks)


def test_the_sweep_shows_truncation_at_large_steps_and_rounding_at_small_ones(talk):
    found = talk("gradient.sweep", **ASKED | {"loss": "softmax"})
    h, forward, centred = (np.array(found[name]) for name in ("h", "forward", "centred"))
    assert (h[0], h[-1]) == (0.1, 1e-12)
    near = {step: int(np.abs(np.log10(h) - step).argmin()) for step in (-1, -2, -5, -12)}
    # truncation: forward errors fall like h, centred ones like h²
    assert_allclose(np.median(forward[near[-1]] / forward[near[-2]]), 10, rtol=0.1)
    assert_allclose(np.median(centred[near[-1]] / centred[near[-2]]), 100, rtol=0.1)
    assert np.median(centred[near[-5]]) < 1e-9  # near the best of both
    assert np.median(centred[near[-12]]) > 1e-7  # rounding
    assert not np.array(found["kinks"]).any()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"h": 0}, "h is 0; expected a finite number"),
        ({"h": 2}, "h is 2; expected a finite number"),
        ({"loss": ""}, "expected one of"),
        ({"n": 10**9}, "n is 1000000000; expected a whole number 2..400"),
        ({"loss_options": {"gamma": 1}}, "loss_options holds 'gamma'; the loss 'hinge' has none."),
        ({"gamma": 1}, "gamma is no known field"),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(talk, changes, why):
    assert why in talk.error("gradient.check", **{**ASKED, "h": 1e-5, **changes})


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_one_weight_moved_has_the_slopes_of_its_secant_and_its_tangent(talk, loss):
    asked = {**ASKED, "loss": loss, "h": 0.01}
    every = talk("gradient.check", **asked)["coordinates"]
    for c, coordinate in enumerate(every):
        found = talk("gradient.move", **asked, coordinate=c)
        assert found["name"] == coordinate["name"]
        assert_allclose(found["quotient"], coordinate["forward"], atol=1e-10)
        assert_allclose(found["analytic"], coordinate["analytic"], atol=1e-12)
        assert_allclose((found["moved"] - found["value"]) / 0.01, found["quotient"])
        middle = len(found["weights"]) // 2
        assert_allclose(found["weights"][middle], found["weight"])
        assert_allclose(found["values"][middle], found["value"])
        assert found["n_losses"] == 2 * len(every)
        assert found["numeric_seconds"] > 0
        assert found["analytic_seconds"] > 0


def test_a_weight_that_is_not_there_is_refused(talk):
    assert "coordinate = 99" in talk.error("gradient.move", **ASKED, h=0.1, coordinate=99)
