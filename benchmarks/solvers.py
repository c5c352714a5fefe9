"""The solvers that are compared, each with the constants that make it minimise our objective.

    L(W, b) = (1/N) sum L_i + a sum W² + c sum |W|        b is not penalised

    scikit-learn    C = 1/((2 a + c) N), l1_ratio = c / (2 a + c)      (Objective.describe)
    Cyanure         lambda_1/2 sum W² for L2; lambda_1 sum |W| + lambda_2/2 sum W² for L1 and the elastic net
    PyTorch         the terms themselves, or weight_decay = 2 a on W; MultiMarginLoss times K
    rlaopt          its mean cross-entropy, plus a SumSquares(W)
    LIBLINEAR       C = 1/(2 a N), but one-vs-rest, and its bias is penalised: another objective, shown as context

adelie is not among them: the groups of its multinomial family hold a feature's weights of all classes, so that its
lasso is sum_l |W_.l|_2 and not sum |W|; and adelie 1.1 needs NumPy below 2.

A solver that can be watched reports from within one run; the others run anew for each number of iterations.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.race import Array, Enough, Problem, Race, peak_memory
from linprobe import Objective
from linprobe.optimizers import Epoch, Exact

HESSIAN = 2e9
"""Bytes of the largest Hessian that newton-cholesky is asked to factor."""

OURS = "linprobe"

PROOF = 120.0
"""Seconds that the run to the certificate may take whatever the budget, which is that of the race."""


@dataclass(frozen=True)
class Solver:
    """A implementation.

    Attributes:
        name: as the page calls it.
        package: what must be importable, and `needs` as well.
        run: solves the problem and reports to the race.
        fits: why it cannot run on a problem, in words, or None.
        note: what a reader must know of its line in the table.
        same: whether it minimises our objective.
    """

    name: str
    package: str
    run: Callable[[Problem, Race], None]
    fits: Callable[[Problem], str | None]
    note: str = ""
    same: bool = True
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> bool:
        """Whether its package is not installed."""
        return any(importlib.util.find_spec(name) is None for name in (self.package, *self.needs))

    def why_not(self, problem: Problem) -> str | None:
        """Why it takes no part, or None."""
        if self.missing:
            return f"{self.package} is not installed, or not all of it (pip install 'linprobe[bench]')"
        return self.fits(problem)


def measure(solver: Solver, problem: Problem, race: Race) -> dict[str, Any]:
    """Run it; its points and what it took, without a verdict."""
    with threadpool_limits(race.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reaching max_iter is intended here
        with contextlib.suppress(Enough):
            solver.run(problem, race)
    return {
        "solver": solver.name,
        "points": race.points,
        "spent": race.spent,
        "amounts": [amount for amount, _ in race.ran],
        **race.more,
    }


# linprobe


def run_ours(problem: Problem, race: Race) -> None:
    """L-BFGS or ADMM: one run to see its way down, and one to the certificate, both with the second moment."""
    objective = problem.objective(race.threads)
    race.more["rows_bytes"] = problem.X.nbytes
    tol = 0.1 * min(race.targets)
    seen: list[tuple[float, float, Array, Array]] = []
    began = time.perf_counter()

    def watch(epoch: Epoch) -> bool:
        seconds = time.perf_counter() - began
        seen.append((seconds, epoch.passes, *candidate(epoch)))
        return seconds > race.budget

    solution = Exact(tol, 100_000).minimize(objective, callback=watch)
    seen.append((time.perf_counter() - began, solution.passes, solution.W[None], solution.b))
    mean = objective.engine.gradient_of_scores(objective.shares()[:, None], precise=True)[0][0]
    for seconds, passes, parts, b in seen:
        W = parts[0]
        if len(parts) == 2:  # ADMM's copy with exact zeros, and the bias that keeps the mean scores
            W, b = parts[1], b + (parts[0] - parts[1]) @ mean
        race.judge(W, b, seconds, passes)
    race.spent = seen[-1][0]
    race.more["certified"] = certified(problem, race)


def candidate(epoch: Epoch) -> tuple[Array, Array]:
    """(W, or W and its copy, stacked; b) of a row of the trace."""
    arrays = epoch.state.arrays
    parts = [arrays[name] for name in ("W", "copy") if name in arrays]
    return np.stack(parts), arrays["b"]


def certified(problem: Problem, race: Race) -> dict[str, Any]:
    """The run to the certificate: seconds with the second moment, passes, gap, exact zeros, memory."""
    objective = problem.objective(race.threads)
    with peak_memory(race.more):
        began = time.perf_counter()
        solution = Exact(problem.certified, 100_000).minimize(
            objective, callback=lambda epoch: time.perf_counter() - began > max(race.budget, PROOF)
        )
        seconds = time.perf_counter() - began
    certificate = solution.certificate
    assert certificate is not None
    return {
        "tol": problem.certified,
        "status": solution.status.name,
        "seconds": seconds,
        "passes": solution.passes,
        "relative_gap": certificate.relative_gap,
        "objective": certificate.objective,
        "lower_bound": certificate.lower_bound,
        "zeros": int((solution.W == 0.0).sum()),
        "weights": solution.W.size,
    }


# scikit-learn


def sklearn_constants(problem: Problem) -> dict[str, float]:
    """C and l1_ratio."""
    total = 2.0 * problem.squares + problem.sizes
    return {"C": 1.0 / (total * len(problem.y)), "l1_ratio": problem.sizes / total}


def regression(problem: Problem, solver: str, max_iter: int) -> Any:
    """LogisticRegression with our objective, whose own tolerance is out of reach."""
    from sklearn.linear_model import LogisticRegression

    constants: dict[str, Any] = sklearn_constants(problem)
    if inspect.signature(LogisticRegression).parameters["l1_ratio"].default is None:  # before 1.8
        constants["penalty"] = "elasticnet" if constants["l1_ratio"] else "l2"
        constants["l1_ratio"] = constants["l1_ratio"] or None
    return LogisticRegression(solver=solver, tol=1e-12, max_iter=max_iter, random_state=0, **constants)


class Watched:
    """A callback of scikit-learn (1.9 and newer) that shows the race the weights after each iteration."""

    def __init__(self, race: Race) -> None:
        self.race, self.passes = race, 0

    def __deepcopy__(self, memo: Any) -> Watched:
        """Itself: scikit-learn copies the estimator in each iteration, and the race holds the rows."""
        return self

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing."""

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any = None) -> bool:
        """Look at the weights."""
        if fitted_estimator is not None and context.task_name == "lbfgs-iter":
            self.passes += 1
            self.race.look(lambda: (fitted_estimator.coef_, fitted_estimator.intercept_), self.passes + 1.0)
        return False


