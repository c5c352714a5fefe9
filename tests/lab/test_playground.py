"""The methods of the playground against the library."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.classifiers.nearest_neighbors import NearestNeighbors
from linprobe.data.planar import draw_planar
from linprobe.explain.borders import class_borders
from linprobe.explain.regions import decision_regions, grid_points
from linprobe.losses import make_loss
from linprobe.objective import Objective
from linprobe.optimizers import SGD, Exact, GradientDescent
from linprobe.optimizers.base import State
from linprobe.penalties import make_penalty

PROBLEM = {"loss": "hinge", "delta": 1.5, "penalty": "elastic-net", "beta": 0.25, "reg": 0.01}
WEIGHTS = {"W": [[0.9, -0.5], [0.1, 1.0], [-0.9, -0.4]], "b": [0.1, -0.2, 0.0]}
STALE = {"epoch": 1, "arrays": {"W": [[1.0, 2.0]], "b": [0.0]}, "numbers": {}}
SGD_SETTINGS = {"batch_size": 7, "epochs": 4, "schedule": "cosine", "update": "adam", "momentum": 0.9, "seed": 3}


@pytest.fixture
def drawn(talk):
    found = talk("playground.draw", set="spiral", n=40, seed=1)
    return {"points": found["points"], "labels": found["labels"], "n_classes": found["n_classes"]}


def objective_of(drawn, engine="reference", **changes):
    asked = {**PROBLEM, **changes}
    loss, penalty = asked["loss"], asked["penalty"]
    return Objective(
        np.array(drawn["points"]),
        np.array(drawn["labels"]),
        loss=make_loss(loss, **({} if loss == "softmax" else {"delta": asked["delta"]})),
        penalty=make_penalty(penalty, **({"beta": asked["beta"]} if penalty == "elastic-net" else {})),
        reg=asked["reg"],
        n_classes=drawn["n_classes"],
        engine=engine,
    )


def grid(packed):
    classes = np.frombuffer(base64.b64decode(packed["bytes"]), np.uint8)
    return classes.reshape(packed["height"], packed["width"])


@pytest.mark.parametrize("name", ["blobs", "shell", "three-modes", "quadrants", "spiral"])
def test_the_points_are_those_of_the_planar_sets(talk, name):
    found = talk("playground.draw", set=name, n=30, seed=5)
    whole = draw_planar(name, 5)
    points = np.array(found["points"])
    assert points.shape == (30, 2)
    for point, label in zip(points, found["labels"], strict=True):
        nearest = np.abs(whole.X - point).max(axis=1).argmin()
        assert_allclose(whole.X[nearest], point, atol=6e-4)  # thousandths
        assert whole.y[nearest] == label
    assert tuple(found["class_names"]) == whole.class_names


@pytest.mark.parametrize("loss", ["hinge", "squared-hinge", "softmax"])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic-net", "none"])
def test_the_sums_and_the_losses_are_those_of_the_objective(talk, drawn, loss, penalty):
    found = talk("playground.look", **drawn, **PROBLEM | {"loss": loss, "penalty": penalty}, **WEIGHTS)
    objective = objective_of(drawn, loss=loss, penalty=penalty)
    W, b = np.array(WEIGHTS["W"]), np.array(WEIGHTS["b"])
    scores = np.array(drawn["points"]) @ W.T + b
    assert_allclose(found["scores"], scores)
    assert_allclose(found["losses"], objective.loss.value(scores, objective.examples.y))
    evaluation = objective.evaluate(W, b)
    for name in ("objective", "data_loss", "penalty", "accuracy", "gradient_norm"):
        assert_allclose(found[name], getattr(evaluation, name), err_msg=name)
    assert_allclose(found["objective"], found["data_loss"] + PROBLEM["reg"] * found["R"])
    right = np.array(found["predicted"]) == drawn["labels"]
    assert_allclose(np.array(found["margins"]) > 0, right)


def test_the_sums_of_doubled_weights_come_with_those_of_the_weights(talk, drawn):
    found = talk("playground.look", **drawn, **PROBLEM, **WEIGHTS)["doubled"]
    twice = {name: (2 * np.array(value)).tolist() for name, value in WEIGHTS.items()}
    at_twice = talk("playground.look", **drawn, **PROBLEM, **twice)
    assert found == {name: at_twice[name] for name in ("data_loss", "R", "objective")}


def test_on_the_blobs_the_hinge_reaches_0_and_twice_the_weights_keep_it(talk):
    found = talk("playground.draw", set="blobs", n=60, seed=0)
    blobs = {"points": found["points"], "labels": found["labels"], "n_classes": 3}
    angles = np.radians([10.0, 130.0, 250.0])
    W = np.column_stack([np.cos(angles), np.sin(angles)])
    looked = talk("playground.look", **blobs, **PROBLEM | {"delta": 1.0, "penalty": "l2"}, W=W.tolist(), b=[0.0] * 3)
    assert looked["data_loss"] == looked["doubled"]["data_loss"] == 0.0
    assert_allclose([looked["R"], looked["doubled"]["R"]], [3.0, 12.0])
    assert_allclose([looked["objective"], looked["doubled"]["objective"]], [0.03, 0.12])


def test_the_regions_are_those_of_the_library(talk, drawn):
    view = {"view": [-1.0, -1.2, 1.1, 1.2], "size": 24, "neighbors": {"k": 3, "metric": "l2"}}
    found = talk("playground.look", **drawn, **PROBLEM, **WEIGHTS, **view)
    points = grid_points((-1.0, -1.2), (1.1, 1.2), 24)
    scores = points @ np.array(WEIGHTS["W"]).T + np.array(WEIGHTS["b"])
    assert (grid(found["regions"]) == scores.argmax(axis=-1)).all()
    neighbors = NearestNeighbors(3).fit(np.array(drawn["points"]), np.array(drawn["labels"]))
    assert (grid(found["neighbors"]) == decision_regions(neighbors, (-1.0, -1.2), (1.1, 1.2), 12)).all()
    predicted = neighbors.predict(np.array(drawn["points"]))
    right = predicted == np.array(drawn["labels"])
    assert found["vote"] == {"k": 3, "predicted": predicted.tolist(), "accuracy": float(right.mean())}


SIDE_BY_SIDE = {"ks": [1, 5], "view": [-1.0, -1.2, 1.1, 1.2], "size": 24, "set": "spiral", "seed": 1}


def test_the_votes_of_one_and_five_neighbours_are_those_of_the_library(talk, drawn):
    found = talk("playground.votes", **drawn, **SIDE_BY_SIDE)
    X, y = np.array(drawn["points"]), np.array(drawn["labels"])
    whole = draw_planar("spiral", 1)
    drawn_there = np.abs(whole.X[:, None] - X).max(axis=2).min(axis=1) < 6e-4
    unseen = np.random.Generator(np.random.PCG64(1)).permutation(1200)[-400:]
    assert not drawn_there[unseen].any()
    held_X = np.round(whole.X[unseen].astype(np.float64), 3)
    assert found["n_held_out"] == 400
    for vote, k in zip(found["votes"], (1, 5), strict=True):
        expected = NearestNeighbors(k).fit(X, y)
        assert vote["k"] == k
        assert vote["predicted"] == expected.predict(X).tolist()
        assert_allclose(vote["accuracy"], expected.score(X, y))
        assert_allclose(vote["held_out_accuracy"], expected.score(held_X, whole.y[unseen]))
        assert (grid(vote["regions"]) == decision_regions(expected, (-1.0, -1.2), (1.1, 1.2), 24)).all()
    one, five = found["votes"]
    assert one["accuracy"] == 1 > five["accuracy"]


def test_of_fewer_points_than_neighbours_all_vote(talk):
    few = {"points": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], "labels": [0, 1, 1], "n_classes": 2}
    one, five = talk("playground.votes", **few, **SIDE_BY_SIDE | {"set": "shell"})["votes"]
    assert (one["k"], five["k"]) == (1, 3)
    assert five["predicted"] == [1, 1, 1]


@pytest.mark.parametrize(("loss", "margin"), [("hinge", 1.5), ("squared-hinge", 1.5), ("softmax", None)])
def test_the_borders_and_margin_lines_are_those_of_the_library(talk, drawn, loss, margin):
    view = {"view": [-1.0, -1.2, 1.1, 1.2], "size": None}
    found = talk("playground.look", **drawn, **PROBLEM | {"loss": loss}, **WEIGHTS, **view)
    assert found["regions"] is None
    W, b = np.array(WEIGHTS["W"]), np.array(WEIGHTS["b"])
    for name, lead in (("borders", 0.0), ("margin_lines", margin)):
        expected = [] if lead is None else class_borders(W, b, (-1.0, -1.2), (1.1, 1.2), lead)
        assert [(one["inside"], one["other"]) for one in found[name]] == [(one.inside, one.other) for one in expected]
        for one, segment in zip(found[name], expected, strict=True):
            assert_allclose([one["start"], one["end"]], [segment.start, segment.end])
    assert len(found["borders"]) == 3


@pytest.mark.parametrize("line_search", [True, False])
def test_steps_of_gradient_descent_in_two_requests_are_those_of_one_run(talk, drawn, line_search):
    asked = {**drawn, **PROBLEM, **WEIGHTS, "method": "gd", "line_search": line_search, "loss": "softmax"}
    first = talk("playground.step", **asked, steps=3)
    then = talk("playground.step", **asked, steps=4, state=first["state"])
    start = State(0, {name: np.array(value) for name, value in WEIGHTS.items()})
    search = "backtracking" if line_search else "fixed"
    optimizer = GradientDescent(max_iter=7, tol=1e-6, line_search=search)
    expected = optimizer.minimize(objective_of(drawn, loss="softmax"), start)
    assert_allclose(then["W"][-1], expected.W, rtol=1e-9)
    assert_allclose(then["b"][-1], expected.b, rtol=1e-9)
    assert_allclose(
        [*first["objective"], *then["objective"]], [row["objective"] for row in expected.history[1:]], rtol=1e-9
    )
    assert then["status"] == ""


@pytest.mark.parametrize("update", ["plain", "momentum", "nesterov", "adagrad", "rmsprop", "adam"])
@pytest.mark.parametrize("rate", [None, 0.05])
def test_mini_batches_one_by_one_make_the_epochs_of_sgd(talk, drawn, update, rate):
    settings = SGD_SETTINGS | {"update": update} | ({} if rate is None else {"learning_rate": rate})
    asked = {**drawn, **PROBLEM, **WEIGHTS, "method": "sgd", **settings}
    n_batches = 6  # of 7 points, the last of 5
    found = talk("playground.step", **asked, steps=5)
    assert len(found["batch"]) == 7
    found = talk("playground.step", **asked, steps=4 * n_batches, state=found["state"])
    assert found["status"] == "all epochs were run"
    assert len(found["batch"]) == 5
    assert found["epoch"] == 4
    start = State(0, {name: np.array(value) for name, value in WEIGHTS.items()})
    expected = SGD(
        batch_size=7, epochs=4, learning_rate=rate or "auto", schedule="cosine", update=update, seed=3
    ).minimize(objective_of(drawn), start)
    assert_allclose(found["W"][-1], expected.W, rtol=1e-9, atol=1e-12)
    assert_allclose(found["b"][-1], expected.b, rtol=1e-9, atol=1e-12)
    assert_allclose(found["objective"][-1], expected.history[-1]["objective"])


def test_a_learning_rate_far_too_high_is_told_and_the_last_good_weights_are_kept(talk, drawn):
    asked = {**drawn, **PROBLEM, **WEIGHTS, **SGD_SETTINGS, "update": "plain", "loss": "squared-hinge"}
    found = talk("playground.step", **asked, method="sgd", learning_rate=1e4, steps=50)
    assert "lower the learning rate or let it be chosen" in found["status"]
    assert np.isfinite(found["state"]["arrays"]["W"]).all()


def test_the_exact_optimum_comes_with_its_certificate(talk, drawn):
    found = talk("playground.step", **drawn, **PROBLEM, **WEIGHTS, method="exact", steps=1)
    expected = Exact().minimize(objective_of(drawn, engine="threads"))
    assert_allclose(found["W"][-1], expected.W)
    assert found["certificate"]["lower_bound"] <= found["objective"][-1]
    assert found["certificate"]["relative_gap"] <= 1e-4
    assert "lower bound" in found["certificate"]["words"]
    assert found["state"] is None


def test_the_slice_has_the_values_of_the_objective_and_the_path_on_it(talk, drawn):
    path_W, path_b = [WEIGHTS["W"], [[0.0, 0.0]] * 3], [WEIGHTS["b"], [0.0] * 3]
    found = talk(
        "playground.landscape", **drawn, **PROBLEM | {"loss": "softmax"}, path_W=path_W, path_b=path_b, size=21
    )
    heights = grid(found["heights"])
    assert heights.shape == (21, 21)
    assert heights.max() == 255
    middle = heights[10, 10]  # the minimum
    assert middle == heights.min()
    # the start lies on the first axis, whose unit is that of the weights
    (x, y), _ = found["path"]
    assert abs(y) < 1e-9
    least = Exact().minimize(objective_of(drawn, engine="threads", loss="softmax"))
    away = np.square(np.array(path_W[0]) - least.W).sum() + np.square(np.array(path_b[0]) - least.b).sum()
    assert_allclose(x, np.sqrt(away))
    assert max(map(abs, np.ravel(found["path"]))) <= found["half"]


def test_the_exact_walk_ends_in_the_minimum_of_the_slice(talk, drawn):
    problem = PROBLEM | {"loss": "hinge", "reg": 0.001}
    walk = talk("playground.step", **drawn, **problem, **WEIGHTS, method="exact", steps=1)
    for n in (len(walk["W"]), 1):  # the second time, another path over the same points
        path = {"path_W": walk["W"][-n:], "path_b": walk["b"][-n:]}
        found = talk("playground.landscape", **drawn, **problem, **path, size=5)
        assert_allclose(found["path"][-1], [0.0, 0.0], atol=1e-9)
        assert found["minimum"] == walk["objective"][-1]


def test_a_slice_through_the_minimum_itself_or_without_a_slope_still_has_two_axes(talk):
    drawn = {"points": [[0.0, 0.0], [0.0, 0.0]], "labels": [0, 1], "n_classes": 2}
    zero = {"path_W": [[[0.0, 0.0], [0.0, 0.0]]], "path_b": [[0.0, 0.0]]}
    found = talk("playground.landscape", **drawn, **PROBLEM | {"loss": "softmax"}, **zero, size=5)
    assert_allclose(found["path"], [[0.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize(
    ("method", "changes", "why"),
    [
        ("look", {"points": []}, "points has shape"),
        ("look", {"points": [[0.0, 1.0]] * 401}, "n in 1..400"),
        ("look", {"labels": [9] * 40}, "0..2"),
        ("look", {"labels": [0]}, "labels has shape"),
        ("look", {"n_classes": 7}, "n_classes is 7; expected a whole number 2..6"),
        ("look", {"W": [[1.0, 2.0]]}, "W has shape"),
        ("look", {"loss": "softmax+"}, "hinge, squared-hinge, softmax"),
        ("look", {"penalty": "l3"}, "l2, l1, elastic-net, none"),
        ("look", {"reg": -1}, "reg is -1; expected"),
        ("look", {"view": [0, 0, 0, 1], "size": 10}, "x0 < x1"),
        ("look", {"view": [0, 0, 1, 1], "size": 10_000}, "size is 10000"),
        (
            "look",
            {"view": [0, 0, 1, 1], "size": 10, "neighbors": {"k": 0, "metric": "l2"}},
            "neighbors.k is 0; expected a whole number 1..400",
        ),
        ("votes", {"ks": [0, 5]}, "expected a whole number 1..400"),
        ("votes", {"ks": [1]}, "ks"),
        ("votes", {"view": [0, 0, 0, 1]}, "x0 < x1"),
        ("votes", {"labels": [0]}, "labels has shape"),
        ("step", {"method": "adam"}, "method is 'adam'; expected 'gd' or 'sgd' or 'exact'"),
        ("step", {"steps": 100_000}, "steps is 100000; expected a whole number 1..500"),
        ("step", {"learning_rate": 0}, "learning_rate is 0; expected a finite number > 0"),
        ("step", {"state": 3}, "state is 3; expected an object"),
        ("step", {"state": {"epoch": 0, "arrays": {}, "numbers": {}}}, "the state has no array 'W'"),
        ("step", {"method": "sgd", "batch_size": 41}, "batch_size = "),
        ("step", {"method": "sgd", "momentum": 1}, "momentum = "),
        ("landscape", {"path_W": [], "path_b": []}, "path_W has shape"),
        ("look", {"more": 1}, "more is no known field; expected one of"),
        ("step", {"method": "sgd", "state": STALE}, "the state's array 'W' has shape (1, 2)"),
        ("draw", {"set": "circle"}, "shell, three-modes"),
        ("draw", {"n": 1}, "n is 1; expected a whole number 2..400"),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(talk, drawn, method, changes, why):
    weights = {**drawn, **PROBLEM, **WEIGHTS}
    asked = {
        "draw": {"set": "spiral", "n": 40, "seed": 1},
        "look": weights,
        "votes": {**drawn, **SIDE_BY_SIDE},
        "step": {**weights, **SGD_SETTINGS, "method": "gd", "steps": 1},
        "landscape": {**drawn, **PROBLEM, "size": 10},
    }
    assert why in talk.error(f"playground.{method}", **{**asked[method], **changes})
