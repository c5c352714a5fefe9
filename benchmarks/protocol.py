"""A published protocol of linear evaluation: 45 values of C, all solved by `linprobe sweep`, against scikit-learn.

    python -m benchmarks.protocol [--out FILE] [--threads T] [--repeats R] [--count N] [--scikit N] [--max-iter M]
                                  [--images N] [--features D] [--classes K] [--quick]

The protocol tries C from 1e-6 to 1e5 in equal steps of log C by scikit-learn's lbfgs in float64, with tol 1e-12 and
max_iter 1000, each from zero weights. scikit-learn minimises C sum L_i + sum W² / 2: our reg is 1/(2 C N).

The data are made here from a seed: 19,992 x 1,024 float32, eigenvalues of the covariance as k^-0.6, 17 classes, labels
drawn from the softmax of a teacher, scaled until it is right for nine in ten. A tenth as many images more are the
validation split by which C is chosen, and as many the test split. All 45 are solved on the 19,992.

Timed: the command `linprobe sweep`, its start and the reading of the file included; and within it the grid (all 45 to
their certificates), the choice among them, and the refit of the best. scikit-learn solves a few of the values, evenly
spread; its time for all is interpolated between these, in the order of C, and said to be extrapolated. How near it came
is judged by our objective in float64, against our lower bound.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.made import Array, Labels, drawn_by_teacher, regs_of
from benchmarks.many_classes import pass_time
from benchmarks.record import ROOT, Watch, arguments, deliver, digits, say, spoken, spread, text_table, usable_cores
from linprobe import Objective
from linprobe.runs.records import as_json
from linprobe.runs.sweep import SweepSettings, sweep

LOW, HIGH, COUNT = 1e-6, 1e5, 45
"""The values of C."""

AIM_SECONDS, AIM_TIMES = 10.0, 100.0
"""Seconds that the grid may take on two cores, and the times that it is to be as fast as scikit-learn."""

SCIKIT_TOL = 1e-12
"""Its tol in the protocol."""


def write_data(folder: Path, n_images: int, n_features: int, n_classes: int) -> tuple[Path, float]:
    """(the file, accuracy of the teacher): an .npz with the training images, and a tenth more to choose and to test."""
    n_more = max(n_classes, n_images // 10)
    X, y, accuracy = drawn_by_teacher(n_images + 2 * n_more, n_features, n_classes)
    parts = {"train": slice(0, n_images), "val": slice(n_images, n_images + n_more), "test": slice(-n_more, None)}
    path = folder / "protocol.npz"
    np.savez(path, **{f"{name}_{part}": rows[at] for part, at in parts.items() for name, rows in (("x", X), ("y", y))})
    return path, accuracy


def training(path: Path) -> tuple[Array, Labels]:
    """The training images and their labels."""
    with np.load(path) as file:
        return file["x_train"], file["y_train"]


def run_command(source: Path, regs: list[float], threads: int, out: Path) -> dict[str, Any]:
    """Seconds of the command `linprobe sweep` as a process of its own, and the metrics that it prints."""
    program = "import sys; from linprobe.cli import main; sys.exit(main())"
    grid = ",".join(repr(reg) for reg in regs)
    words = ["sweep", str(source), "--reg-grid", grid, "--threads", str(threads), "--out", str(out), "--json"]
    began = time.perf_counter()
    ended = subprocess.run([sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if ended.returncode:
        raise SystemExit(f"error: linprobe sweep ended with code {ended.returncode}: {ended.stderr.strip()}")
    return {"seconds": seconds, "metrics": json.loads(ended.stdout)}


def run_function(source: Path, regs: list[float], threads: int, out: Path) -> dict[str, Any]:
    """Seconds of `linprobe.runs.sweep.sweep`, and the share of it that is the grid."""
    began = time.perf_counter()
    result = sweep(SweepSettings(str(source), tuple(regs)), out=out, n_threads=threads)
    seconds = time.perf_counter() - began
    part = json.loads((out / "part-1.json").read_text())
    return {"seconds": seconds, "grid_seconds": part["seconds"], "metrics": as_json(result.metrics)}


def members(C: list[float], metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of each value of C, in the order of `C`, which ascends."""
    rows = sorted(metrics["grid"], key=lambda row: -float(row["reg"]))
    found = []
    for value, row in zip(C, rows, strict=True):
        certificate = row["certificates"][0]
        found.append(
            {
                "C": value,
                "reg": row["reg"],
                "status": row["statuses"][0],
                "objective": certificate["objective"],
                "lower_bound": certificate["lower_bound"],
                "relative_gap": certificate["relative_gap"],
                "passes": certificate["passes"],
                "train_accuracy": row["train_accuracy"],
                "validation_accuracy": row["validation_accuracy"],
            }
        )
    return found


