"""Seconds, passes and memory to the optimum, of linprobe and of the solvers one would take otherwise.

    python -m benchmarks.optimum [ARCHIVE] [--out FILE] [--threads T] [--repeats R] [--budget S] [--quick]
                                 [--problems WORD ...] [--solvers WORD ...] [--images N] [--add]

Nine problems on the pixels of CIFAR-10, / 255 and centred: softmax with L2 at three reg values, hinge and squared hinge
with L2, softmax and hinge with L1 and with the elastic net. `solvers.py` says how the constants of each solver are
mapped to ours, `race.py` how it is judged: by its W and b, in float64, with its clock stopped.

The minimum is that of linprobe's own run to a relative gap of 1e-8: its proved lower bound, if that is within 1e-7,
else the lowest objective that any of them found. Each run has a process of its own, so that its peak memory and its
threads are its own. Times are from the rows in memory to the weights; linprobe's hold its second moment. Solvers run in
interleaved rounds, in an order that rotates. A solver that meets a target in R repetitions is reported by their median;
one that meets none ran once. The record is written anew after each problem: a run that was cut off resumes with --add
and --problems, which may have other repetitions.
--quick takes digits instead of CIFAR-10, and seconds instead of minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.race import TARGETS, Array, Problem, Race, met, thinned
from benchmarks.record import (
    ROOT,
    Watch,
    arguments,
    deliver,
    digits,
    image_archive,
    say,
    skip,
    spread,
    text_table,
    usable_cores,
    why_absent,
)
from benchmarks.solvers import SOLVERS, measure, reference
from linprobe import open_dataset
from linprobe.features.base import Affine
from linprobe.features.pixels import Pixels

PROVE = 3.0
"""Budgets of a solver that the search for the minimum may take."""

PATIENCE = 600.0
"""Seconds beyond its budgets after which a process is taken to hang."""

LABELS = {"softmax": "softmax", "hinge": "hinge", "squared-hinge": "squared hinge"}
PENALTIES = {"l2": "L2", "l1": "L1", "elastic-net": "elastic net"}
KNOWN = {1e-2: 1.788049, 1e-3: 1.681549, 1e-4: 1.616875}
"""Minima of softmax with L2 on all training images of CIFAR-10, by reg, found before this benchmark was written."""


def problems(X: Array, y: Array, affine: Affine | None, known: bool = False) -> list[Problem]:
    """The nine problems over these rows.

    Args:
        known: whether the rows are those of KNOWN.
    """
    made = []
    kinds = [("softmax", "l2", 1e-2), ("softmax", "l2", 1e-3), ("softmax", "l2", 1e-4), ("hinge", "l2", 1e-3)]
    kinds += [("squared-hinge", "l2", 1e-3), ("softmax", "l1", 1e-3), ("softmax", "elastic-net", 1e-3)]
    kinds += [("hinge", "l1", 1e-3), ("hinge", "elastic-net", 1e-3)]
    for loss, penalty, reg in kinds:
        name = f"{LABELS[loss]}, {PENALTIES[penalty]}, reg {reg:g}"
        tol = 1e-4 if penalty == "l2" else 1e-3
        minimum = KNOWN.get(reg) if known and (loss, penalty) == ("softmax", "l2") else None
        made.append(Problem(name, X, y, affine, loss, penalty, reg, certified=tol, known=minimum))
    return made


def read_problems(source: str, images: int | None = None) -> list[Problem]:
    """The problems over the training images of a source, or over `images` of them, drawn with seed 0."""
    train = open_dataset(source).train
    X = train.X if train.rows is None else train.X[train.rows]
    y, everything = train.y, images is None or images >= len(train.y)
    if not everything:
        picked = np.sort(np.random.default_rng(0).choice(len(y), images, replace=False))
        X, y = X[picked], y[picked]
    X = np.ascontiguousarray(X)
    return problems(X, y, Pixels().fit(X).affine, known=everything and source.endswith("cifar10.zip"))


def chosen(names: Sequence[str], words: Sequence[str] | None) -> list[str]:
    """The names that hold one of the words; all without words.

    Raises:
        SystemExit: there is none.
    """
    found = [name for name in names if words is None or any(word.lower() in name.lower() for word in words)]
    if not found:
        raise SystemExit(f"error: none of {list(names)} holds one of {words}")
    return found


def child(task: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own does: the reference, or one run of one solver."""
    problem = next(p for p in read_problems(task["source"], task["images"]) if p.name == task["problem"])
    if task["solver"] is None:
        return reference(problem, task["threads"], task["budget"])
    amounts = None if task["amounts"] is None else tuple(task["amounts"])
    objective = problem.objective(usable_cores())
    race = Race(objective, task["reference"], TARGETS, task["budget"], task["threads"], amounts)
    return measure(SOLVERS[task["solver"]], problem, race)


