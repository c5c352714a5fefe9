"""What holds of every loss at any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from linprobe.losses import LOSSES, MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge

EVERY = [SoftmaxCrossEntropy(), MulticlassHinge(), MulticlassHinge(0.3), SquaredHinge(), SquaredHinge(2.5)]
LABELS = np.array([0, 1, 2, 0])
some_scores = arrays(np.float64, (4, 3), elements=st.floats(-50.0, 50.0))
ROUNDING = 1e-9  # losses reach 2 * 102.5² = 2e4, of which eps is 5e-12; a few hundred of those


@given(some_scores)
def test_the_rows_of_the_gradient_sum_to_0(scores):
    for loss in EVERY:
        dscores = loss.value_and_gradient(scores, LABELS)[1]
        assert_allclose(dscores.sum(axis=1), 0.0, atol=1e-12)


@given(some_scores, st.floats(-1e3, 1e3))
def test_adding_a_constant_to_all_scores_changes_no_loss(scores, constant):
    for loss in EVERY:
        assert_allclose(loss.value(scores + constant, LABELS), loss.value(scores, LABELS), atol=ROUNDING)


@given(some_scores, st.permutations(range(3)))
def test_renaming_the_classes_changes_no_loss(scores, order):
    new_labels = np.argsort(order)[LABELS]
    for loss in EVERY:
        assert_allclose(loss.value(scores[:, order], new_labels), loss.value(scores, LABELS), atol=ROUNDING)


@given(some_scores, some_scores, st.floats(0.0, 1.0))
def test_every_loss_is_convex_in_the_scores(here, there, share):
    for loss in EVERY:
        between = loss.value(share * here + (1.0 - share) * there, LABELS)
        chord = share * loss.value(here, LABELS) + (1.0 - share) * loss.value(there, LABELS)
        assert (between <= chord + ROUNDING).all()


@given(some_scores, some_scores)
def test_the_tangent_of_every_loss_lies_below_it(here, there):
    for loss in EVERY:
        value, dscores = loss.value_and_gradient(here, LABELS)
        tangent = value + (dscores * (there - here)).sum(axis=1)
        assert (tangent <= loss.value(there, LABELS) + ROUNDING).all()


@given(some_scores)
def test_loss_plus_conjugate_is_gradient_times_scores_at_the_gradient(scores):
    for loss in EVERY:
        value, dscores = loss.value_and_gradient(scores, LABELS)
        product = (dscores * scores).sum(axis=1)
        assert_allclose(value + loss.conjugate(dscores, LABELS), product, atol=ROUNDING)


@given(some_scores, some_scores)
def test_loss_plus_conjugate_is_at_least_any_feasible_dual_times_the_scores(scores, elsewhere):
    for loss in EVERY:
        dual = loss.value_and_gradient(elsewhere, LABELS)[1]  # every gradient is feasible
        product = (dual * scores).sum(axis=1)
        assert (loss.value(scores, LABELS) + loss.conjugate(dual, LABELS) >= product - ROUNDING).all()


@given(some_scores, st.floats(0.0, 1.0))
def test_no_feasible_dual_is_larger_than_its_value_allows(scores, share):
    for loss in EVERY:
        dual = share * loss.value_and_gradient(scores, LABELS)[1]
        size = loss.dual_size(-float(loss.conjugate(dual, LABELS).mean()), 3)
        assert np.abs(dual).sum(axis=1).mean() <= size + ROUNDING


@given(some_scores, some_scores, st.floats(0.0, 1.0))
def test_the_conjugate_is_convex_between_feasible_duals(here, there, share):
    for loss in EVERY:
        G, H = (loss.value_and_gradient(scores, LABELS)[1] for scores in (here, there))
        between = loss.conjugate(share * G + (1.0 - share) * H, LABELS)
        chord = share * loss.conjugate(G, LABELS) + (1.0 - share) * loss.conjugate(H, LABELS)
        assert (between <= chord + ROUNDING).all()


@given(some_scores, some_scores)
def test_the_gradient_of_a_smooth_loss_moves_no_faster_than_its_curvature(here, there):
    for loss in EVERY:
        if not loss.smooth:
            continue
        moved = loss.value_and_gradient(here, LABELS)[1] - loss.value_and_gradient(there, LABELS)[1]
        far = np.linalg.norm(here - there, axis=1)
        assert (np.linalg.norm(moved, axis=1) <= loss.curvature(3) * far * (1 + 1e-12) + 1e-12).all()


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_the_curvature_bounds_of_softmax_and_squared_hinge_are_reached(n_classes):
    # softmax: two classes share all probability; squared hinge: every margin is violated
    far = np.full((1, n_classes), -60.0)
    far[0, :2] = 0.0
    for loss, scores in ((SoftmaxCrossEntropy(), far), (SquaredHinge(), np.zeros((1, n_classes)))):
        h, y = 1e-4, np.array([0])
        hessian = np.array(
            [
                (loss.value_and_gradient(scores + h * e, y)[1] - loss.value_and_gradient(scores - h * e, y)[1])[0]
                / (2 * h)
                for e in np.eye(n_classes)
            ]
        )
        assert_allclose(np.linalg.eigvalsh(hessian)[-1], loss.curvature(n_classes), rtol=1e-6)


@pytest.mark.parametrize("loss", EVERY, ids=repr)
@pytest.mark.parametrize(
    ("dual", "why"),
    [
        ([0.2, -0.1, 0.2], "the row does not sum to 0"),
        ([0.1, 0.2, -0.3], "an entry of another class is negative"),
        ([-1.2, 1.3, -0.1], "one is negative, one above 1"),
    ],
)
def test_a_dual_that_is_not_feasible_has_an_infinite_conjugate(loss, dual, why):
    assert loss.conjugate(np.array([dual]), np.array([0])) == [np.inf], why


@pytest.mark.parametrize(
    ("loss", "feasible"), [(SoftmaxCrossEntropy(), False), (MulticlassHinge(), False), (SquaredHinge(), True)]
)
def test_only_the_squared_hinge_allows_a_dual_above_1(loss, feasible):
    conjugate = loss.conjugate(np.array([[-1.5, 1.5, 0.0]]), np.array([0]))
    assert np.isfinite(conjugate).all() == feasible


def test_the_conjugates_of_simple_duals_are_those_worked_out_by_hand():
    dual, y = np.array([[-0.75, 0.5, 0.25]]), np.array([0])
    entropy = 0.25 * np.log(0.25) + 0.5 * np.log(0.5) + 0.25 * np.log(0.25)
    assert_allclose(SoftmaxCrossEntropy().conjugate(dual, y), [entropy])
    assert_allclose(MulticlassHinge(2.0).conjugate(dual, y), [-1.5])
    assert_allclose(SquaredHinge(2.0).conjugate(dual, y), [(0.25 + 0.0625) / 4 - 1.5])


def test_the_registry_holds_each_loss_under_its_own_name():
    assert {name: loss.name for name, loss in LOSSES.items()} == {name: name for name in LOSSES}
    assert set(LOSSES) >= {"hinge", "squared-hinge", "softmax"}


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), MulticlassHinge(delta=0.7), SquaredHinge()], ids=repr)
@pytest.mark.parametrize("rho", [0.05, 1.0, 30.0])
def test_the_gradient_of_the_prox_meets_fenchel_and_young_at_its_point(loss, rho):
    random = np.random.default_rng(0)
    for scale in (0.1, 3.0, 100.0):
        V, y = scale * random.standard_normal((40, 5)), random.integers(0, 5, 40)
        g = loss.prox_gradient(V, y, rho)
        z = V - g / rho
        # g is a subgradient at z exactly where L(z) + L*(g) = g·z
        missing = loss.value(z, y) + loss.conjugate(g, y) - (g * z).sum(axis=1)
        assert np.abs(missing).max() <= 1e-8 * (1.0 + scale)