def run_regression(solver: str, dtype: type, first: int) -> Callable[[Problem, Race], None]:
    """LogisticRegression with this solver, on rows of this dtype."""

    def run(problem: Problem, race: Race) -> None:
        X = problem.floats(dtype)
        race.more["rows_bytes"] = X.nbytes
        model = regression(problem, solver, 1_000_000)
        with peak_memory(race.more):
            if solver == "lbfgs" and hasattr(model, "set_callbacks"):
                model.set_callbacks(Watched(race))
                race.start()
                model.fit(X, problem.y)
                race.judge(model.coef_, model.intercept_, race.stop(), float(model.n_iter_[0]) + 1.0)
                return
            for amount in race.ladder(first):
                model = regression(problem, solver, amount)
                race.start()
                model.fit(X, problem.y)
                race.stop()
                # an iteration of newton-cg takes as many passes as its inner search needs, which it does not tell
                passes = float(model.n_iter_[0]) if solver in ("saga", "lbfgs") else math.nan
                race.done(amount, model.coef_, model.intercept_, passes)

    return run


def run_liblinear(problem: Problem, race: Race) -> None:
    """LinearSVC, one-vs-rest."""
    from sklearn.svm import LinearSVC

    X = problem.floats(np.float64)
    race.more["rows_bytes"] = X.nbytes
    loss = {"hinge": "hinge", "squared-hinge": "squared_hinge"}[problem.loss]
    C = sklearn_constants(problem)["C"]
    with peak_memory(race.more):
        for amount in race.ladder(10):
            model = LinearSVC(loss=loss, C=C, dual=True, tol=1e-8, max_iter=amount, random_state=0)
            race.start()
            model.fit(X, problem.y)
            race.stop()
            race.done(amount, model.coef_, model.intercept_, float(amount))