def in_a_process(task: dict[str, Any]) -> dict[str, Any]:
    """The result of `child`, or {"failed": why}."""
    threads = str(task["threads"])
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    with tempfile.TemporaryDirectory(prefix="linprobe-optimum-") as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.optimum", "--child", json.dumps(task), "--out", str(out)]
        environment = {**os.environ, **dict.fromkeys(pools, threads)}
        limit = PATIENCE + 4.0 * task["budget"]
        try:
            ended = subprocess.run(command, cwd=ROOT, env=environment, timeout=limit, stdout=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return {"failed": f"not at its end after {limit:.0f} s"}
        if ended.returncode or not out.exists():
            return {"failed": f"its process ended with code {ended.returncode}"}
        result: dict[str, Any] = json.loads(out.read_text())
        return result


def race_all(
    problem: Problem, names: Sequence[str], task: dict[str, Any], repeats: int, run: Any = in_a_process
) -> dict[str, Any]:
    """The record of one problem.

    Args:
        names: of the solvers.
        task: source, images, threads and budget.
        repeats: counted runs of a solver that meets a target.
        run: what carries a task out.
    """
    task = {**task, "problem": problem.name}
    minimum = run({**task, "solver": None, "budget": PROVE * task["budget"]})
    if "failed" in minimum:
        raise SystemExit(f"error: {problem.name}: no minimum to compare with: {minimum['failed']}")
    say(f"{problem.name}: minimum {minimum['value']:.9g}, known to {minimum['relative_gap']:.1e}")
    skipped = {name: reason for name in names if (reason := SOLVERS[name].why_not(problem))}
    racing = [name for name in names if name not in skipped]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in racing}
    for repeat in range(repeats):
        first = repeat % max(1, len(racing))
        for name in racing[first:] + racing[:first]:
            before = runs[name]
            if before and ("failed" in before[0] or not any(reached(before[0], minimum["value"]).values())):
                continue
            amounts = None if not before or not before[0]["amounts"] else met_amounts(before[0], minimum["value"])
            found = run({**task, "solver": name, "reference": minimum["value"], "amounts": amounts})
            before.append(found)
            if "failed" not in found:
                least = min(value for _, _, value in found["points"])
                gap = (least - minimum["value"]) / minimum["value"]
                say(f"  {name}: {gap:.1e} after {found['spent']:.1f} s in all")
    for name in racing:
        if "failed" in runs[name][0]:
            skipped[name] = runs[name][0]["failed"]
    finished = {name: [r for r in found if "failed" not in r] for name, found in runs.items() if name not in skipped}
    value = minimum["value"]
    if not minimum["proved"]:
        values = [v for name, found in finished.items() if SOLVERS[name].same for r in found for _, _, v in r["points"]]
        value = min([value, *values])
    return {
        **problem.facts(),
        "repeats": repeats,
        "minimum": {**minimum, "value": value},
        "results": [result(name, found, value) for name, found in finished.items()],
        "skipped": skipped,
    }


def reached(run: dict[str, Any], value: float) -> dict[str, Any]:
    """Where a run meets each target."""
    return met([tuple(point) for point in run["points"]], value, TARGETS)


def met_amounts(run: dict[str, Any], value: float) -> list[int]:
    """Iterations of the quickest run that meets each target."""
    found = {}
    for target in TARGETS:
        enough = [
            amount
            for amount, point in zip(run["amounts"], run["points"], strict=True)
            if (point[2] - value) / value <= target
        ]
        if enough:
            found[min(enough)] = None
    return list(found)


def result(name: str, runs: list[dict[str, Any]], value: float) -> dict[str, Any]:
    """What a record keeps of the runs of one solver."""
    first, solver = runs[0], SOLVERS[name]
    met_in = [reached(run, value) for run in runs]
    targets: dict[str, Any] = {}
    for target in met_in[0]:
        found = [about[target] for about in met_in if about[target] is not None]
        targets[target] = None
        if found:
            targets[target] = {"seconds": spread([f["seconds"] for f in found]), "passes": found[0]["passes"]}
    points = [tuple(point) for point in first["points"]]
    best = min(points, key=lambda point: point[2])
    kept = [about["seconds"] for about in met_in[0].values() if about is not None]
    about = {
        "solver": name,
        "note": solver.note,
        "same_objective": solver.same,
        "targets": targets,
        "best_gap": (best[2] - value) / value,
        "best_seconds": best[0],
        "longest_seconds": max(point[0] for point in points),
        "seconds_in_all": first["spent"],
        "rows_bytes": first["rows_bytes"],
        "peak_bytes": first["peak_bytes"],
        "points": thinned(points, kept),
    }
    if "certified" in first:
        about["certified"] = {**first["certified"], "seconds": spread([run["certified"]["seconds"] for run in runs])}
    return about


HEAD = ("", *(f"to {target:g}, s" for target in TARGETS), "passes", "memory, MB", "")


