"""The loss landscape: the cut against the objective itself, the plane against NumPy's SVD, the picture against both."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.landscape import Plane, Walk, landscape_picture, loss_slice, plane_of, slice_around, walk
from linprobe.features.base import Affine
from linprobe.objective import Objective
from linprobe.optimizers.exact import Exact
from linprobe.optimizers.gradient_descent import GradientDescent
from linprobe.optimizers.sgd import SGD


def problem(loss="softmax", penalty="l2", **options):
    random = np.random.default_rng(3)
    X = random.integers(0, 256, (60, 7)).astype(np.uint8)
    y = random.integers(0, 3, 60)
    affine = Affine(np.full(7, 1 / 255), random.normal(size=7) * 0.1)
    return Objective(X, y, loss=loss, penalty=penalty, reg=0.02, n_classes=3, affine=affine, **options)


def any_plane(objective):
    random = np.random.default_rng(4)
    K, D = objective.n_classes, objective.n_features
    axes, _ = np.linalg.qr(random.normal(size=(K * D + K, 2)))
    first, second = ((axis[:-K].reshape(K, D), axis[-K:]) for axis in axes.T)
    return Plane((random.normal(size=(K, D)), random.normal(size=K)), (first, second))


@pytest.mark.parametrize("engine", ["threads", "reference"])
@pytest.mark.parametrize(("loss", "penalty"), [("softmax", "l2"), ("hinge", "l1"), ("squared-hinge", None)])
def test_every_value_of_a_cut_is_the_objective_there(loss, penalty, engine):
    weight = np.random.default_rng(5).uniform(0, 2, 60)
    objective = problem(loss, penalty, engine=engine, sample_weight=weight)
    plane = any_plane(objective)
    cut = loss_slice(objective, plane, (-3.0, -1.0), (2.0, 5.0), (4, 6))
    assert cut.values.shape == (4, 6)
    assert (cut.x[0], cut.x[-1], cut.y[0], cut.y[-1]) == (-3.0, 2.0, -1.0, 5.0)
    exact = problem(loss, penalty, engine="reference", sample_weight=weight)
    for i, up in enumerate(cut.y):
        for j, right in enumerate(cut.x):
            assert_allclose(cut.values[i, j], exact.value(*plane.at(right, up)), rtol=1e-10)


def test_a_cut_in_blocks_of_images_is_the_same(monkeypatch):
    objective = problem()
    plane = any_plane(objective)
    whole = loss_slice(objective, plane, (-1, -1), (1, 1), 3)
    monkeypatch.setattr("linprobe.explain.landscape.SCORES_AT_ONCE", 63)
    assert_allclose(loss_slice(objective, plane, (-1, -1), (1, 1), 3).values, whole.values, rtol=1e-13)


def test_a_walk_holds_the_weights_of_every_epoch_and_their_objectives():
    objective = problem()
    for optimizer in (GradientDescent(max_iter=5), SGD(epochs=4, average=True), Exact()):
        taken = walk(optimizer, objective)
        assert len(taken.W) == len(taken.b) == len(taken.objectives) == len(taken.solution.history)
        assert not taken.W[0].any()
        assert_allclose([objective.value(W, b) for W, b in zip(taken.W, taken.b, strict=True)], taken.objectives, 1e-5)


def test_the_plane_is_that_of_the_leading_singular_vectors_and_goes_through_the_best_end():
    objective = problem()
    walks = [walk(GradientDescent(max_iter=30), objective), walk(Exact(tol=1e-9), objective)]
    plane = plane_of(walks)
    assert_allclose(plane.center[0], walks[1].W[-1])
    rows = []
    for taken in walks:
        flat = np.concatenate([taken.W.reshape(len(taken.W), -1), taken.b], axis=1)
        rows.append((flat - np.concatenate([plane.center[0].ravel(), plane.center[1]])) / np.sqrt(len(flat)))
    _, sizes, axes = np.linalg.svd(np.concatenate(rows))
    for direction, axis in zip(plane.directions, axes, strict=False):
        flat = np.concatenate([direction[0].ravel(), direction[1]])
        assert_allclose(abs(flat @ axis), 1.0, atol=1e-9)
    assert_allclose(plane.share, np.square(sizes[:2]).sum() / np.square(sizes).sum(), rtol=1e-9)


def test_projecting_a_point_of_the_plane_gives_its_coordinates():
    plane = any_plane(problem())
    W, b = plane.at(1.5, -0.25)
    assert_allclose(plane.project(W[None], b[None]), [[1.5, -0.25]], atol=1e-12)


def test_iterates_on_a_line_or_in_one_point_still_span_a_plane():
    objective = problem()
    solution = Exact().minimize(objective)
    W, b = np.stack([np.zeros((3, 7)), solution.W]), np.stack([np.zeros(3), solution.b])
    for n in (1, 2):
        plane = plane_of([Walk(W[:n], b[:n], np.zeros(n), solution)])
        flat = [np.concatenate([direction[0].ravel(), direction[1]]) for direction in plane.directions]
        assert_allclose(np.array(flat) @ np.array(flat).T, np.eye(2), atol=1e-12)
        assert plane.share == pytest.approx(1.0)


def test_the_cut_around_walks_holds_them_all_and_the_lowest_value_lies_at_the_optimum():
    objective = problem()
    walks = [walk(GradientDescent(max_iter=30), objective), walk(Exact(tol=1e-9), objective)]
    cut = slice_around(objective, walks, 21)
    for taken in walks:
        points = cut.plane.project(taken.W, taken.b)
        assert (points >= [cut.x[0], cut.y[0]]).all()
        assert (points <= [cut.x[-1], cut.y[-1]]).all()
    assert cut.values.min() >= walks[1].objectives[-1] - 1e-6


def test_the_picture_has_a_panel_for_each_walk_with_its_last_objective():
    objective = problem()
    walks = {"GD": walk(GradientDescent(max_iter=30), objective), "$a$": walk(Exact(), objective)}
    text = landscape_picture(slice_around(objective, list(walks.values()), 15), walks).svg()
    for taken in walks.values():
        assert f"{taken.objectives[-1]:.4f}" in text
    assert ">$a$: " in text


def test_what_cannot_be_cut_is_one_line():
    objective = problem()
    plane = any_plane(objective)
    with pytest.raises(ParameterError, match="low below high"):
        loss_slice(objective, plane, (0, 0), (0, 1))
    with pytest.raises(ParameterError, match="at least 2 points"):
        loss_slice(objective, plane, (0, 0), (1, 1), 1)
    other = Objective(np.eye(3), np.array([0, 1, 0]), loss="softmax", penalty="l2", reg=0.1)
    with pytest.raises(ShapeError, match=r"\(3, 7\), but the objective has \(2, 3\)"):
        loss_slice(other, plane, (0, 0), (1, 1))
    with pytest.raises(ParameterError, match="no walks"):
        plane_of([])
    with pytest.raises(ShapeError, match="walks of one objective"):
        plane_of([walk(Exact(), objective), walk(Exact(), other)])