# Cyanure


def cyanure_constants(problem: Problem) -> dict[str, Any]:
    """penalty, lambda_1 and lambda_2."""
    if problem.penalty == "l2":
        return {"penalty": "l2", "lambda_1": 2.0 * problem.squares}
    if problem.penalty == "l1":
        return {"penalty": "l1", "lambda_1": problem.sizes}
    return {"penalty": "elasticnet", "lambda_1": problem.sizes, "lambda_2": 2.0 * problem.squares}


def run_cyanure(problem: Problem, race: Race) -> None:
    """Its Classifier, the solver left to it."""
    from cyanure.estimators import Classifier

    X, every = problem.floats(), 5
    race.more["rows_bytes"] = X.nbytes
    with peak_memory(race.more):
        for amount in race.ladder(every, every):
            model = Classifier(
                loss="multiclass-logistic",
                fit_intercept=True,
                tol=0.1 * min(race.targets),
                max_iter=amount,
                duality_gap_interval=every,
                n_threads=race.threads,
                verbose=False,
                **cyanure_constants(problem),
            )
            race.start()
            model.fit(X, problem.y)
            race.stop()
            race.done(amount, model.coef_.T, model.intercept_.ravel(), float(np.max(model.n_iter_)))


# PyTorch


def torch_objective(problem: Problem) -> Callable[..., Any]:
    """The mean loss of scores and labels, ours by PyTorch's own functions."""
    from torch.nn import functional

    if problem.loss == "softmax":
        return functional.cross_entropy
    K, p = problem.n_classes, 1 if problem.loss == "hinge" else 2
    return lambda scores, labels: K * functional.multi_margin_loss(scores, labels, p=p)


def torch_penalty(problem: Problem, W: Any) -> Any:
    """a sum W² + c sum |W|."""
    penalty = problem.squares * W.square().sum()
    return penalty + problem.sizes * W.abs().sum() if problem.sizes else penalty


