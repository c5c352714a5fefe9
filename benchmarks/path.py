"""The optimum for 20 reg values, softmax with L2: `solve_path` against its hardest member alone and scikit-learn's CV.

    python -m benchmarks.path [ARCHIVE] [--out FILE] [--threads T] [--repeats R] [--regs COUNT] [--images N]
                              [--cv COUNT] [--max-iter M] [--quick]

CIFAR-10, pixels / 255 and centred; one in ten training images, drawn with seed 0, is held out, and all solve the same
problem on the others. Each optimum is certified to a relative gap of 1e-4. The hardest member is the one that `LBFGS`
alone takes longest for, by the quickest of three tries each; it then takes turns with the path. Both times hold the
second moment.

LogisticRegressionCV gets the same split and a few of the reg values, evenly spread, with its defaults but for
--max-iter; its time for all of them is that times (all / few), an extrapolation. It is watched no further: how near it
came is measured at its weights by our objective.
"""

from __future__ import annotations

import inspect
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.race import Array, Problem
from benchmarks.record import (
    Watch,
    arguments,
    compared,
    deliver,
    digits,
    image_archive,
    interleaved,
    say,
    skip,
    spoken,
    text_table,
    usable_cores,
    why_absent,
)
from linprobe import Objective, open_dataset
from linprobe.features.pixels import Pixels
from linprobe.optimizers import LBFGS, solve_path

TOL = 1e-4
TRIES = 3
"""Of each member alone, in rounds: on a machine that others use as well, a single try picks the hardest by chance."""

AIM = 4.0
"""Times of the hardest member that the whole path is to take, at most."""


def split(source: str, images: int | None) -> tuple[Problem, Problem]:
    """(training, held out): one in ten of the training images of a source, or of `images` of them."""
    train = open_dataset(source).train
    order = np.random.default_rng(0).permutation(len(train.y))[:images]
    held_out = len(order) // 10
    rows = np.arange(len(train.X)) if train.rows is None else train.rows
    parts = []
    affine = None
    for positions in (np.sort(order[held_out:]), np.sort(order[:held_out])):
        X = np.ascontiguousarray(train.X[rows[positions]])
        affine = affine or Pixels().fit(X).affine
        parts.append(Problem("softmax, L2", X, train.y[positions], affine, "softmax", "l2", 1.0))
    return parts[0], parts[1]


def measure(problem: Problem, regs: list[float], threads: int, repeats: int) -> dict[str, Any]:
    """Ours: the path, every member alone, and the path against the hardest of them."""
    objective = problem.objective(threads)
    member(objective, max(regs))  # not counted: the rows are read in, the threads are there
    rounds = [[member(objective, reg) for reg in regs] for _ in range(min(TRIES, repeats))]
    alone = [min(tries, key=lambda about: about["seconds"]) for tries in zip(*rounds, strict=True)]
    hardest = max(range(len(regs)), key=lambda i: alone[i]["seconds"])
    paths: list[Any] = []

    def path() -> None:
        paths.append(solve_path(objective, regs, tol=TOL))

    implementations = {"path": path, "hardest": lambda: member(objective, regs[hardest])}
    times = interleaved(implementations, repeats)
    last = paths[-1]
    return {
        "regs": regs,
        "tol": TOL,
        "members": [
            {
                "reg": reg,
                "objective": solution.certificate.objective,
                "lower_bound": solution.certificate.lower_bound,
                "relative_gap": solution.certificate.relative_gap,
                "status": solution.status.name,
                "alone": about,
            }
            for reg, solution, about in zip(regs, last.solutions, alone, strict=True)
        ],
        "hardest": regs[hardest],
        "passes": last.passes,
        **compared(times, "hardest"),
    }


def member(objective: Objective, reg: float) -> dict[str, Any]:
    """One reg value by `LBFGS` alone: seconds with the second moment, and passes."""
    began = time.perf_counter()
    solution = LBFGS(TOL).minimize(objective.with_reg(reg))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "passes": solution.passes, "status": solution.status.name}