def table_row(about: dict[str, Any]) -> tuple[str, ...]:
    """A result as a row under HEAD."""
    told = [digits(found["seconds"]["median"]) if found else "" for found in about["targets"].values()]
    passes = [found["passes"] for found in about["targets"].values() if found and found["passes"] is not None]
    memory = "" if about["peak_bytes"] is None else f"{about['peak_bytes'] / 1e6:.0f}"
    remark = "" if all(about["targets"].values()) else f"{about['best_gap']:.1e} after {about['best_seconds']:.1f} s"
    return about["solver"], *told, f"{passes[-1]:.0f}" if passes else "", memory, remark


def main() -> None:
    """Race on every problem, show tables on stderr, deliver the record."""
    parser = arguments(__doc__, "optimum")
    parser.add_argument("archive", type=Path, nargs="?", default=image_archive(), metavar="ARCHIVE")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="T")
    parser.add_argument("--repeats", type=int, default=3, metavar="R")
    parser.add_argument("--budget", type=float, default=120.0, metavar="S", help="seconds of a solver on a problem")
    parser.add_argument("--images", type=int, metavar="N", help="of the training images, drawn with seed 0")
    parser.add_argument("--problems", nargs="+", metavar="WORD", help="those whose name holds one of these words")
    parser.add_argument("--solvers", nargs="+", metavar="WORD", help="likewise")
    parser.add_argument("--quick", action="store_true", help="on digits, with a budget of 2 s, once")
    parser.add_argument("--add", action="store_true", help="keep the other problems of the record in --out")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        return deliver(child(given.child), given.out)
    if given.quick:
        given.budget, given.repeats = min(given.budget, 2.0), 1
    reason = None if given.quick else why_absent(given.archive)
    if reason:
        return skip("optimum", reason, given.out)
    source = "digits" if given.quick else str(given.archive.resolve())
    watch = Watch()
    names = chosen(list(SOLVERS), given.solvers)
    settings = {
        "source": Path(source).name,
        "threads": given.threads,
        "budget": given.budget,
        "targets": list(TARGETS),
    }
    task = {"source": source, "images": given.images, "threads": given.threads, "budget": given.budget}
    task |= {"amounts": None, "reference": None}
    raced: dict[str, dict[str, Any]] = {}
    earlier = json.loads(given.out.read_text()) if given.add and given.out and given.out.exists() else None
    joined(earlier, {"benchmark": "optimum", **watch.facts(libraries()), **settings, "problems": []}, [])
    with tempfile.TemporaryDirectory(prefix="linprobe-optimum-") as cache:
        os.environ["LINPROBE_CACHE_DIR"] = cache
        made = read_problems(source, given.images)
        order = [problem.name for problem in made]
        wanted = chosen(order, given.problems)
        for problem in made:
            if problem.name not in wanted:
                continue
            about = race_all(problem, names, task, given.repeats)
            say(text_table(HEAD, [table_row(line) for line in about["results"]]) + "\n")
            raced[problem.name] = about
            record = {"benchmark": "optimum", **watch.facts(libraries()), **settings, "problems": list(raced.values())}
            record = joined(earlier, record, order)
            if given.out is not None:
                deliver(record, given.out)
    if given.out is None:
        deliver(record, None)


def joined(earlier: dict[str, Any] | None, now: dict[str, Any], order: list[str]) -> dict[str, Any]:
    """The record `now` with the other problems of an earlier one, in this order.

    Raises:
        SystemExit: the earlier one is of another machine, versions or settings. Of another commit it may be: all
            solvers of a problem run side by side, and each problem records its own.
    """
    if earlier is None:
        return now
    for key in ("benchmark", "machine", "versions", "source", "threads", "budget", "targets"):
        before, after = earlier.get(key), now[key]
        if before != after:
            raise SystemExit(f"error: --add: {key} was {before!r} and is {after!r}: measure all anew")
    problems = {
        about["problem"]: {"commit": record["commit"]} | about
        for record in (earlier, now)
        for about in record["problems"]
    }
    shares = [record["share_used_by_others"] for record in (earlier, now)]
    return {
        **now,
        "problems": [problems[name] for name in order if name in problems],
        "seconds_in_all": earlier["seconds_in_all"] + now["seconds_in_all"],
        "share_used_by_others": None if None in shares else max(shares),
        "warning": "; ".join(dict.fromkeys(filter(None, (earlier["warning"], now["warning"])))) or None,
    }


def libraries() -> list[str]:
    """Distributions of the solvers that are installed."""
    packages = {"numpy": "numpy", "scipy": "scipy", "torch": "torch", "cyanure": "cyanure", "sklearn": "scikit-learn"}
    missing = {s.package for s in SOLVERS.values() if "not installed" in (s.why_not(TINY) or "")}
    return [name for package, name in packages.items() if package not in missing]


TINY = replace(
    problems(np.zeros((2, 1), np.uint8), np.arange(2), None)[0],
    name="a problem that any solver fits",
)

if __name__ == "__main__":
    main()
