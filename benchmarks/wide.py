"""The optimum with |W| and many features: seconds, rounds and zeros of `WorkingSet`, on pictures and on embeddings.

    python -m benchmarks.wide [EMBEDDINGS] [--out FILE] [--threads T] [--tol X] [--shares S ...] [--quick]

Pictures: 300 of 224 x 224 x 3 bytes of noise (seed 0), ten classes, each class brighter in a rectangle of its own;
pixels scaled to -1/2..1/2. EMBEDDINGS, if given, is an npz with X and y (issue 22's many_classes.py makes one): they
are solved by `Exact`, which chooses the method. L1 and the elastic net, every loss, reg as shares of the least reg with
W = 0, which is found from the optimal bias there. One run each: seconds hold all but the reading of the file.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Watch, arguments, deliver, say, text_table, usable_cores
from linprobe import Objective
from linprobe.features import Affine
from linprobe.optimizers import Exact
from linprobe.optimizers.base import Optimizer
from linprobe.optimizers.working_set import WorkingSet

LOSSES = ("softmax", "squared-hinge", "hinge")

Array = np.ndarray[Any, Any]


def pictures(n: int = 300, side: int = 224, n_classes: int = 10, seed: int = 0) -> tuple[Array, Array]:
    """(X (n, side * side * 3) uint8, y (n,)): noise, brighter by 10 to 59 in a rectangle that is the class's own."""
    random = np.random.default_rng(seed)
    X, y = random.integers(0, 256, (n, side, side, 3), dtype=np.uint8), np.arange(n) % n_classes
    corners = random.integers(0, max(1, side * 2 // 3), (n_classes, 2))
    size = max(1, side // 6)
    for picture, label in zip(X, y, strict=True):
        top, left = corners[label]
        part = picture[top : top + size, left : left + size]
        part[:] = np.minimum(part.astype(int) + random.integers(10, 60), 255)
    return X.reshape(n, -1), y


def least_reg(objective: Objective) -> float:
    """The least reg at which W = 0 is optimal: max |A| of a dual point that is optimal there."""
    with_bias = WorkingSet(tol=1e-8).minimize(objective.with_reg(1e6))
    G = with_bias.state.arrays["best_G"]
    A, _ = objective.engine.gradient_of_scores(objective.shares()[:, None] * G, precise=True)
    return float(np.abs(A).max())


def run(name: str, objective: Objective, method: Optimizer, share: float) -> dict[str, Any]:
    """What one optimum took."""
    began, cpu = time.perf_counter(), time.process_time()
    solution = method.minimize(objective)
    assert solution.certificate is not None
    return {
        "data": name,
        "loss": objective.loss.name,
        "penalty": None if objective.penalty is None else objective.penalty.name,
        "share": share,
        "reg": objective.reg,
        "method": solution.chosen.get("method", method.name),
        "status": solution.status.name,
        "gap": solution.certificate.relative_gap,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "passes": solution.passes,
        "not_zero": int(np.count_nonzero(solution.W)),
        "weights": solution.W.size,
    }


def main() -> None:
    """Solve each once, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "wide")
    parser.add_argument("embeddings", type=Path, nargs="?", metavar="EMBEDDINGS")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="T")
    parser.add_argument("--tol", type=float, default=1e-3, metavar="X")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.01], metavar="S")
    parser.add_argument("--penalties", nargs="+", default=["l1", "elastic-net"], metavar="NAME")
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="60 pictures of 24 x 24")
    given = parser.parse_args()
    watch = Watch()
    X, y = pictures(60, 24) if given.quick else pictures()
    middle = Affine(np.full(X.shape[1], 1 / 255), np.full(X.shape[1], -0.5))
    data: list[tuple[str, Array, Array, Affine | None, Optimizer]] = [
        ("pictures", X, y, middle, WorkingSet(tol=given.tol))
    ]
    if given.embeddings is not None:
        with np.load(given.embeddings) as held:
            data.append(("embeddings", held["X"], held["y"].astype(np.int64), None, Exact(tol=given.tol)))
    results = []
    for name, X, y, affine, method in data:
        for loss in given.losses:
            options: dict[str, Any] = {"loss": loss, "reg": 1.0, "affine": affine, "n_threads": given.threads}
            greatest = least_reg(Objective(X, y, penalty="l1", **options))
            for penalty in given.penalties:
                for share in given.shares:
                    objective = Objective(X, y, penalty=penalty, **options).with_reg(share * greatest)
                    results.append(run(name, objective, method, share))
                    found = results[-1]
                    say(f"{name} {loss} {penalty} {share:g}: {found['status']} {found['seconds']:.1f} s")
    head = ("data", "loss", "penalty", "share", "method", "status", "gap", "seconds", "CPU", "passes", "not 0")
    names = ("data", "loss", "penalty", "share", "method", "status")
    rows = [
        (
            *(str(found[name]) for name in names),
            f"{found['gap']:.1e}",
            f"{found['seconds']:.1f}",
            f"{found['cpu_seconds']:.1f}",
            f"{found['passes']:.0f}",
            f"{found['not_zero']} of {found['weights']}",
        )
        for found in results
    ]
    say(text_table(head, rows))
    about = {"threads": given.threads, "tol": given.tol, "quick": given.quick}
    deliver({"benchmark": "wide", **watch.facts(("numpy", "scipy")), **about, "results": results}, given.out)


if __name__ == "__main__":
    main()
