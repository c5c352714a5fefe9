import numpy as np
import pytest
from sklearn.datasets import load_digits

from linprobe.errors import ParameterError
from linprobe.features import Pixels
from linprobe.losses import Loss, SoftmaxCrossEntropy
from linprobe.objective import Objective
from linprobe.optimizers import GradientDescent, State, Status

SMOOTH = [(loss, penalty) for loss in ("softmax", "squared-hinge") for penalty in ("none", "l2", "l1", "elastic-net")]


@pytest.mark.parametrize("line_search", ["backtracking", "fixed"])
@pytest.mark.parametrize(("loss", "penalty"), SMOOTH)
def test_it_converges_to_the_minimum_that_scipy_finds(catalogue, loss, penalty, line_search):
    problem = catalogue(loss, penalty)
    solution = GradientDescent(max_iter=5000, tol=1e-5, line_search=line_search).minimize(problem.objective)
    assert solution.status is Status.CONVERGED
    assert solution.history[-1]["gradient_norm"] <= 1e-5
    value = problem.objective.value(solution.W, solution.b)
    assert value == pytest.approx(problem.minimum, abs=1e-8)


def test_the_objective_never_rises(catalogue):
    solution = GradientDescent(max_iter=50).minimize(catalogue("softmax", "l1").objective)
    objectives = [row["objective"] for row in solution.history]
    assert (np.diff(objectives) < 0).all()


def test_l1_gives_exact_zeros(catalogue):
    solution = GradientDescent(tol=1e-6).minimize(catalogue("softmax", "l1").objective)
    assert 0 < (solution.W == 0.0).sum() < solution.W.size


def test_too_few_steps_end_with_max_iter(catalogue):
    solution = GradientDescent(max_iter=3).minimize(catalogue("softmax", "l2").objective)
    assert solution.status is Status.MAX_ITER
    assert [row["epoch"] for row in solution.history] == [0, 1, 2, 3]


def test_a_fixed_rate_too_high_diverges_and_keeps_the_last_good_weights(catalogue):
    objective = catalogue("squared-hinge", "l2").objective
    solution = GradientDescent(learning_rate=1e4, line_search="fixed").minimize(objective)
    assert solution.status is Status.DIVERGED
    assert objective.value(solution.W, solution.b) == solution.history[-1]["objective"]
    assert np.isfinite(solution.W).all()


def test_the_line_search_forgives_a_first_trial_far_too_long(catalogue):
    problem = catalogue("squared-hinge", "l2")
    solution = GradientDescent(learning_rate=1e12).minimize(problem.objective)
    assert solution.status is Status.CONVERGED


def test_a_wrong_gradient_stalls(make_objective):
    class Uphill(Loss):
        name, smooth = "uphill", True

        def value_and_gradient(self, scores, y):
            value, gradient = SoftmaxCrossEntropy().value_and_gradient(scores, y)
            return value, -gradient

    solution = GradientDescent().minimize(make_objective(Uphill(), "l2"))
    assert solution.status is Status.STALLED
    assert "check the gradient" in solution.status.value


def test_the_hinge_stalls_at_a_kink_and_is_sent_to_sgd(catalogue):
    solution = GradientDescent(max_iter=5000).minimize(catalogue("hinge", "l2").objective)
    assert solution.status is Status.STALLED
    assert "use SGD" in solution.status.value


@pytest.mark.parametrize("line_search", ["backtracking", "fixed"])
def test_a_run_continued_from_a_state_has_the_same_bits(make_objective, line_search):
    optimizer = GradientDescent(max_iter=20, tol=0.0, line_search=line_search)
    states: list[State] = []
    whole = optimizer.minimize(make_objective("softmax", "l1"), callback=lambda row: states.append(row.state))
    again = optimizer.minimize(make_objective("softmax", "l1"), start=states[7])
    assert again.W.tobytes() == whole.W.tobytes()
    assert again.b.tobytes() == whole.b.tobytes()
    assert again.passes == whole.passes
    assert [row["objective"] for row in again.history] == [row["objective"] for row in whole.history[7:]]


def test_the_native_engine_converges_on_pixels_too():
    pixels = load_digits()
    X = np.round(pixels.data * 255.0 / 16.0).astype(np.uint8)[:300]
    common = {"loss": "softmax", "penalty": "l2", "reg": 0.01, "affine": Pixels().fit(X).affine}
    objective = Objective(X, pixels.target[:300], **common, engine="threads", n_threads=1)
    solution = GradientDescent(max_iter=500, tol=1e-4).minimize(objective)
    reference = objective.with_engine("reference")
    assert solution.status is Status.CONVERGED
    assert reference.evaluate(solution.W, solution.b).gradient_norm <= 1.1e-4


def test_the_callback_stops_it(catalogue):
    solution = GradientDescent().minimize(catalogue("softmax", "l2").objective, callback=lambda row: row.epoch == 2)
    assert solution.status is Status.STOPPED
    assert solution.state.epoch == 2


def test_the_words_tell_the_curvature(catalogue):
    chosen = GradientDescent(max_iter=1).minimize(catalogue("softmax", "l2").objective).chosen
    assert "0.5, the curvature of the loss softmax" in chosen["learning_rate"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_iter": -1},
        {"tol": -1.0},
        {"learning_rate": 0.0},
        {"learning_rate": "fast"},
        {"line_search": "x"},
    ],
)
def test_arguments_outside_their_range_are_named(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        GradientDescent(**wrong)


def test_the_weights_of_a_step_are_measured_by_the_pass_that_found_them(catalogue):
    objective = catalogue("softmax", "l2").objective
    calls = []
    run = objective.engine.loss_and_gradient

    def counted(*args, **kwargs):
        calls.append(args)
        return run(*args, **kwargs)

    objective.engine.loss_and_gradient = counted
    solution = GradientDescent(max_iter=20).minimize(objective)
    assert len(calls) == solution.passes + 1  # and one at zero weights, which divergence is judged by
    last = solution.history[-1]
    assert last["objective"] == objective.value(solution.W, solution.b)
    assert last["gradient_norm"] == objective.evaluate(solution.W, solution.b).gradient_norm
