"""Newton's method: the minimum that SciPy finds, proved; the same bits; and no other problems than those it suits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.certificate import certify, lower_bound_from
from linprobe.engines.base import Precision
from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.optimizers import LBFGS, Newton, Status, newton_forecast
from linprobe.optimizers import newton as module
from linprobe.optimizers.curvature import ClassMetric, curvature_at
from linprobe.optimizers.model_point import model_point
from linprobe.optimizers.newton import suits_newton
from linprobe.optimizers.newton_forecast import NewtonForecast
from linprobe.optimizers.preconditioner import second_moment


@pytest.fixture
def sooner(monkeypatch):
    """Newton's method takes over from L-BFGS after two iterations, whatever is predicted."""
    monkeypatch.setattr(newton_forecast, "FIRST_FORECAST", 2)
    monkeypatch.setattr(newton_forecast, "FORECAST_EVERY", 1)
    monkeypatch.setattr(NewtonForecast, "_newton_passes", lambda *_: 0.0)


def clouds(loss="softmax", reg=1e-3, n=600, D=24, K=12, dtype=np.float32, seed=0, **options) -> Objective:
    """Clouds that overlap, with weights of very different size, in features that are far from 0."""
    random = np.random.default_rng(seed)
    y = random.integers(0, K, n)
    X = random.standard_normal((n, D)) + random.standard_normal((K, D))[y] + 3.0
    X = np.clip(20.0 * X + 100.0, 0.0, 255.0) if dtype == np.uint8 else X
    weight = random.exponential(size=n) * (random.random(n) < 0.9)
    return Objective(
        X.astype(dtype),
        y,
        **{"loss": loss, "penalty": "l2", "reg": reg, "sample_weight": weight, "n_classes": K, **options},
    )


@pytest.mark.parametrize("loss", ["softmax", "squared-hinge"])
def test_it_finds_the_minimum_that_scipy_finds_and_proves_it(catalogue, loss, sooner):
    problem = catalogue(loss, "l2")
    solution = Newton(tol=1e-7).minimize(problem.objective)
    assert solution.status is Status.CERTIFIED
    assert "newton" in solution.state.numbers
    certificate = solution.certificate
    assert certificate.relative_gap <= 1e-7
    # SciPy's own minimum is good to about 1e-10
    assert certificate.lower_bound <= problem.minimum + 1e-9
    assert problem.minimum <= certificate.objective + 1e-9


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("loss", "reg"), [("softmax", 1e-2), ("softmax", 1e-5), ("squared-hinge", 0.1), ("squared-hinge", 1e-2)]
)
def test_it_agrees_with_lbfgs_whatever_the_rows(loss, dtype, reg, sooner):
    objective = clouds(loss, 400.0 * reg if dtype == np.uint8 else reg, dtype=dtype)  # pixels are 20 times as large
    solution, other = Newton(tol=1e-5).minimize(objective), LBFGS(tol=1e-4).minimize(objective)
    assert solution.status is Status.CERTIFIED
    assert "newton" in solution.state.numbers
    assert solution.certificate.lower_bound <= other.certificate.objective
    assert other.certificate.lower_bound <= solution.certificate.objective


def test_fewer_rows_than_features(sooner):
    solution = Newton(tol=1e-6).minimize(clouds(n=40, D=90, K=5, reg=1e-3))
    assert solution.status is Status.CERTIFIED


def test_lbfgs_takes_over_where_margins_come_and_go(sooner, monkeypatch):
    """Separable classes and a small reg: each Newton step changes which margins are violated."""
    monkeypatch.setattr(module, "MAX_SHORT_STEPS", 3)
    kept = []
    solution = Newton(max_iter=60).minimize(
        clouds("squared-hinge", 1e-5), callback=lambda epoch: kept.append(epoch.state)
    )
    assert "newton" not in solution.state.numbers
    assert any("newton" in state.numbers for state in kept)
    epochs = [row["epoch"] for row in solution.history]
    assert epochs == sorted(set(epochs))
    rest = Newton(max_iter=60).minimize(clouds("squared-hinge", 1e-5), start=kept[-3])
    assert_array_equal(rest.W, solution.W)


def test_the_same_bits_for_any_number_of_threads(sooner):
    solutions = [Newton().minimize(clouds(n_threads=threads)) for threads in (1, 2, 3)]
    for solution in solutions[1:]:
        assert_array_equal(solution.W, solutions[0].W)
        assert solution.certificate.lower_bound == solutions[0].certificate.lower_bound


@pytest.mark.parametrize("reg", [1e-3, 1e-6])
def test_a_search_goes_on_from_any_state_to_the_same_bits(reg, sooner):
    kept = []
    whole = Newton(tol=1e-6).minimize(clouds(reg=reg), callback=lambda epoch: kept.append(epoch.state))
    for state in kept[1:]:
        rest = Newton(tol=1e-6).minimize(clouds(reg=reg), start=state)
        assert_array_equal(rest.W, whole.W)
        assert_array_equal(rest.b, whole.b)
        assert rest.passes == pytest.approx(whole.passes)
        assert rest.status is whole.status


def test_it_ends_as_it_is_asked_to(sooner):
    assert Newton(max_iter=3).minimize(clouds(reg=1e-5)).status is Status.MAX_ITER
    stopped = Newton().minimize(clouds(reg=1e-5), callback=lambda epoch: epoch.epoch == 4)
    assert stopped.status is Status.STOPPED
    assert stopped.history[-1]["epoch"] == 4
    assert np.isfinite(stopped.certificate.lower_bound)


