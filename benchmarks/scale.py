"""A pass and a certified optimum at the scale of embeddings: 200,000 float16 rows of 768, K = 1,000, softmax with L2.

    python -m benchmarks.scale [--out FILE] [--images N] [--features D] [--classes K] [--reg REG] [--threads T]
                               [--repeats R] [--quick]

Seeded rows: a centre for each class, and noise. A pass is 4 N D K operations, a multiplication and an addition counting
as two. Its rate is compared with that of NumPy's sgemm with as many threads, in interleaved rounds of one process, on
blocks of the shapes that a pass multiplies. Memory is what the process takes above what it held before, the
rows among that. The optimum is found by `LBFGS` to a certified relative gap of 1e-3, once; its time holds the second
moment.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.race import Problem, peak_memory
from benchmarks.record import (
    Watch,
    arguments,
    compared,
    deliver,
    digits,
    interleaved,
    say,
    spoken,
    spread,
    text_table,
    usable_cores,
)
from linprobe.engines.base import Precision
from linprobe.optimizers import LBFGS

TOL = 1e-3
SPREAD = 0.2
"""Deviation of a class centre's coordinate, that of the noise being 1."""

BLOCK = 8192
"""Rows of a block that sgemm multiplies."""

PAUSE = 0.3
"""Seconds between two implementations: the threads of a BLAS may spin after their last work."""


def embeddings(n_images: int, n_features: int, n_classes: int, reg: float) -> Problem:
    """Seeded float16 rows about a centre for each class, made in blocks."""
    random = np.random.default_rng(0)
    y = random.permutation(np.arange(n_images) % n_classes)
    centres = SPREAD * random.standard_normal((n_classes, n_features), dtype=np.float32)
    X = np.empty((n_images, n_features), np.float16)
    for start in range(0, n_images, BLOCK):
        labels = y[start : start + BLOCK]
        X[start : start + BLOCK] = centres[labels] + random.standard_normal((len(labels), n_features), dtype=np.float32)
    return Problem(f"embeddings, reg {reg:g}", X, y, None, "softmax", "l2", reg, certified=TOL)


def measure_pass(problem: Problem, threads: int, repeats: int) -> dict[str, Any]:
    """Seconds and rate of loss and gradient, and the rate of sgemm."""
    objective = problem.objective(threads)
    (N, D), K = problem.X.shape, problem.n_classes
    random = np.random.default_rng(1)
    W, b = 0.01 * random.standard_normal((K, D)), np.zeros(K)
    n = min(BLOCK, N)
    rows = random.standard_normal((n, D), dtype=np.float32)
    templates, scores = W.astype(np.float32), np.empty((n, K), np.float32)
    gradient = np.empty((K, D), np.float32)
    blocks = max(1, N // n // 4)

    def sgemm() -> None:
        for _ in range(blocks):
            np.matmul(rows, templates.T, out=scores)
            np.matmul(scores.T, rows, out=gradient)

    memory: dict[str, Any] = {}
    with threadpool_limits(threads), peak_memory(memory):
        implementations = {
            "linprobe": lambda: objective.data_gradient(W, b, precision=Precision.SINGLE),
            "sgemm": sgemm,
        }
        times = interleaved(implementations, repeats, pause=PAUSE)
    work = {"linprobe": 4.0 * N * D * K, "sgemm": 4.0 * blocks * n * D * K}
    # rates are in operations a second, and their ratio is that of seconds per operation
    per_operation = {name: [t / work[name] for t in found] for name, found in times.items()}
    shares = compared(per_operation, "linprobe")["ratios"]["sgemm"]
    return {
        "seconds": spread(times["linprobe"]),
        "gflops": {name: spread([1e-9 / t for t in found]) for name, found in per_operation.items()},
        "share_of_sgemm": shares,
        "engine": objective.engine.describe(),
        **memory,
    }


def measure_optimum(problem: Problem, threads: int) -> dict[str, Any]:
    """LBFGS to the certificate, once."""
    objective = problem.objective(threads)
    memory: dict[str, Any] = {}
    with peak_memory(memory):
        began = time.perf_counter()
        solution = LBFGS(problem.certified).minimize(objective)
        seconds = time.perf_counter() - began
    certificate = solution.certificate
    assert certificate is not None
    return {
        "tol": problem.certified,
        "status": solution.status.name,
        "seconds": seconds,
        "passes": solution.passes,
        "objective": certificate.objective,
        "lower_bound": certificate.lower_bound,
        "relative_gap": certificate.relative_gap,
        **memory,
    }


def main() -> None:
    """Time a pass, find the optimum, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "scale")
    parser.add_argument("--images", type=int, metavar="N", help="[default: 200000]")
    parser.add_argument("--features", type=int, default=768, metavar="D")
    parser.add_argument("--classes", type=int, metavar="K", help="[default: 1000]")
    parser.add_argument("--reg", type=float, default=1e-4, metavar="REG")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="T")
    parser.add_argument("--repeats", type=int, default=3, metavar="R")
    parser.add_argument("--quick", action="store_true", help="5,000 rows of 100 classes, once")
    given = parser.parse_args()
    n_images = given.images or (5_000 if given.quick else 200_000)
    n_classes = given.classes or (100 if given.quick else 1_000)
    watch = Watch()
    problem = embeddings(n_images, given.features, n_classes, given.reg)
    a_pass = measure_pass(problem, given.threads, 1 if given.quick else given.repeats)
    optimum = measure_optimum(problem, given.threads)
    rows = [
        ("a pass", spoken(a_pass["seconds"], "s")),
        ("its rate", spoken(a_pass["gflops"]["linprobe"], "GFLOP/s")),
        ("that of sgemm", spoken(a_pass["gflops"]["sgemm"], "GFLOP/s")),
        ("share", spoken(a_pass["share_of_sgemm"], "%", 100.0)),
        (f"optimum, {optimum['status']}", f"{digits(optimum['seconds'])} s, {optimum['passes']:.0f} passes"),
        ("its gap", f"{optimum['relative_gap']:.1e}"),
        ("its memory above the rows", f"{(optimum['peak_bytes'] or 0) / 1e6:.0f} MB"),
    ]
    say(text_table(("", f"{n_images:,} x {given.features:,}, K = {n_classes:,}"), rows))
    record = {"rows_bytes": problem.X.nbytes, "threads": given.threads, "pass": a_pass, "optimum": optimum}
    deliver({"benchmark": "scale", **watch.facts(("numpy",)), **problem.facts(), **record}, given.out)


if __name__ == "__main__":
    main()
