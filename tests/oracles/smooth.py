"""The minimum of a smooth objective, by SciPy."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize


def minimum(objective):
    """The least value that L-BFGS finds for a smooth objective, and where."""
    shape = (objective.n_classes, objective.n_features)
    split = shape[0] * shape[1]

    def function(flat):
        value, dW, db = objective.value_and_gradient(flat[:split].reshape(shape), flat[split:])
        return value, np.concatenate([dW.ravel(), db])

    start = np.zeros(split + shape[0])
    found = minimize(function, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "gtol": 1e-9, "ftol": 0})
    return found.fun, found.x[:split].reshape(shape), found.x[split:]