def test_ctrl_c_leaves_the_weights_so_far(sooner, monkeypatch):
    objective = clouds(reg=1e-5)

    def stop(epoch):
        if epoch.epoch == 4:
            raise KeyboardInterrupt

    solution = Newton().minimize(objective, callback=stop)
    assert solution.status is Status.INTERRUPTED
    assert solution.certificate.objective < objective.value(np.zeros((12, 24)), np.zeros(12))


def test_lbfgs_keeps_what_it_finishes_soon():
    solution = Newton().minimize(clouds(reg=1e-2))
    assert solution.status is Status.CERTIFIED
    assert "newton" not in solution.state.numbers


@pytest.mark.parametrize(
    ("loss", "penalty", "reg"), [("hinge", "l2", 0.1), ("softmax", "l1", 0.1), ("softmax", "l2", 0.0)]
)
def test_what_it_does_not_suit_is_refused(loss, penalty, reg):
    objective = clouds(loss, reg, penalty=penalty)
    assert not suits_newton(objective)
    with pytest.raises(IncompatibleError, match="Newton needs"):
        Newton().minimize(objective)


@pytest.mark.parametrize("loss", ["softmax", "squared-hinge"])
def test_the_hessian_is_the_difference_of_gradients(loss):
    """Of a star to rounding; of softmax up to the classes that are left to the mean, a part in a thousand.

    In bfloat16 a hundredth part, of both: the rows keep 8 bits.
    """
    objective = clouds(loss, 1e-3, dtype=np.float64)
    random = np.random.default_rng(1)
    W, b = 0.3 * random.standard_normal((12, 24)), random.standard_normal(12)
    moment = second_moment(objective)
    curvature = curvature_at(objective, objective.engine.about(moment.mean), moment.dense, W, b)
    V = random.standard_normal((12, 25))
    V -= V.mean(axis=0)
    dW, db, step = V[:, :-1], V[:, -1] - V[:, :-1] @ moment.mean, 1e-6
    ahead, behind = (objective.value_and_gradient(W + s * dW, b + s * db) for s in (step, -step))
    want_b = (ahead[2] - behind[2]) / (2.0 * step)
    want_W = (ahead[1] - behind[1]) / (2.0 * step) - want_b[:, None] * moment.mean
    got = curvature.times(V)
    share = 1e-2 if objective.engine.multiplies_hessians else 5e-3 if loss == "softmax" else 1e-4
    size = share * float(np.abs(want_W).max())
    assert_allclose(got[:, :-1], want_W, rtol=0.0, atol=size)
    assert_allclose(got[:, -1], want_b, rtol=0.0, atol=size)


def test_the_metric_solves_with_the_blocks_of_the_hessian():
    objective = clouds(reg=1e-2)
    moment = second_moment(objective)
    W, b = np.zeros((12, 24)), np.zeros(12)
    curvature = curvature_at(objective, objective.engine.about(moment.mean), moment.dense, W, b)
    metric = ClassMetric(curvature, 10**6)
    R = np.zeros((12, 25))
    R[3] = np.random.default_rng(0).standard_normal(25)
    V = np.zeros_like(R)
    V[3] = metric.solve(R)[3] - metric.solve(R)[4]  # what is taken out is the same for all classes
    # the factor keeps 8 bits
    assert_allclose(curvature.times(V)[3], R[3], rtol=0.0, atol=3e-2 * float(np.abs(R).max()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_the_model_of_a_step_proves_what_its_slopes_say(dtype):
    objective = clouds("squared-hinge", reg=1.0 if dtype == np.uint8 else 1e-3, n=3000, dtype=dtype)
    best = LBFGS(tol=1e-9).minimize(objective)
    at_rest = model_point(objective, best.W, best.b, np.zeros((len(best.b), best.W.shape[1] + 1)))
    assert at_rest is not None
    gradient = objective.data_gradient(best.W, best.b, precision=Precision.DOUBLE)
    assert_allclose(at_rest.A, gradient.dW, atol=1e-3 * np.abs(gradient.dW).max())
    noise = np.random.default_rng(1).standard_normal(best.W.shape)
    W = best.W + 1e-3 * np.abs(best.W).mean() * noise
    step = np.concatenate([best.W - W, np.zeros((len(best.b), 1))], axis=1)
    for dual in (at_rest, model_point(objective, W, best.b, step)):
        assert_allclose(dual.c, 0.0, atol=1e-12)
        bound = lower_bound_from(objective, dual, best.certificate.objective)
        assert 0.8 * best.certificate.objective < bound <= best.certificate.objective


def test_squared_margins_are_proved_by_the_model_of_a_step(sooner, monkeypatch):
    objective = clouds("squared-hinge", reg=1e-4, n=6000)
    proved = []
    tried = module._Run._proves_by_model
    monkeypatch.setattr(module._Run, "_proves_by_model", lambda *a: proved.append(tried(*a)) or proved[-1])
    solution = Newton(tol=1e-4).minimize(objective)
    assert solution.status is Status.CERTIFIED
    assert any(proved)
    fresh = certify(objective, solution.W, solution.b)
    assert solution.certificate.objective == pytest.approx(fresh.objective, rel=1e-9)
    assert solution.certificate.lower_bound <= LBFGS(tol=1e-8).minimize(objective).certificate.objective * (1 + 1e-9)
