"""Many classes, softmax or squared hinge with L2: Newton's method and L-BFGS, interleaved, in units of a pass time.

    python benchmarks/many_classes.py VECTORS.npz [--reg 1e-3 1e-4 1e-5] [--loss softmax] [--runs 1]

VECTORS.npz holds X (N, D) and y (N,). A pass time is the median time of the two float32 products X Wᵀ and dSᵀ X by
NumPy with as many threads, measured before and after each run. Passes count operations, 4 N K D a pass.
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.cores import usable_cores
from linprobe.objective import Objective
from linprobe.optimizers import LBFGS, Newton

PRODUCTS = 7


def pass_time(X: np.ndarray, n_classes: int, n_threads: int) -> float:
    """Median seconds of both products."""
    random = np.random.default_rng(0)
    W = random.standard_normal((n_classes, X.shape[1])).astype(np.float32)
    dS = random.standard_normal((len(X), n_classes)).astype(np.float32)
    seconds = []
    with threadpool_limits(n_threads):
        for _ in range(PRODUCTS):
            begin = time.perf_counter()
            X @ W.T, dS.T @ X
            seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def main() -> None:
    """Prints a row for each method, reg and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors")
    parser.add_argument("--reg", type=float, nargs="+", default=[1e-3, 1e-4, 1e-5])
    parser.add_argument("--loss", default="softmax")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=usable_cores())
    given = parser.parse_args()
    with np.load(given.vectors) as file:
        X, y = file["X"], file["y"].astype(np.int64)
    wide, n_classes = X.astype(np.float32), int(y.max()) + 1
    print("reg      method  status     passes  seconds  pass times  gap")
    for reg in given.reg:
        objective = Objective(X, y, loss=given.loss, penalty="l2", reg=reg, n_threads=given.threads)
        for _ in range(given.runs):
            for method in (Newton(), LBFGS()):
                before = pass_time(wide, n_classes, given.threads)
                begin = time.perf_counter()
                solution = method.minimize(objective)
                seconds = time.perf_counter() - begin
                unit = 0.5 * (before + pass_time(wide, n_classes, given.threads))
                gap = solution.certificate.relative_gap
                print(
                    f"{reg:<8g} {method.name:7} {solution.status.name:10} {solution.passes:6.1f} {seconds:8.1f} "
                    f"{seconds / unit:11.1f}  {gap:.1e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
