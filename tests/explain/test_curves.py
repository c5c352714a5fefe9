"""Learning curves: the numbers of the trace, the gap against the certificate, the panels that are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.errors import ParameterError
from linprobe.explain.curves import curves_picture, learning_curves
from linprobe.objective import Objective
from linprobe.optimizers.exact import Exact
from linprobe.optimizers.sgd import SGD


@pytest.fixture(scope="module")
def objective():
    random = np.random.default_rng(1)
    X = random.normal(size=(50, 4))
    return Objective(X, (X[:, 0] > 0).astype(np.int64), loss="softmax", penalty="l2", reg=0.01)


@pytest.fixture(scope="module")
def held_out():
    random = np.random.default_rng(2)
    X = random.normal(size=(20, 4))
    return Objective(X, (X[:, 0] > 0).astype(np.int64), loss="softmax", penalty="l2", reg=0.01)


def test_the_curves_are_the_columns_of_the_trace_and_the_gap_is_above_the_bound(objective, held_out):
    solution = Exact(tol=1e-6).minimize(objective, validation=held_out)
    bound = solution.certificate.lower_bound
    curves = learning_curves(solution.history, bound)
    for i, row in enumerate(solution.history):
        assert curves.passes[i] == row["passes"]
        assert curves.seconds[i] == row["seconds"]
        assert curves.train_accuracy[i] == row["train_accuracy"]
        assert curves.validation_accuracy[i] == row["validation_accuracy"]
        assert_allclose(curves.gap[i], row["objective"] - bound, atol=1e-12)
    assert 0.0 <= curves.gap[-1] <= 1e-6 * solution.certificate.objective + 1e-12


def test_without_a_bound_there_is_no_gap_and_without_validation_no_dashed_line(objective):
    history = SGD(epochs=3).minimize(objective).history
    for bound in (None, float("-inf")):
        curves = learning_curves(history, bound)
        assert curves.gap is None
        assert curves.validation_accuracy is None
    picture = curves_picture({"SGD": curves})
    assert len(picture.figure.axes) == 4  # objective and accuracy, against passes and seconds
    assert "gap" not in picture.svg()
    assert "dashed" not in picture.svg()


def test_several_trainings_are_laid_over_each_other_with_a_legend(objective, held_out):
    exact, sgd = Exact(tol=1e-6).minimize(objective, validation=held_out), SGD(epochs=5).minimize(objective)
    bound = exact.certificate.lower_bound
    curves = {"exact": learning_curves(exact.history, bound), "$s": learning_curves(sgd.history, bound)}
    picture = curves_picture(curves)
    assert len(picture.figure.axes) == 6
    gap = picture.figure.axes[1]
    assert gap.get_yscale() == "log"
    assert_allclose(gap.lines[1].get_ydata(), [row["objective"] - bound for row in sgd.history])
    text = picture.svg()
    for wanted in (">exact<", ">$s<", "dashed: validation"):
        assert wanted in text


def test_a_long_trace_is_drawn_through_a_part_of_its_rows_with_both_ends():
    row = {"objective": 1.0, "train_accuracy": 0.5, "validation_accuracy": float("nan")}
    history = [{**row, "passes": float(i), "seconds": float(i)} for i in range(9000)]
    line = curves_picture({"": learning_curves(history)}, ("objective",), ("passes",)).figure.axes[0].lines[0]
    assert len(line.get_xdata()) == 2000
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (0.0, 8999.0)


def test_a_diverged_training_and_one_of_a_single_row_can_be_drawn():
    rows = [
        {"passes": 0.0, "seconds": 0.0, "objective": value, "train_accuracy": 0.1, "validation_accuracy": float("nan")}
        for value in (2.3, float("nan"), 1e300)
    ]
    assert curves_picture({"a": learning_curves(rows)}).svg()
    assert curves_picture({"a": learning_curves(rows[:1], 1.0)}).svg()


def test_what_cannot_be_drawn_is_one_line(objective):
    curves = learning_curves(SGD(epochs=1).minimize(objective).history)
    with pytest.raises(ParameterError, match="history is empty"):
        learning_curves([])
    with pytest.raises(ParameterError, match="curves is empty"):
        curves_picture({})
    with pytest.raises(ParameterError, match=r"found \['speed'\]; expected some of objective, gap, accuracy"):
        curves_picture({"a": curves}, ("speed",))
    with pytest.raises(ParameterError, match="the gap needs a lower bound"):
        curves_picture({"a": curves}, ("gap",))