def measure_cv(
    problem: Problem, held_out: Problem, members: list[dict[str, Any]], count: int, max_iter: int, threads: int
) -> dict[str, Any]:
    """LogisticRegressionCV on `count` of the members, its time for all, and how near the optimum it came."""
    from sklearn.linear_model import LogisticRegressionCV

    # from the largest reg down, each from the weights of the one before, is its quicker order
    few = sorted({round(i) for i in np.linspace(0, len(members) - 1, count)}, reverse=True)
    X = np.concatenate([problem.floats(), held_out.floats()])
    y = np.concatenate([problem.y, held_out.y])
    n = len(problem.y)
    C = [1.0 / (2.0 * members[i]["reg"] * n) for i in few]
    model = LogisticRegressionCV(
        Cs=C,
        cv=[(np.arange(n), np.arange(n, len(y)))],
        refit=False,
        max_iter=max_iter,
        scoring="accuracy",
        **newer(LogisticRegressionCV),
    )
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the gaps show that max_iter was reached
        began = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - began
    objective = problem.objective(threads)
    weights = by_reg(model.coefs_paths_, len(few), problem)
    results = []
    for position, i in enumerate(few):
        W, b = weights[position][:, :-1], weights[position][:, -1]
        reg, least = members[i]["reg"], members[i]["lower_bound"]
        one = objective.with_reg(reg)
        value = one.data_gradient(W, b).loss + one.penalty_value(W)
        results.append({"reg": reg, "objective": value, "gap": (value - least) / least})
    return {
        "max_iter": max_iter,
        "results": results,
        "seconds": seconds,
        "extrapolated_seconds": seconds * len(members) / len(few),
        "extrapolated_from": len(few),
    }


def newer(kind: Any) -> dict[str, Any]:
    """Options without which scikit-learn 1.8 and newer warn."""
    options = {"l1_ratios": (0.0,), "use_legacy_attributes": True}
    return options if "use_legacy_attributes" in inspect.signature(kind).parameters else {}


def by_reg(paths: dict[int, Array], count: int, problem: Problem) -> Array:
    """(count, K, D + 1) from coefs_paths_: by label, (one fold, count, D + 1), or with an axis of one l1_ratio."""
    shape = (problem.n_classes, count, problem.X.shape[1] + 1)
    return np.stack([paths[label] for label in range(problem.n_classes)]).reshape(shape).transpose(1, 0, 2)


def main() -> None:
    """Time the path, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "path")
    parser.add_argument("archive", type=Path, nargs="?", default=image_archive(), metavar="ARCHIVE")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="T")
    parser.add_argument("--repeats", type=int, default=3, metavar="R")
    parser.add_argument("--regs", type=int, default=20, metavar="COUNT", help="reg values from 1e-5 to 1e-1")
    parser.add_argument("--cv", type=int, default=3, metavar="COUNT", help="of which LogisticRegressionCV solves some")
    parser.add_argument("--max-iter", type=int, default=100, metavar="M", help="of LogisticRegressionCV, for each")
    parser.add_argument("--images", type=int, metavar="N", help="of the training images, drawn with seed 0")
    parser.add_argument("--quick", action="store_true", help="on digits, once")
    given = parser.parse_args()
    reason = None if given.quick else why_absent(given.archive)
    if reason:
        return skip("path", reason, given.out)
    repeats = 1 if given.quick else given.repeats
    watch = Watch()
    source = "digits" if given.quick else str(given.archive.resolve())
    problem, held_out = split(source, given.images)
    regs = np.geomspace(1e-5, 1e-1, given.regs).tolist()
    record = measure(problem, regs, given.threads, repeats)
    cv = measure_cv(problem, held_out, record["members"], given.cv, given.max_iter, given.threads)
    seconds = record["seconds"]
    rows = [
        (f"path of {len(regs)}", spoken(seconds["path"]), f"{record['passes']:.0f}"),
        (f"hardest alone, reg {record['hardest']:.1e}", spoken(seconds["hardest"]), ""),
        ("all alone", digits(sum(about["alone"]["seconds"] for about in record["members"])), ""),
        (f"LogisticRegressionCV, from {cv['extrapolated_from']}", digits(cv["extrapolated_seconds"]), ""),
    ]
    say(text_table(("", "seconds", "passes"), rows))
    say(f"path / hardest {spoken(record['ratios']['path'])}; at most {AIM:g} is aimed at")
    record = {"n_train": len(problem.y), "n_held_out": len(held_out.y), **record, "logistic_regression_cv": cv}
    facts = watch.facts(("numpy", "scipy", "scikit-learn"))
    about = {"source": Path(source).name, "threads": given.threads, "aim": AIM}
    deliver({"benchmark": "path", **facts, **about, **record}, given.out)


if __name__ == "__main__":
    main()