def measure_scikit(
    X: Array, y: Labels, about: list[dict[str, Any]], count: int, max_iter: int, threads: int
) -> dict[str, Any]:
    """scikit-learn on `count` of the members, and the sum over all of them, interpolated between these."""
    from sklearn.linear_model import LogisticRegression

    few = sorted({round(i) for i in np.linspace(0, len(about) - 1, count)})
    wide = X.astype(np.float64)
    objective = Objective(X, y, loss="softmax", penalty="l2", reg=1.0, n_threads=usable_cores())
    results = []
    for i in few:
        model = LogisticRegression(C=about[i]["C"], tol=SCIKIT_TOL, max_iter=max_iter)
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that max_iter was reached is said by the gap
            began = time.perf_counter()
            model.fit(wide, y)
            seconds = time.perf_counter() - began
        one = objective.with_reg(about[i]["reg"])
        value = one.data_gradient(model.coef_, model.intercept_).loss + one.penalty_value(model.coef_)
        least = about[i]["lower_bound"]
        iterations = int(model.n_iter_[0])
        gap = (value - least) / least if least > 0.0 else None
        results.append({"C": about[i]["C"], "seconds": seconds, "iterations": iterations, "gap": gap})
        say(f"  scikit-learn, C {about[i]['C']:.3g}: {seconds:.1f} s, {iterations} iterations, gap {gap:.1e}")
    of_all = np.interp(np.arange(len(about)), few, [found["seconds"] for found in results])
    return {
        "max_iter": max_iter,
        "results": results,
        "seconds": sum(found["seconds"] for found in results),
        "extrapolated_seconds": float(of_all.sum()),
        "extrapolated_from": len(few),
    }


def table_of(about: list[dict[str, Any]]) -> str:
    """The members of the grid, a row each."""
    rows = [
        (
            f"{found['C']:.2e}",
            f"{found['reg']:.2e}",
            found["status"],
            f"{found['relative_gap']:.1e}",
            f"{found['objective']:.3e}",
            f"{found['passes']:.0f}",
            f"{100 * found['validation_accuracy']:.1f}%",
        )
        for found in about
    ]
    return text_table(("C", "reg", "status", "relative gap", "objective", "passes", "validation"), rows)


def main() -> None:
    """Time the sweep and scikit-learn, show tables on stderr, deliver the record."""
    parser = arguments(__doc__, "protocol")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="T")
    parser.add_argument("--repeats", type=int, default=3, metavar="R", help="runs of the command, and of its function")
    parser.add_argument("--count", type=int, default=COUNT, metavar="N", help="values of C")
    parser.add_argument("--scikit", type=int, default=5, metavar="N", help="of which scikit-learn solves some; 0: none")
    parser.add_argument("--max-iter", type=int, default=1000, metavar="M", help="of scikit-learn")
    parser.add_argument("--images", type=int, default=19_992, metavar="N")
    parser.add_argument("--features", type=int, default=1024, metavar="D")
    parser.add_argument("--classes", type=int, default=17, metavar="K")
    parser.add_argument("--quick", action="store_true", help="a small problem, five values, once")
    given = parser.parse_args()
    if given.quick:
        given.images, given.features, given.classes = 1000, 32, 5
        given.count, given.scikit, given.repeats, given.max_iter = 5, 2, 1, 100
    watch = Watch()
    C = np.geomspace(LOW, HIGH, given.count).tolist()
    regs = regs_of(C, given.images)
    commands, functions = [], []
    with tempfile.TemporaryDirectory(prefix="linprobe-protocol-") as name:
        folder = Path(name)
        os.environ["LINPROBE_CACHE_DIR"] = str(folder / "cache")
        source, accuracy = write_data(folder, given.images, given.features, given.classes)
        X, y = training(source)
        unit = pass_time(X, given.classes, given.threads)
        for repeat in range(given.repeats):
            commands.append(run_command(source, regs, given.threads, folder / f"command-{repeat}"))
            functions.append(run_function(source, regs, given.threads, folder / f"function-{repeat}"))
            say(f"  linprobe sweep: {commands[-1]['seconds']:.1f} s; grid {functions[-1]['grid_seconds']:.1f} s")
        unit = 0.5 * (unit + pass_time(X, given.classes, given.threads))
        metrics = functions[-1]["metrics"]
        about = members(C, metrics)
        scikit = measure_scikit(X, y, about, given.scikit, given.max_iter, given.threads) if given.scikit else None
    say(table_of(about) + "\n")
    command = spread([run["seconds"] for run in commands])
    grid = spread([run["grid_seconds"] for run in functions])
    function = spread([run["seconds"] for run in functions])
    certified = sum(found["status"].startswith("certified") for found in about)
    say(f"{certified} of {len(about)} certified; {metrics['passes']:g} shared passes; teacher right for {accuracy:.3f}")
    say(f"pass time {unit:.4g} s; the grid takes {digits(grid['median'] / unit)} of them")
    say(f"linprobe sweep {spoken(command, 's')}, of which the grid {spoken(grid, 's')}; aim {AIM_SECONDS:g} s")
    if scikit is not None:
        times = scikit["extrapolated_seconds"] / command["median"]
        say(
            f"scikit-learn {digits(scikit['extrapolated_seconds'])} s, extrapolated from {scikit['extrapolated_from']} "
            f"of {len(about)} values: {digits(times)} times the command; aim {AIM_TIMES:g}"
        )
    record = {
        "benchmark": "protocol",
        **watch.facts(("numpy", "scipy", "scikit-learn")),
        "threads": given.threads,
        "n_train": given.images,
        "n_features": given.features,
        "n_classes": given.classes,
        "teacher_accuracy": accuracy,
        "pass_seconds": unit,
        "command_seconds": command,
        "function_seconds": function,
        "grid_seconds": grid,
        "passes": metrics["passes"],
        "certified": certified,
        "members": about,
        "chosen_reg": metrics["reg"],
        "test_accuracy": metrics["test_accuracy"],
        "scikit_learn": scikit,
        "aim_seconds": AIM_SECONDS,
        "aim_times": AIM_TIMES,
    }
    deliver(record, given.out)


if __name__ == "__main__":
    main()
