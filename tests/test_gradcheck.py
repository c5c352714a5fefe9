"""The gradient check finds wrong gradients, and does not blame kinks or rounding on right ones."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from linprobe.errors import LabelError, ParameterError, ShapeError
from linprobe.features import Pixels
from linprobe.gradcheck import check_gradient
from linprobe.losses import LOSSES, Loss, MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.objective import Objective
from linprobe.penalties import L1, L2, ElasticNet, Penalty

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 256, (30, 8), dtype=np.uint8)
Y = RANDOM.integers(0, 3, 30)


def make(loss="softmax", penalty="l2", reg=0.1, pixels=X, labels=Y, **options):
    return Objective(pixels, labels, loss=loss, penalty=penalty, reg=reg, engine="reference", **options)


class Altered(Loss):
    """A right loss whose gradient goes through a mistake."""

    name = "altered"

    def __init__(self, right, mistake):
        self.right, self.mistake = right, mistake
        self.smooth = right.smooth

    def value(self, scores, y):
        return self.right.value(scores, y)

    def value_and_gradient(self, scores, y):
        value, dscores = self.right.value_and_gradient(scores, y)
        return value, self.mistake(dscores.copy(), y).astype(scores.dtype)

    def kinks(self, scores, y):
        return self.right.kinks(scores, y)


def without_the_correct_class(dscores, y):
    dscores[np.arange(len(y)), y] = 0.0
    return dscores


MISTAKES = {
    "wrong sign": lambda g, y: -g,
    "factor two": lambda g, y: 2.0 * g,
    "one part in a million": lambda g, y: (1.0 + 1e-6) * g,
    "correct class left out": without_the_correct_class,
    "off by one class": lambda g, y: np.roll(g, 1, axis=1),
    "divided by the number of images": lambda g, y: g / len(y),
    "all zero": lambda g, y: 0.0 * g,
    "not a number": lambda g, y: np.nan * g,
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_gradient_of_a_loss_is_caught(name, mistake):
    wrong = Altered(LOSSES[name](), MISTAKES[mistake])
    result = check_gradient(wrong)
    assert not result.ok
    assert result.n_wrong > 0
    assert "WRONG" in str(result)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mistake", [m for m in MISTAKES if m != "one part in a million"])
def test_a_wrong_gradient_of_a_loss_is_caught_through_the_objective_too(name, mistake):
    result = check_gradient(make(Altered(LOSSES[name](), MISTAKES[mistake])))
    assert not result.ok
    assert result.n_wrong > 0


class WrongL2(Penalty):
    """Sum of squares, with another gradient."""

    name, smooth = "wrong-l2", True

    def __init__(self, gradient):
        self._gradient = gradient

    def value(self, W):
        return L2().value(W)

    def gradient(self, W):
        return self._gradient(W)

    def prox(self, V, step):
        return V

    def conjugate(self, V, reg):
        return L2().conjugate(V, reg)


@pytest.mark.parametrize("wrong", [lambda W: W, lambda W: -2 * W, lambda W: 0 * W, lambda W: 2 * np.abs(W)])
def test_a_wrong_gradient_of_a_penalty_is_caught_alone_and_in_the_objective(wrong):
    assert check_gradient(WrongL2(wrong)).n_wrong > 0
    result = check_gradient(make(penalty=WrongL2(wrong)))
    assert result.n_wrong > 0
    assert all(row.name.startswith("W") for row in result.wrong)  # the bias is right


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "target",
    [*(loss() for loss in LOSSES.values()), MulticlassHinge(0.1), L2(), L1(), ElasticNet(3.0)],
    ids=repr,
)
def test_our_losses_and_penalties_are_right_at_any_seed(target, seed):
    result = check_gradient(target, seed=seed)
    assert result.ok, str(result)
    assert result.largest_error < 1e-7


@pytest.mark.parametrize("pixels", ["raw", "scaled", "tiny", "huge offset"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_right_gradient_is_right_in_any_unit_of_the_pixels(name, pixels):
    rows = {"raw": X, "scaled": X / 255.0, "tiny": X * 1e-6, "huge offset": X + 1e6}[pixels]
    result = check_gradient(make(name, "elastic-net", pixels=rows))
    assert result.ok, str(result)


def test_a_step_too_small_to_change_a_huge_number_is_made_large_enough():
    assert check_gradient(L1(), np.array([[1e12, -3e15]])).ok
    assert check_gradient(MulticlassHinge(), scores=np.array([[1e12, 3e12, 0.0]]), y=np.array([0])).ok
    b = np.array([1e12, 0.0, 0.0])
    assert check_gradient(make("hinge", None), np.zeros((3, 8)), b).ok


def test_a_pixel_that_is_always_0_is_right_and_not_divided_by():
    dark = X.copy()
    dark[:, 3] = 0
    result = check_gradient(make(penalty="none", pixels=dark), n_coordinates=None)
    assert result.ok
    rows = [row for row in result.coordinates if row.name.endswith(", 3]")]
    assert [(row.analytic, row.relative_error) for row in rows] == [(0.0, 0.0)] * 3


def test_a_hinge_margin_within_the_step_is_a_kink_with_the_name_of_its_image():
    # image 1 of class 0: the margin of class 2 is 3e-6, so that a step of 1e-5 in its score crosses 0
    scores = np.array([[2.0, 0.0, 0.0], [2.0, 0.0, 1.0 + 3e-6]])
    result = check_gradient(MulticlassHinge(), scores=scores, y=np.array([0, 0]))
    assert result.ok
    assert {row.name: row.kink for row in result.kinks} == {
        "s[1, 0]": "image 1, quantity 2",
        "s[1, 2]": "image 1, quantity 2",
    }
    assert (result.n_checked, result.n_kinks, result.n_wrong) == (4, 2, 0)


def test_a_kink_of_the_slope_of_the_squared_hinge_is_named_too():
    scores = np.array([[2.0, 0.0, 1.0 + 3e-6]])
    assert check_gradient(SquaredHinge(), scores=scores, y=np.array([0])).n_kinks == 2


def test_a_hinge_margin_within_the_step_is_named_in_the_objective():
    rows = np.eye(3)
    W, b = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [1.0, 0.0, 2.0]]), np.zeros(3)  # s_2 - s_0 + 1 = 0
    result = check_gradient(make("hinge", None, pixels=rows, labels=np.arange(3)), W, b, n_coordinates=None)
    assert result.ok, str(result)
    crossed = {row.name: row.kink for row in result.kinks}
    assert set(crossed) == {"W[0, 0]", "W[2, 0]", "b[0]", "b[2]"}
    assert set(crossed.values()) == {"MulticlassHinge of image 0, quantity 2"}


def test_an_image_of_weight_zero_has_no_kinks():
    rows = np.eye(3)
    W, b = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [1.0, 0.0, 2.0]]), np.zeros(3)
    weight = np.array([0.0, 1.0, 1.0])
    objective = make("hinge", None, pixels=rows, labels=np.arange(3), sample_weight=weight)
    assert check_gradient(objective, W, b).n_kinks == 0


def test_weights_at_0_are_kinks_of_l1_and_not_of_l2():
    W = RANDOM.normal(size=(3, 8))
    W[1, 4] = 0.0
    W[2, 0] = 1e-9
    b = np.zeros(3)
    result = check_gradient(make(penalty="l1"), W, b, n_coordinates=None)
    assert {row.name: row.kink for row in result.kinks} == {
        "W[1, 4]": "L1 at W[1, 4]",
        "W[2, 0]": "L1 at W[2, 0]",
    }
    assert result.ok
    assert check_gradient(make(penalty="l2"), W, b, n_coordinates=None).n_kinks == 0
    assert check_gradient(make(penalty="l1", reg=0.0), W, b, n_coordinates=None).n_kinks == 0


def test_where_every_coordinate_is_a_kink_nothing_is_called_right():
    result = check_gradient(L1(), np.zeros((2, 3)))
    assert result.n_checked == 0
    assert not result.ok
    assert "NOTHING COMPARED" in result.summary()
    assert np.isnan(result.largest_error)


def test_the_sample_of_coordinates_is_seeded_and_holds_weights_and_biases():
    objective = make(affine=Pixels().fit(X).affine)
    first, again, other = (check_gradient(objective, n_coordinates=8, seed=seed) for seed in (1, 1, 2))
    names = [row.name for row in first.coordinates]
    assert first == again
    assert names != [row.name for row in other.coordinates]
    assert len(names) == 8
    assert {name[0] for name in names} == {"W", "b"}
    assert first.n_total == 27
    assert len(check_gradient(objective, n_coordinates=None).coordinates) == 27


@pytest.mark.parametrize("n_coordinates", [1, 2, 26, 27, 28])
def test_a_sample_of_any_size_has_that_size_and_no_repetition(n_coordinates):
    names = [row.name for row in check_gradient(make(), n_coordinates=n_coordinates).coordinates]
    assert len(names) == len(set(names)) == min(27, n_coordinates)


def test_the_forward_difference_is_off_by_h_times_half_the_second_derivative():
    # f(x) = x² at x = 3: forward 2 x + h, centred 2 x
    row = check_gradient(L2(), np.array([[3.0]]), step=1e-3).coordinates[0]
    assert row.forward == pytest.approx(6.0 + 1e-3, abs=1e-9)
    assert row.centred == pytest.approx(6.0, abs=1e-9)


def test_the_engine_of_the_objective_is_compared_with_the_reference():
    objective = make()
    plain = objective.engine.loss_and_gradient

    def off(W, b, loss, rows=None, *, need_gradient=True):
        sums = plain(W, b, loss, rows, need_gradient=need_gradient)
        return replace(sums, dW=sums.dW * 1.01)

    objective.engine.loss_and_gradient = off
    result = check_gradient(objective)
    assert result.n_wrong == 0
    assert not result.ok
    assert any("gradient of its engine is off by" in problem for problem in result.problems)


class Promise(Loss):
    """Softmax with one promise broken."""

    name, smooth = "promise", True

    def __init__(self, broken):
        self.broken = broken

    def value(self, scores, y):
        return super().value(scores, y) + (0.1 if self.broken == "value" else 0.0)

    def value_and_gradient(self, scores, y):
        value, dscores = SoftmaxCrossEntropy().value_and_gradient(scores, y)
        if self.broken == "changes the scores":
            scores -= 1.0
        return value, dscores.astype(np.float64) if self.broken == "float32" else dscores

    def curvature(self, n_classes):
        return 0.01 if self.broken == "curvature" else 0.5

    def conjugate(self, gradient, y):
        return SoftmaxCrossEntropy().conjugate(gradient, y) * (2.0 if self.broken == "conjugate" else 1.0)


@pytest.mark.parametrize("broken", ["value", "changes the scores", "float32", "curvature", "conjugate"])
def test_a_broken_promise_of_a_loss_is_told_in_words(broken):
    result = check_gradient(Promise(broken))
    assert any(broken in problem for problem in result.problems), result.problems
    assert not result.ok
    assert "PROBLEM: " in str(result)
    assert check_gradient(Promise("none")).ok


class KinkedPromise(Penalty):
    """L1 with one promise broken."""

    name, smooth = "promise", False

    def __init__(self, broken):
        self.broken = broken

    def value(self, W):
        return L1().value(W)

    def gradient(self, W):
        return np.zeros(W.shape) if self.broken == "float32" else np.zeros_like(W)

    def prox(self, V, step):
        return L1().prox(V, 2 * step if self.broken == "prox(" else step)

    def conjugate(self, V, reg):
        return 1.0 if self.broken == "conjugate" else L1().conjugate(V, reg)

    def least_subgradient(self, W, gradient, reg):
        return L1().least_subgradient(W, gradient, reg)

    def kinks(self, W):
        return W


@pytest.mark.parametrize("broken", ["float32", "prox(", "conjugate"])
def test_a_broken_promise_of_a_penalty_is_told_in_words(broken):
    result = check_gradient(KinkedPromise(broken))
    assert any(broken in problem for problem in result.problems), result.problems
    assert not result.ok
    assert check_gradient(KinkedPromise("none")).ok


def test_a_smooth_penalty_whose_prox_moves_the_weights_is_told():
    class Moving(WrongL2):
        def prox(self, V, step):
            return V / (1 + step)

    problems = check_gradient(Moving(lambda W: 2 * W)).problems
    assert problems == ("prox changes W though the penalty says it is smooth",)


def test_the_table_shows_wrong_coordinates_first_and_kinks_last():
    W = np.array([[0.0, 1.0, 2.0, -3.0]])

    class HalfWrong(WrongL2):
        def kinks(self, W):
            return W

    result = check_gradient(HalfWrong(lambda W: np.where(W == 2.0, 7.0, 2 * W)), W)
    lines = str(result).splitlines()
    assert lines[1].split() == ["coordinate", "analytic", "forward", "centred", "rel.", "error"]
    assert lines[2].startswith("W[0, 2]")
    assert lines[2].endswith("WRONG")
    assert "kink: HalfWrong at W[0, 0]" in lines[5]
    assert "... and 2 more" in result.table(2)


def test_the_result_is_plain_data_for_json():
    result = check_gradient(SoftmaxCrossEntropy())
    data = json.loads(json.dumps(result.as_dict()))
    assert data["ok"] is True
    assert data["n_checked"] == len(data["coordinates"]) == 100
    assert data["coordinates"][0]["name"] == "s[0, 0]"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"target": "softmax"},
            ParameterError,
            "target is a str; expected an Objective, a Loss or a Penalty",
        ),
        ({"step": 0.0}, ParameterError, "step = 0.0; expected a finite number > 0"),
        ({"tolerance": float("nan")}, ParameterError, "tolerance = nan"),
        ({"n_coordinates": 0}, ParameterError, "n_coordinates = 0; expected a finite number >= 1"),
        ({"scores": np.zeros((2, 3))}, ParameterError, "scores and y go together"),
        ({"scores": np.zeros((2, 3)), "y": np.array([0, 3])}, LabelError, r"y\[1\] = 3"),
        ({"target": L2(), "W": np.zeros(3)}, ShapeError, r"W has shape \(3,\)"),
        ({"target": make(), "W": np.zeros((3, 9))}, ShapeError, r"W has shape \(3, 9\) but X has 8 features"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        check_gradient(**{"target": SoftmaxCrossEntropy(), **arguments})


def test_a_loss_or_penalty_of_the_wrong_shape_is_named():
    class Flat(Loss):
        name, smooth = "flat", True

        def value_and_gradient(self, scores, y):
            return np.zeros(1), np.zeros_like(scores)

    with pytest.raises(ShapeError, match=r"Flat gave losses \(1,\)"):
        check_gradient(Flat())
    with pytest.raises(ShapeError, match=r"WrongL2 gave a gradient \(6,\) for W \(4, 6\)"):
        check_gradient(WrongL2(lambda W: W[0]))
