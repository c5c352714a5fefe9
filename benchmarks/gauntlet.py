"""Random problems of every loss and penalty: how many end with a proof at the defaults, and is any bound false?

    python -m benchmarks.gauntlet [--first N] [--count N] [--tempers WORD ...] [--sizes WORD ...] [--jobs N] [--check]
                                  [--out FILE]

Tempers: `tame`, no weights, |X| of the order of 1 to 10, reg 1e-4..1; `ordinary`, |X| 0.01..1000, reg 1e-5..10,
weights 0 to 1000; `wild`, |X| 1e-8..1e8, reg 1e-10..1e6, constant and repeated columns, missing classes, weights
1e-12..1e6, float16 and uint8. Sizes: `small`, N < 40, D < 80, K < 9; `large`, N to 2000, D to 500, K to 100, each
uniform in its logarithm.

--jobs worker processes solve the problems, each with one thread. Processor seconds are those of the solver alone:
on a busy machine they are steadier than the wall's. Ctrl-C ends the run with a table of what was solved until then.

A problem is certified if its status is CERTIFIED or CERTIFIED_ABSOLUTE. A bound is false if a solution of anybody's
lies below it; --check asks Clarabel for one (small problems only), by code that shares nothing with linprobe.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import text_table
from linprobe import Objective
from linprobe.optimizers import Exact

TEMPERS, SIZES = ("tame", "ordinary", "wild"), ("small", "large")
LOSSES, PENALTIES = ("softmax", "hinge", "squared-hinge"), ("l2", "l1", "elastic-net")


SLOW = 2.0
"""Processor seconds above which a problem is printed."""

Task = tuple[int, str, str, bool]
"""(seed, temper, size, whether Clarabel checks the bound)."""


def draw(seed: int, temper: str, size: str = "small") -> dict[str, Any]:
    """The arguments of an `Objective`: problem `seed` of a temper and a size."""
    random = np.random.default_rng([seed, TEMPERS.index(temper), SIZES.index(size)])
    if size == "small":
        K, D = int(random.integers(2, 9)), int(random.integers(1, 16))
        N = int(random.integers(max(3, K), 40))
        D = int(random.integers(N, 2 * N)) if random.random() < 0.25 else D
    else:
        K, D = (int(np.exp(random.uniform(np.log(low), np.log(high)))) for low, high in ((2, 101), (1, 501)))
        N = int(np.exp(random.uniform(np.log(max(3, K)), np.log(2001))))
    y = np.concatenate([np.arange(K), random.integers(0, K, N)])[:N]
    means = (2.0 * random.standard_normal((K, D)))[y]
    X = random.standard_normal((N, D)) + means * random.choice([0.0, 0.3, 1.0, 3.0])
    weight, dtype, reg = None, np.dtype(np.float64), 10.0 ** random.uniform(-4, 0)
    if temper != "tame":
        X, reg = X * 10.0 ** random.uniform(-2, 2), 10.0 ** random.uniform(-5, 1)
        dtype = np.dtype(random.choice(["f4", "f8"]))
        if random.random() < 0.3:
            weight = random.choice([0.0, 0.5, 1.0, 2.0, 1e-3, 1e3], N)
            weight[:K] = np.maximum(weight[:K], 0.5)
    if temper == "wild":
        X, reg = X * 10.0 ** random.uniform(-6, 6), 10.0 ** random.uniform(-10, 6)
        dtype = np.dtype(random.choice(["f2", "f4", "f8", "u1"]))
        if D > 3:
            X[:, 2], X[:, 1] = random.choice([0.0, 1.0, -3.0]), X[:, 0]
        X += np.abs(X).max() * random.choice([0.0, 0.0, 1.0, 100.0])
        weight = random.choice([1e-12, 1e-6, 1.0, 1e6], N) if random.random() < 0.3 else weight
        y = np.where(y == K - 1, 0, y) if random.random() < 0.15 else y
    if dtype == np.uint8:
        X = np.clip(np.rint(127.0 + 40.0 * X / np.abs(X).max()), 0, 255)
    elif dtype == np.float16:
        X = np.clip(X, -6e4, 6e4)
    loss, penalty = str(random.choice(LOSSES)), str(random.choice(PENALTIES))
    return {
        "X": X.astype(dtype),
        "y": y,
        "loss": loss,
        "penalty": penalty,
        "reg": float(reg),
        "n_classes": K,
        "sample_weight": weight,
    }


def lowest_of_clarabel(objective: Objective) -> float:
    """The objective that Clarabel finds."""
    from tests.oracles.optimum import Data, optimum

    examples = objective.examples
    X = examples.mapped(slice(None))
    weight = np.ones(len(X)) if examples.sample_weight is None else examples.sample_weight
    data = Data(
        X.astype(np.longdouble),
        examples.y,
        weight,
        objective.n_classes,
        objective.loss.name,
        objective.loss.unit,
        objective.l2_weight,
        objective.l1_weight,
        np.abs(X).max(axis=0),
    )
    return float(optimum(data).upper)


def run(task: Task) -> dict[str, Any]:
    """What became of one problem."""
    warnings.simplefilter("ignore")
    seed, temper, size, check = task
    problem = draw(seed, temper, size)
    objective = Objective(**problem, n_threads=1)
    began, cpu = time.perf_counter(), time.process_time()
    solution = Exact().minimize(objective)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    certificate = solution.certificate
    assert certificate is not None
    false = False
    if check:
        lowest = min(lowest_of_clarabel(objective), certificate.objective)
        false = certificate.lower_bound > lowest * (1.0 + 1e-7) + 1e-12
    return {
        "seed": seed,
        "temper": temper,
        "size": size,
        "problem": f"{problem['loss']} {problem['penalty']} reg {problem['reg']:.1e} "
        f"N {len(problem['y'])} D {problem['X'].shape[1]} K {problem['n_classes']} {problem['X'].dtype}",
        "status": solution.status.name,
        "gap": certificate.relative_gap,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "passes": solution.passes,
        "method": solution.chosen.get("method", ""),
        "false": false,
    }


def solved(tasks: list[Task], jobs: int) -> Iterator[dict[str, Any]]:
    """What became of each, in their order."""
    if jobs == 1:
        yield from map(run, tasks)
        return
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read by the workers as they start
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(run, tasks)


def summary(temper: str, size: str, results: list[dict[str, Any]], checked: bool) -> list[str]:
    """A row of the table."""
    seconds = np.array([result["cpu_seconds"] for result in results])
    proved = sum(result["status"].startswith("CERTIFIED") for result in results)
    statuses = Counter(result["status"] for result in results)
    return [
        temper,
        size,
        f"{proved} of {len(results)}",
        str(sum(result["false"] for result in results)) if checked else "",
        f"{np.median(seconds):.3f}",
        f"{np.percentile(seconds, 99):.2f}",
        f"{seconds.max():.2f}",
        str(int((seconds > SLOW).sum())),
        f"{max(result['seconds'] for result in results):.2f}",
        ", ".join(f"{name} {n}" for name, n in sorted(statuses.items())),
    ]


def print_unless_good(result: dict[str, Any]) -> None:
    """A line for a result that is slow, false, or without a proof."""
    if result["status"].startswith("CERTIFIED") and not result["false"] and result["cpu_seconds"] <= SLOW:
        return
    line = "{problem}: {status} by {method}, gap {gap:.1e}, {cpu_seconds:.1f} s, seed {seed}"
    print(line.format(**result), flush=True)


def main() -> int:
    """The exit code: 1 if a bound is false."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--tempers", nargs="+", choices=TEMPERS, default=TEMPERS)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--jobs", type=int, default=1, help="worker processes, of one thread each")
    parser.add_argument("--check", action="store_true", help="compare the bounds with Clarabel's optimum")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows: list[list[str]] = []
    found: list[dict[str, Any]] = []
    stopped = False
    for temper in given.tempers:
        for size in given.sizes:
            checked = given.check and size == "small"
            seeds = range(given.first, given.first + given.count)
            results: list[dict[str, Any]] = []
            try:
                for result in solved([(seed, temper, size, checked) for seed in seeds], given.jobs):
                    results.append(result)
                    print_unless_good(result)
            except KeyboardInterrupt:
                stopped = True
            if results:
                rows.append(summary(temper, size, results, checked))
            found += results
            if stopped:
                break
        if stopped:
            break
    head = ["temper", "size", "certified", "false", "median s", "99% s", "slowest s", "above 2 s", "wall s", "statuses"]
    print(text_table(head, rows))
    if given.out:
        given.out.write_text(json.dumps(found, indent=1))
    return int(any(result["false"] for result in found))


if __name__ == "__main__":
    sys.exit(main())