def run_torch_lbfgs(problem: Problem, race: Race) -> None:
    """torch.optim.LBFGS over all rows, float32, strong Wolfe; each evaluation is a pass and is looked at."""
    import torch

    torch.set_num_threads(race.threads)
    X, y = torch.from_numpy(problem.floats()), torch.from_numpy(problem.y)
    race.more["rows_bytes"] = X.numpy().nbytes
    W = torch.zeros(problem.n_classes, X.shape[1], requires_grad=True)
    b = torch.zeros(problem.n_classes, requires_grad=True)
    loss, passes = torch_objective(problem), 0
    optimizer = torch.optim.LBFGS(
        [W, b], max_iter=10**9, max_eval=10**9, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Any:
        nonlocal passes
        optimizer.zero_grad()
        value = loss(torch.nn.functional.linear(X, W, b), y) + torch_penalty(problem, W)
        value.backward()
        passes += 1
        race.look(lambda: (W.detach().numpy(), b.detach().numpy()), float(passes), float(value))
        return value

    with peak_memory(race.more):
        race.start()
        optimizer.step(closure)
        race.judge(W.detach().numpy(), b.detach().numpy(), race.stop(), float(passes))


SGD_BATCH, SGD_RATE = 128, 1e-3


def run_torch_sgd(problem: Problem, race: Race) -> None:
    """torch.optim.SGD in batches of 128, subgradients, rate 1e-3 / (1 + 1e-3 * 2 reg * steps), epoch by epoch."""
    import torch

    torch.set_num_threads(race.threads)
    torch.manual_seed(0)
    X, y = torch.from_numpy(problem.floats()), torch.from_numpy(problem.y)
    race.more["rows_bytes"] = X.numpy().nbytes
    W = torch.zeros(problem.n_classes, X.shape[1], requires_grad=True)
    b = torch.zeros(problem.n_classes, requires_grad=True)
    loss, epochs = torch_objective(problem), 0
    optimizer = torch.optim.SGD([W, b], lr=SGD_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1.0 / (1.0 + SGD_RATE * 2.0 * problem.reg * t))
    with peak_memory(race.more):
        race.start()
        while True:
            for batch in torch.randperm(len(y)).split(SGD_BATCH):
                optimizer.zero_grad()
                value = loss(torch.nn.functional.linear(X[batch], W, b), y[batch]) + torch_penalty(problem, W)
                value.backward()
                optimizer.step()
                schedule.step()
            epochs += 1
            race.look(lambda: (W.detach().numpy(), b.detach().numpy()), float(epochs))


# rlaopt

SAPPHIRE_BATCH, SAPPHIRE_RANK = 128, 50
"""Rows of a batch of SAPPHIRE, and rank of its sketch. Measured on 10,000 x 768 rows of 20 classes, softmax with L2 at
reg 1e-3: relative suboptimality after 25 s is 0.29 with (128, 50), 0.47 with (128, 10), which is its default rank, 0.65
with (512, 50), 1.2 with (256, 200); its proximal gradient with acceleration and line search reaches 0.47."""


def run_sapphire(problem: Problem, race: Race) -> None:
    """SAPPHIRE with variance-reduced gradients (SVRG) and a Nystrom sketch of the Hessian, float32.

    Its default is SAGA, whose step for the intercept of several classes sums over the classes and is always 0: with it
    the intercept stays where it is, and the minimum is another one. It reads its rows one by one; here a batch is
    gathered at once, which is faster. It tests for its own end never: that costs a pass each time.
    """
    import torch
    from rlaopt.atoms import MultinomialRegression, SumSquares
    from rlaopt.data import DataLoader, Dataset
    from rlaopt.expression import Variable
    from rlaopt.linalg import NystromConfig
    from rlaopt.solvers import Sapphire, SapphireConfig

    torch.set_num_threads(race.threads)
    torch.manual_seed(0)
    X, y = torch.from_numpy(problem.floats()), torch.from_numpy(problem.y)
    race.more["rows_bytes"] = X.numpy().nbytes
    batch = min(SAPPHIRE_BATCH, max(1, len(y) // 4))
    per_epoch = len(y) // batch
    left: list[Any] = []

    class Batches(DataLoader):
        """Batches of rows in a new order each epoch."""

        def get_batch(self) -> tuple[Any, ...]:
            if not left:
                left.extend(torch.randperm(len(y))[: per_epoch * batch].split(batch))
            picked = left.pop()
            return X[picked], y[picked], picked

    W = Variable((X.shape[1], problem.n_classes), name="beta")
    model = MultinomialRegression(W, Batches(Dataset(X, y), batch_size=batch))
    rank = min(SAPPHIRE_RANK, max(1, X.shape[1] * (problem.n_classes - 1) // 4))  # beyond that of H its factor fails
    sketch = NystromConfig(rank_init=rank, error_tolerance=0.1, base_damping=max(1e-3, 2.0 * problem.squares))
    config = SapphireConfig(base_method="svrg", precond_config=sketch, check_termination_freq=10**9)
    with peak_memory(race.more):
        race.start()
        solver = Sapphire(model + problem.squares * SumSquares(W), config)
        values = model.variable_values
        state = solver.init_state(values)
        for step in range(1, 10**9):
            values, state = solver.step(values, state)
            if step % per_epoch == 0:  # a snapshot's gradient, and two in each batch
                now = values["beta"].numpy().T, values["intercept"].numpy()
                race.look(lambda now=now: now, 3.0 * step / per_epoch)


# who takes part


def any_problem(problem: Problem) -> str | None:
    """All of them."""
    return None


def smooth_softmax(problem: Problem) -> str | None:
    """Of scikit-learn's second-order solvers."""
    if problem.loss != "softmax":
        return f"its multiclass {problem.loss} is another objective"
    return None if problem.penalty == "l2" else f"it has no {problem.penalty} penalty"


def softmax_only(problem: Problem) -> str | None:
    """Of saga and Cyanure."""
    return None if problem.loss == "softmax" else f"it has no joint multiclass {problem.loss}"


def small_hessian(problem: Problem) -> str | None:
    """Of newton-cholesky."""
    unknowns = (problem.X.shape[1] + 1) * problem.n_classes
    n_bytes = 8 * unknowns**2
    if n_bytes > HESSIAN:
        return f"its Hessian of {unknowns:,} unknowns would take {n_bytes / 1e9:.1f} GB"
    return smooth_softmax(problem)


def no_l1(problem: Problem) -> str | None:
    """Of PyTorch's L-BFGS."""
    return "it has no step for |W|" if problem.sizes else None


def margins(problem: Problem) -> str | None:
    """Of PyTorch's SGD, where it is of interest."""
    return None if problem.loss == "hinge" else "shown for the hinge, where a subgradient method is what there is"


def margins_l2(problem: Problem) -> str | None:
    """Of LIBLINEAR."""
    if problem.loss == "softmax":
        return "it has no softmax"
    return None if problem.penalty == "l2" else f"its {problem.loss} has no {problem.penalty} penalty"


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver(OURS, "linprobe", run_ours, any_problem),
        Solver("PyTorch L-BFGS", "torch", run_torch_lbfgs, no_l1, "float32"),
        Solver("PyTorch SGD", "torch", run_torch_sgd, margins, "float32, no tuning"),
        Solver("Cyanure", "cyanure", run_cyanure, softmax_only, "float32"),
        Solver(
            "rlaopt SAPPHIRE", "rlaopt", run_sapphire, smooth_softmax, "float32, SVRG", needs=("tensordict", "pydantic")
        ),
        Solver("scikit-learn lbfgs", "sklearn", run_regression("lbfgs", np.float64, 10), smooth_softmax, "float64"),
        Solver("scikit-learn lbfgs float32", "sklearn", run_regression("lbfgs", np.float32, 10), smooth_softmax),
        Solver(
            "scikit-learn newton-cg", "sklearn", run_regression("newton-cg", np.float64, 2), smooth_softmax, "float64"
        ),
        Solver(
            "scikit-learn newton-cholesky",
            "sklearn",
            run_regression("newton-cholesky", np.float64, 1),
            small_hessian,
            "float64",
        ),
        Solver("scikit-learn saga", "sklearn", run_regression("saga", np.float32, 1), softmax_only, "float32"),
        Solver(
            "LIBLINEAR one-vs-rest",
            "sklearn",
            run_liblinear,
            margins_l2,
            "another objective: one-vs-rest, its bias penalised",
            same=False,
        ),
    )
}


def reference(problem: Problem, threads: int, budget: float, tol: float = 1e-8) -> dict[str, Any]:
    """The minimum, by our own run to a gap of `tol` or to the end of the budget (seconds).

    "value" is the proved lower bound if it is within 1e-7 of the objective found, else that objective, "proved" being
    false.
    """
    objective: Objective = problem.objective(threads)
    began = time.perf_counter()
    solution = Exact(tol, 100_000).minimize(objective, callback=lambda epoch: time.perf_counter() - began > budget)
    certificate = solution.certificate
    assert certificate is not None
    proved = certificate.relative_gap <= 1e-7
    return {
        "objective": certificate.objective,
        "lower_bound": certificate.lower_bound,
        "relative_gap": certificate.relative_gap,
        "status": solution.status.name,
        "seconds": time.perf_counter() - began,
        "proved": proved,
        "value": certificate.lower_bound if proved else certificate.objective,
    }
