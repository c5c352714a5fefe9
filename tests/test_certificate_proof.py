"""The promise of the certificate, lower_bound <= optimum <= objective, against optima found by code of another kind.

2,016 problems, of small shapes and odd data: duplicated rows and columns, constant pixels, features from 1e-6 to 1e6,
weights of 0, classes of one image. The optimum is enclosed by tests/oracles/optimum.py: `upper` is L at a point, in
long doubles, so that a lower bound may not exceed it at all; `lower` carries its own tolerance.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tests.oracles.optimum import WIDE, Data, Optimum, optimum

from linprobe.certificate import Certificate, certify
from linprobe.features.base import Affine
from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.objective import Objective
from linprobe.optimizers import Exact, Status
from linprobe.penalties import L1, L2, ElasticNet

EXAMPLES = 168
"""Problems for each of the twelve pairs of loss and penalty."""

LOSSES = {"softmax": SoftmaxCrossEntropy, "hinge": MulticlassHinge, "squared-hinge": SquaredHinge}
PENALTIES = {"l2": L2, "l1": L1, "elastic-net": ElasticNet, "none": None}
REGS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e3]

problems = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "n": st.integers(1, 60),
        "D": st.integers(1, 30),
        "K": st.integers(2, 6),
        "reg": st.sampled_from(REGS),
        "delta": st.sampled_from([1.0, 0.1, 10.0]),
        "beta": st.sampled_from([1.0, 1e-3, 0.0, 30.0]),
        "dtype": st.sampled_from(["float64", "uint8", "float32", "float16"]),
        "size": st.sampled_from([1.0, 1e-6, 1e-3, 1e3, 1e6, 0.0]),  # 0: each feature has its own
        "labels": st.sampled_from(["of a teacher", "random", "one of each but the first"]),
        "weights": st.sampled_from([None, "some zeros", "of many sizes"]),
        "repeated": st.sampled_from(["", "rows", "columns", "rows with other labels"]),
        "n_constant": st.integers(0, 2),
        "offset": st.sampled_from([0.0, 3.0, 1e3]),
        "map": st.sampled_from([None, "standardise", "any"]),
        "engine": st.sampled_from(["reference", "threads"]),
        "max_iter": st.sampled_from([30, 60, 0, 1]),
    }
)


def build(loss: str, penalty: str, p: dict) -> tuple[Objective, Data]:
    """The objective of a drawn problem, and the same in long doubles."""
    random = np.random.default_rng(p["seed"])
    n, D, K = p["n"], p["D"], p["K"]
    X = random.standard_normal((n, D))
    if p["repeated"].startswith("rows"):
        X = X[random.integers(0, max(1, n // 2), n)]
    if p["repeated"] == "columns":
        X = X[:, random.integers(0, max(1, D // 2), D)]
    if p["labels"] == "of a teacher":
        y = (X @ random.standard_normal((D, K)) + 0.5 * random.standard_normal((n, K))).argmax(axis=1)
    else:
        y = random.integers(0, K, n)
    if p["labels"] == "one of each but the first":
        y = np.where(np.arange(n) < K - 1, np.arange(n) + 1, 0)
    if p["repeated"] == "rows":  # with their labels, as far as the teacher is one
        y = np.array([y[np.flatnonzero((row == X).all(axis=1))[0]] for row in X])
    X = X + p["offset"]
    X[:, : p["n_constant"]] = 1.0 + p["offset"]
    X *= p["size"] or 10.0 ** random.integers(-6, 7, D)
    if p["dtype"] == "uint8":
        X = np.clip(np.round(128 + 50 * X / (np.abs(X).max(axis=0) + 1e-300)), 0, 255)
    elif p["dtype"] == "float16":
        X = np.clip(X, -6e4, 6e4)
    X = X.astype(p["dtype"])
    affine = None
    if p["map"] == "standardise":
        spread = X.std(axis=0, dtype=np.float64)
        scale = 1.0 / np.where(spread > 0, spread, 1.0)
        affine = Affine(scale, -X.mean(axis=0, dtype=np.float64) * scale)
    elif p["map"] == "any":
        affine = Affine(10.0 ** random.uniform(-3, 3, D), 10.0 ** random.uniform(-3, 3, D))
    weight = None
    if p["weights"] is not None:
        weight = random.uniform(0.1, 3.0, n) if p["weights"] == "some zeros" else 10.0 ** random.uniform(-6, 3, n)
        weight[random.random(n) < 0.2] = 0.0
        weight[random.integers(n)] = 1.0
    options = {} if loss == "softmax" else {"delta": p["delta"]}
    kind, sizes, squares = PENALTIES[penalty], 0.0, 0.0
    made = None if kind is None else kind(**({"beta": p["beta"]} if penalty == "elastic-net" else {}))
    if made is not None:
        squares, sizes = (p["reg"] * coefficient for coefficient in made.coefficients)
    objective = Objective(
        X,
        y,
        loss=LOSSES[loss](**options),
        penalty=made,
        reg=p["reg"],
        n_classes=K,
        sample_weight=weight,
        affine=affine,
        engine=p["engine"],
        n_threads=1 if p["engine"] == "threads" else None,
    )
    mapped = X.astype(WIDE)
    numbers = np.abs(X.astype(np.float64)).max(axis=0)
    if affine is not None:
        numbers = np.abs(affine.scale) * numbers + np.abs(affine.shift)
        mapped = mapped * affine.scale.astype(WIDE) + affine.shift.astype(WIDE)
    weight = np.ones(n) if weight is None else weight
    return objective, Data(mapped, y, weight, K, loss, p["delta"], squares, sizes, numbers)


def check(name: str, certificate: Certificate, data: Data, oracle: Optimum, W: np.ndarray, b: np.ndarray) -> None:
    """The promise, of a certificate of (W, b): the bound exactly, the objective but for its own rounding."""
    at, rounding = data.value(W, b), data.rounding(W, b)
    assert np.isfinite(certificate.objective), name
    assert not np.isnan(certificate.lower_bound), name
    assert certificate.lower_bound <= certificate.objective, name
    assert certificate.lower_bound <= oracle.upper, (name, certificate.lower_bound - oracle.upper)
    assert certificate.lower_bound <= at, (name, certificate.lower_bound - at)
    assert abs(certificate.objective - at) <= rounding, (name, certificate.objective - at, rounding)
    assert oracle.lower <= certificate.objective + rounding, (name, certificate.objective - oracle.lower)


def feasible(random: np.random.Generator, objective: Objective) -> np.ndarray:
    """A random G (N, K) with dual feasible rows, some of them at the ends of what is feasible."""
    n, K = objective.n_images, objective.n_classes
    y, rows = objective.examples.y, np.arange(n)
    if objective.loss.name == "softmax":
        p = random.dirichlet(np.full(K, 10.0 ** random.uniform(-2, 2)), n)
        p[random.random(n) < 0.3] = 0.0
        p[rows, y] = 0.0
        p[rows, y] = -p.sum(axis=1)
        return p
    most = 1.0 if objective.loss.name == "hinge" else 10.0 ** random.uniform(-2, 1)
    G = np.clip(random.uniform(-0.5, 1.5, (n, K)), 0.0, 1.0) * most
    G[rows, y] = 0.0
    G[rows, y] = -G.sum(axis=1)
    return G


def check_everywhere(objective: Objective, data: Data, oracle: Optimum, seed: int, max_iter: int) -> None:
    """The promise after a search that need not converge, and at any weights and dual points."""
    random = np.random.default_rng(seed)
    solution = Exact(tol=1e-4, max_iter=max_iter).minimize(objective)
    check("found", solution.certificate, data, oracle, solution.W, solution.b)
    if solution.status is Status.CERTIFIED:
        assert solution.certificate.relative_gap <= 1e-4

    K, D = objective.n_classes, objective.n_features
    # a typical size of weights that matter, and far too large ones
    unit = 1.0 / (float(np.sqrt((data.X**2).mean())) or 1.0)
    places = {
        "zero": (np.zeros((K, D)), np.zeros(K)),
        "random": (unit * random.standard_normal((K, D)), random.standard_normal(K)),
        "large": (100.0 * unit * random.standard_normal((K, D)), 100.0 * random.standard_normal(K)),
        "optimal": (oracle.W.astype(np.float64), oracle.b.astype(np.float64)),
    }
    for name, (W, b) in places.items():
        check(name, certify(objective, W, b), data, oracle, W, b)
        points = {
            "feasible": feasible(random, objective),
            "optimal": oracle.G,
            "infeasible": random.standard_normal((objective.n_images, K)),
        }
        for kind, G in points.items():
            check(f"{name}, G {kind}", certify(objective, W, b, G), data, oracle, W, b)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_optimum_lies_within_every_certificate(loss, penalty):
    seen = []

    @settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(problem=problems)
    def within(problem):
        objective, data = build(loss, penalty, problem)
        oracle = optimum(data)
        # descent in plain Python takes half a second for 60 iterations
        slow = problem["engine"] == "reference" and loss != "hinge" and penalty in ("l1", "elastic-net")
        check_everywhere(objective, data, oracle, problem["seed"], min(problem["max_iter"], 6 if slow else 60))
        seen.append(float(oracle.upper) - oracle.lower <= 1e-6 * float(oracle.upper) + 1e-9)

    within()
    assert len(seen) >= EXAMPLES
    assert sum(seen) >= 0.5 * EXAMPLES  # the oracle encloses the optimum tightly, or the test would prove little


@pytest.mark.parametrize("reg", [1e-2, 1.0])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic-net"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_optimum_of_handwritten_digits_lies_within_a_narrow_certificate(loss, penalty, reg):
    X, y = load_digits(return_X_y=True)
    X, y = X[:100].astype(np.uint8), y[:100]
    objective = Objective(X, y, loss=LOSSES[loss](), penalty=PENALTIES[penalty](), reg=reg, n_threads=1)
    squares, sizes = (reg * coefficient for coefficient in objective.penalty.coefficients)
    numbers = X.max(axis=0).astype(np.float64)
    data = Data(X.astype(WIDE), y, np.ones(len(y)), 10, loss, 1.0, squares, sizes, numbers)
    oracle = optimum(data)
    assert float(oracle.upper) - oracle.lower <= 1e-6 * float(oracle.upper)
    check_everywhere(objective, data, oracle, seed=0, max_iter=100)
    # the bound is as narrow as the point it is asked at, whoever found that
    W, b = oracle.W.astype(np.float64), oracle.b.astype(np.float64)
    assert certify(objective, W, b, oracle.G).relative_gap <= 1e-5
