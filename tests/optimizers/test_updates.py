"""One epoch of each update against formulas written out number by number."""

import math

import numpy as np
import pytest

from linprobe.engines.base import EpochPlan
from linprobe.objective import Objective
from linprobe.optimizers import UPDATES
from linprobe.optimizers.sgd import plain_epoch

MU, RHO, B1, B2, EPS = 0.8, 0.7, 0.6, 0.9, 1e-3
REG, BETA = 0.1, 1.0  # elastic net: R = sum W² + |W|
BIAS = 2.5  # the learning rate of the bias, in units of that of W


def naive(update, X, y, w, order, batch, rates):
    """Softmax, elastic net and the updates on one list of weights: K rows of D weights, then a bias each."""
    K, D = w.shape[0], w.shape[1] - 1
    w = [[float(v) for v in row] for row in w]
    m = [[0.0] * (D + 1) for _ in range(K)]
    v = [[0.0] * (D + 1) for _ in range(K)]
    total = 0.0
    for t, eta in enumerate(rates, start=1):
        rows = order[(t - 1) * batch : t * batch]
        g = [[0.0] * (D + 1) for _ in range(K)]
        for i in rows:
            x = [*X[i], 1.0]
            e = [math.exp(sum(w[k][d] * x[d] for d in range(D + 1))) for k in range(K)]
            total -= math.log(e[y[i]] / sum(e))
            for k in range(K):
                for d in range(D + 1):
                    g[k][d] += (e[k] / sum(e) - (k == y[i])) * x[d] / len(rows)
        for k in range(K):
            for d in range(D + 1):
                G = g[k][d] + (2 * REG * w[k][d] if d < D else 0.0)
                h = 1.0
                if update == "plain":
                    step, direction = eta, G
                elif update in ("momentum", "nesterov"):
                    m[k][d] = MU * m[k][d] + G
                    step, h = eta, 1 / (1 - MU)
                    direction = m[k][d] if update == "momentum" else G + MU * m[k][d]
                elif update == "adagrad":
                    v[k][d] += G * G
                    step, direction = eta / (math.sqrt(v[k][d]) + EPS), G
                elif update == "rmsprop":
                    v[k][d] = RHO * v[k][d] + (1 - RHO) * G * G
                    step, direction = eta / (math.sqrt(v[k][d]) + EPS), G
                else:
                    m[k][d] = B1 * m[k][d] + (1 - B1) * G
                    v[k][d] = B2 * v[k][d] + (1 - B2) * G * G
                    step = eta / (math.sqrt(v[k][d] / (1 - B2**t)) + EPS)
                    direction = m[k][d] / (1 - B1**t)
                step *= 1.0 if d < D else BIAS
                moved = w[k][d] - step * direction
                if d < D:
                    moved = math.copysign(max(0.0, abs(moved) - REG * step * h), moved)
                w[k][d] = moved
    return np.array(w), total / len(order)


@pytest.mark.parametrize("update", UPDATES)
def test_an_epoch_is_the_formula_of_the_update(update):
    random = np.random.default_rng(3)
    X, y = random.standard_normal((10, 3)), np.arange(10) % 3
    order, rates = random.permutation(10), np.array([0.3, 0.2, 0.1])
    objective = Objective(X, y, loss="softmax", penalty="elastic-net", reg=REG, engine="reference")
    w = random.standard_normal((3, 4))
    arrays = {"W": w[:, :3].copy(), "b": w[:, 3].copy()}
    for suffix in UPDATES[update].arrays:
        arrays |= {f"W_{suffix}": np.zeros((3, 3)), f"b_{suffix}": np.zeros(3)}
    plan = EpochPlan(
        order=order,
        batch_size=4,  # the last batch has 2
        rates=rates,
        update=update,
        momentum=MU,
        rho=RHO,
        beta1=B1,
        beta2=B2,
        epsilon=EPS,
        bias_rate=BIAS,
    )
    loss = plain_epoch(objective, arrays, plan)
    expected, expected_loss = naive(update, X, y, w, order, 4, rates)
    np.testing.assert_allclose(np.hstack([arrays["W"], arrays["b"][:, None]]), expected, rtol=1e-10, atol=1e-12)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
