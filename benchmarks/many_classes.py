"""Many classes and other features: our proved optimum against peers, each to a true relative suboptimality of 1e-4.

    python -m benchmarks.many_classes [--data WORD ...] [--regs R ...] [--losses WORD ...] [--solvers WORD ...]
                                      [--images N] [--classes K] [--threads T] [--repeats R] [--budget S]
                                      [--archive FILE] [--folder FOLDER] [--out FILE] [--quick]

The data are made here from a seed (`benchmarks.made`):

    clustered   50,000 x 768 float16, hog+color of CIFAR-10's pictures, its ten classes cut by k-means into 100
    spectrum    50,000 x 768 float16, eigenvalues of the covariance as k^-0.6, 100 classes, 10% of the labels by lot
    digits      60,000 x 784 uint8, scikit-learn's digits enlarged and shifted, ten classes
    hog         50,000 x 3,584 float32, hog+color of CIFAR-10's pictures, standardised, ten classes

All solvers minimise the same objective with the same number of threads, each in a process of its own. Their weights
are judged by our objective in float64, against the largest lower bound that is proved. Solvers that report their
weights run once, the clock stopped while they are judged; the others are run anew for more and more iterations.

Ours has to end with a certificate: its seconds are those to the proof, and in a second column those to the same true
suboptimality as the others'. A pass time is the median time of the two float32 products X Wᵀ and dSᵀ X by NumPy, with
as many threads and in the same process. Readings of the data are the rows that the engine reads, over N; passes count
operations, of 4 N K D.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.made import Array, Labels, by_lot, clustered_pictures, hog_color, shifted_digits
from benchmarks.optimum import LABELS, chosen
from benchmarks.race import Problem, Race, met, thinned
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
from benchmarks.solvers import OURS, SOLVERS, candidate, measure, reference
from linprobe.engines.threads import ThreadsEngine
from linprobe.errors import IncompatibleError
from linprobe.features.base import Affine
from linprobe.features.pixels import Pixels
from linprobe.optimizers import LBFGS, DualAscent, Epoch, Exact, Newton
from linprobe.optimizers.base import Optimizer

TARGETS = (1e-2, 1e-4)
"""Relative suboptimality to be reached; the last is the one that is compared."""

MINIMUM_TOL = 1e-6
"""Relative gap of the run that gives the lower bound which all are judged against: a hundredth of the target."""

PRODUCTS = 7
"""Products of which a pass time is the median."""

PATIENCE, REFERENCE = 300.0, 3.0
"""Seconds beyond its budgets after which a process is taken to hang; budgets that the lower bound may take."""

RACING = (OURS, "PyTorch L-BFGS", "scikit-learn lbfgs", "Cyanure", "rlaopt SAPPHIRE")
"""Solvers that take part if none are named."""

OWN: dict[str, type[Optimizer]] = {
    OURS: Exact,
    "linprobe lbfgs": LBFGS,
    "linprobe newton": Newton,
    "linprobe dual-ascent": DualAscent,
}
"""Ours, and single methods of its plan, which take part if they are named."""

QUICK = {"images": 1500, "features": 32, "classes": 8}


def make(name: str, given: Any) -> tuple[Array, Labels]:
    """X and y of the data set of this name; `given` are the options of the command line."""
    if name == "clustered":
        clusters = max(1, given.classes // 10)
        return clustered_pictures(given.archive, given.images, given.features or 768, clusters)
    if name == "spectrum":
        return by_lot(given.images or 50_000, given.features or 768, given.classes)
    if name == "digits":
        return shifted_digits(given.images or 60_000)
    features, _, labels = hog_color(given.archive, given.images)
    return features, labels


DATA = {"clustered": True, "spectrum": False, "digits": False, "hog": True}
"""Names of the data sets, and whether each needs the archive of CIFAR-10."""


def problem_from(path: Path, name: str, loss: str, reg: float) -> Problem:
    """The problem over rows that were saved; float16 rows are taken as they are, all others are mapped as pixels are,
    scaled or centred."""
    with np.load(path) as file:
        X, y = file["X"], file["y"]
    return Problem(f"{name}, {LABELS[loss]}, reg {reg:g}", X, y, mapped(X), loss, "l2", reg)


def mapped(X: Array) -> Affine | None:
    """Pixels / 255, centred; features of float32 standardised; float16 rows as they are."""
    if X.dtype == np.uint8:
        return Pixels().fit(X).affine
    if X.dtype == np.float16:
        return None
    mean, deviation = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    scale = 1.0 / np.where(deviation > 0.0, deviation, 1.0)
    return Affine(scale, -mean * scale)


def pass_time(X: Array, n_classes: int, n_threads: int) -> float:
    """Median seconds of the two products X Wᵀ and dSᵀ X of a pass by NumPy, for float32 rows X (N, D)."""
    random = np.random.default_rng(0)
    W = random.standard_normal((n_classes, X.shape[1]), dtype=np.float32)
    dS = random.standard_normal((len(X), n_classes), dtype=np.float32)
    seconds = []
    with threadpool_limits(n_threads):
        for _ in range(PRODUCTS):
            began = time.perf_counter()
            X @ W.T, dS.T @ X
            seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


class Readings:
    """Counts the rows that the engine reads, in readings of all N: as a context, while its methods are replaced."""

    WITH_ROWS = ("scores", "loss_and_gradient", "gradient_of_scores", "second_moment", "weighted_moment", "gram")
    WHOLE = ("stacked_loss_and_gradient", "split_step")

    def __init__(self) -> None:
        self.count, self._depth = 0.0, 0

    @contextmanager
    def counting(self) -> Iterator[Readings]:
        """Count what is read meanwhile."""
        names = [*self.WITH_ROWS, *self.WHOLE, "curvature_product"]
        kept = {name: getattr(ThreadsEngine, name) for name in names}
        for name, method in kept.items():
            setattr(ThreadsEngine, name, self._counted(name, method))
        try:
            yield self
        finally:
            for name, method in kept.items():
                setattr(ThreadsEngine, name, method)

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(engine: Any, *given: Any, **named: Any) -> Any:
            if self._depth == 0:  # what a method calls itself is part of it
                self.count += self._share(engine, name, given, named)
            self._depth += 1
            try:
                return method(engine, *given, **named)
            finally:
                self._depth -= 1

        return counted

    def _share(self, engine: Any, name: str, given: tuple[Any, ...], named: dict[str, Any]) -> float:
        """Rows that the call reads, over N."""
        n_images = engine.examples.n_images
        if name == "curvature_product":
            return float(len(given[0].rows)) / n_images
        rows = named.get("rows")
        if rows is None and name in self.WITH_ROWS:  # the one argument that holds positions
            rows = next((a for a in given if isinstance(a, np.ndarray) and a.ndim == 1 and a.dtype == np.int64), None)
        return 1.0 if rows is None else len(rows) / n_images


def run_to_proof(method: Optimizer, problem: Problem, race: Race) -> None:
    """One of our methods to its certificate; the weights of each row of its trace are judged afterwards."""
    objective = problem.objective(race.threads)
    race.more["rows_bytes"] = problem.X.nbytes
    seen: list[tuple[float, float, Array, Array]] = []
    readings = Readings()
    with readings.counting():
        began = time.perf_counter()

        def watch(epoch: Epoch) -> bool:
            seconds = time.perf_counter() - began
            if "W" in epoch.state.arrays:
                parts, b = candidate(epoch)
                seen.append((seconds, epoch.passes, parts[-1], b.copy()))
            return seconds > race.budget

        solution = method.minimize(objective, callback=watch)
        race.spent = time.perf_counter() - began
    race.judge(solution.W, solution.b, race.spent, solution.passes)
    step = max(1, len(seen) // 60)  # a judgement costs a pass in float64
    for seconds, passes, W, b in seen[::-1][::step]:
        race.judge(W, b, seconds, passes)
    certificate = solution.certificate
    assert certificate is not None
    race.more["certified"] = {
        "status": solution.status.name,
        "method": solution.chosen.get("method", method.name),
        "seconds": race.spent,
        "passes": solution.passes,
        "readings": readings.count,
        "relative_gap": certificate.relative_gap,
        "objective": certificate.objective,
        "lower_bound": certificate.lower_bound,
    }


def child(task: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own does: the lower bound, or one run of one solver."""
    problem = problem_from(Path(task["rows"]), task["data"], task["loss"], task["reg"])
    threads = task["threads"]
    if task["solver"] is None:
        return reference(problem, threads, task["budget"], MINIMUM_TOL)
    race = Race(problem.objective(usable_cores()), task["reference"], TARGETS, task["budget"], threads)
    before, name = pass_time(problem.floats(), problem.n_classes, threads), task["solver"]
    if name in OWN:
        try:
            run_to_proof(OWN[name](tol=problem.certified), problem, race)  # type: ignore[call-arg]
        except IncompatibleError as error:
            return {"failed": str(error)}
        result = {"solver": name, "points": race.points, "spent": race.spent, **race.more}
    else:
        result = measure(SOLVERS[name], problem, race)
    after = pass_time(problem.floats(), problem.n_classes, threads)
    return {**result, "pass_seconds": 0.5 * (before + after)}


def in_a_process(task: dict[str, Any]) -> dict[str, Any]:
    """The result of `child`, or {"failed": why}."""
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    with tempfile.TemporaryDirectory(prefix="linprobe-many-") as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.many_classes", "--child", json.dumps(task), "--out", str(out)]
        environment = {**os.environ, **dict.fromkeys(pools, str(task["threads"]))}
        limit = PATIENCE + 4.0 * task["budget"]
        try:
            ended = subprocess.run(command, cwd=ROOT, env=environment, timeout=limit, stdout=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return {"failed": f"it had not ended after {limit:.0f} s"}
        if ended.returncode or not out.exists():
            return {"failed": f"its process ended with code {ended.returncode}"}
        result: dict[str, Any] = json.loads(out.read_text())
        return result


Run = Callable[[dict[str, Any]], dict[str, Any]]


def race_all(problem: Problem, names: list[str], task: dict[str, Any], repeats: int, run: Run) -> dict[str, Any]:
    """The record of one problem: a result for each solver, or why it took no part.

    Args:
        names: of the solvers.
        task: rows, data, loss, reg, threads, budget.
        repeats: counted runs of a solver that meets the target; the solvers are interleaved.
        run: what carries a task out.
    """
    minimum = run({**task, "solver": None, "budget": REFERENCE * task["budget"]})
    if "failed" in minimum:
        raise SystemExit(f"error: {problem.name}: no minimum to compare with: {minimum['failed']}")
    bound = minimum["lower_bound"]
    skipped = {name: reason for name in names if name not in OWN and (reason := SOLVERS[name].why_not(problem))}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names if name not in skipped}
    for _ in range(repeats):
        for name, before in runs.items():
            if before and ("failed" in before[0] or reached(before[0], bound)[f"{TARGETS[-1]:g}"] is None):
                continue
            found = run({**task, "solver": name, "reference": bound})
            before.append(found)
            say(f"  {name}: " + found.get("failed", f"{found.get('spent', 0.0):.1f} s in all"))
    for name, found in runs.items():
        if "failed" in found[0]:
            skipped[name] = found[0]["failed"]
    finished = {name: [r for r in found if "failed" not in r] for name, found in runs.items() if name not in skipped}
    proved = [r["certified"]["lower_bound"] for found in finished.values() for r in found if "certified" in r]
    bound = max([bound, *proved])
    unit = float(np.median([r["pass_seconds"] for found in finished.values() for r in found]))
    results = [result(name, found, bound) for name, found in finished.items()]
    ours = next((about for about in results if about["solver"] == OURS), None)
    return {
        **problem.facts(),
        "rows": str(problem.X.dtype),
        "repeats": repeats,
        "lower_bound": bound,
        "gap_of_bound": minimum["relative_gap"],
        "pass_seconds": unit,
        "results": [with_ratio(about, ours) for about in results],
        "skipped": skipped,
    }


def reached(run: dict[str, Any], bound: float) -> dict[str, Any]:
    """Where a run meets each target."""
    return met([tuple(point) for point in run["points"]], bound, TARGETS)


def result(name: str, runs: list[dict[str, Any]], bound: float) -> dict[str, Any]:
    """What a record keeps of the runs of one solver."""
    first = runs[0]
    met_in = [reached(run, bound) for run in runs]
    targets: dict[str, Any] = {}
    for target in met_in[0]:
        found = [about[target] for about in met_in if about[target] is not None]
        targets[target] = None
        if found:
            targets[target] = {"seconds": spread([f["seconds"] for f in found]), "passes": found[0]["passes"]}
    points = [tuple(point) for point in first["points"]]
    best = min(points, key=lambda point: point[2])
    about: dict[str, Any] = {
        "solver": name,
        "note": "" if name in OWN else SOLVERS[name].note,
        "targets": targets,
        "best_gap": (best[2] - bound) / bound,
        "best_seconds": best[0],
        "seconds_in_all": first["spent"],
        "rows_bytes": first["rows_bytes"],
        "points": thinned(points, [m["seconds"] for m in met_in[0].values() if m is not None]),
    }
    if "certified" in first:
        about["certified"] = {**first["certified"], "seconds": spread([run["certified"]["seconds"] for run in runs])}
    return about


def with_ratio(about: dict[str, Any], ours: dict[str, Any] | None) -> dict[str, Any]:
    """The result of a peer, with its seconds to the last target over ours to the proof, and over ours to the target.

    Where it never gets there the seconds it spent count, and the ratio is a lower bound: "at_least".
    """
    if ours is None or about is ours:
        return about
    target = about["targets"][f"{TARGETS[-1]:g}"]
    theirs = about["seconds_in_all"] if target is None else target["seconds"]["median"]
    same = ours["targets"][f"{TARGETS[-1]:g}"]
    ratios = {
        "at_least": target is None,
        "to_proof": theirs / ours["certified"]["seconds"]["median"],
        "to_target": None if same is None else theirs / same["seconds"]["median"],
    }
    return {**about, "times_ours": ratios}


HEAD = ("", *(f"to {target:g}, s" for target in TARGETS), "pass times", "passes", "readings", "times ours", "")


def table_rows(about: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows under HEAD; ours has one for the weights, and one for the proof."""
    rows, unit = [], about["pass_seconds"]
    for found in about["results"]:
        told = [digits(m["seconds"]["median"]) if m else "" for m in found["targets"].values()]
        last, remark = found["targets"][f"{TARGETS[-1]:g}"], ""
        if last is None:
            remark = f"{found['best_gap']:.1e} after {found['best_seconds']:.1f} s"
        times, ratio = found.get("times_ours"), ""
        if times:
            ratio = f"{'> ' if times['at_least'] else ''}{digits(times['to_proof'])}"
            if not times["at_least"] and times["to_proof"] < 1.0:
                remark = "faster than our proof"
                if times["to_target"] is not None and times["to_target"] < 1.0:
                    remark = "faster than ours"
        in_units = digits(last["seconds"]["median"] / unit) if last else ""
        passes = f"{last['passes']:.0f}" if last and last["passes"] is not None else ""
        rows.append((found["solver"], *told, in_units, passes, "", ratio, remark))
        if "certified" in found:
            proof = found["certified"]
            seconds = proof["seconds"]["median"]
            remark = f"{proof['status']} by {proof['method']}, gap {proof['relative_gap']:.1e}"
            cells = (digits(seconds), digits(seconds / unit), f"{proof['passes']:.0f}", f"{proof['readings']:.0f}")
            rows.append(("  to the proof", *("" for _ in TARGETS[1:]), *cells, "", remark))
    return rows


def losses_of(about: dict[str, Any]) -> list[str]:
    """A line for each peer that is faster than ours."""
    lines = []
    for found in about["results"]:
        times = found.get("times_ours")
        if times and not times["at_least"] and times["to_proof"] < 1.0:
            ratio = 1.0 / times["to_proof"]
            weights = times["to_target"]
            also = "and to the same weights" if weights is not None and weights < 1.0 else "not to the same weights"
            lines.append(f"{about['problem']}: {found['solver']} is {digits(ratio)} times as fast to our proof, {also}")
    return lines


def main() -> None:
    """Race on every problem, show tables on stderr, deliver the record."""
    parser = arguments(__doc__, "many_classes")
    parser.add_argument("--data", nargs="+", metavar="WORD", help=f"those of {', '.join(DATA)} that hold a word")
    parser.add_argument("--regs", type=float, nargs="+", default=[1e-3, 1e-4, 1e-5], metavar="R")
    parser.add_argument("--losses", nargs="+", default=["softmax"], choices=list(LABELS), metavar="WORD")
    parser.add_argument("--solvers", nargs="+", metavar="WORD", help="those whose name holds one of these words")
    parser.add_argument("--images", type=int, metavar="N")
    parser.add_argument("--features", type=int, metavar="D")
    parser.add_argument("--classes", type=int, default=100, metavar="K", help="of clustered and spectrum")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="T")
    parser.add_argument("--repeats", type=int, default=1, metavar="R")
    parser.add_argument("--budget", type=float, default=120.0, metavar="S", help="seconds of a solver on a problem")
    parser.add_argument("--archive", type=Path, default=image_archive(), metavar="FILE")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="keep the data there, or use those there")
    parser.add_argument("--quick", action="store_true", help="small data, one reg, a budget of 2 s")
    parser.add_argument("--child", type=json.loads, help="the task of a process of its own")
    given = parser.parse_args()
    if given.child is not None:
        return deliver(child(given.child), given.out)
    if given.quick:
        given.regs, given.budget, given.repeats = given.regs[:1], min(given.budget, 2.0), 1
        for name, value in QUICK.items():
            setattr(given, name, value)
    wanted = chosen(list(DATA), given.data)
    absent = why_absent(given.archive)
    left_out = {name: absent for name in wanted if DATA[name] and absent}
    names = chosen([*OWN, *(name for name in SOLVERS if name not in OWN and SOLVERS[name].same)], given.solvers)
    names = [OURS, *(name for name in names if name != OURS and (given.solvers or name in RACING))]
    if len(left_out) == len(wanted):
        return skip("many_classes", str(absent), given.out)
    watch, raced, lost = Watch(), [], []
    settings = {"threads": given.threads, "budget": given.budget, "targets": list(TARGETS), "left_out": left_out}
    with tempfile.TemporaryDirectory(prefix="linprobe-many-") as folder:
        os.environ["LINPROBE_CACHE_DIR"] = folder
        for name in wanted:
            if name in left_out:
                say(f"{name}: skipped: {left_out[name]}")
                continue
            path = (given.folder or Path(folder)) / f"{name}.npz"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                X, y = make(name, given)
                np.savez(path, X=X, y=y)
                del X, y
            for loss, reg in itertools.product(given.losses, given.regs):
                problem = problem_from(path, name, loss, reg)
                say(f"{problem.name}: {problem.X.shape} {problem.X.dtype}, {problem.n_classes} classes")
                task = {"rows": str(path.resolve()), "data": name, "loss": loss, "reg": reg}
                task |= {"threads": given.threads, "budget": given.budget}
                about = race_all(problem, names, task, given.repeats, in_a_process)
                say(f"pass time {about['pass_seconds']:.4g} s; bound known to {about['gap_of_bound']:.1e}")
                say(text_table(HEAD, table_rows(about)) + "\n")
                for solver, reason in about["skipped"].items():
                    say(f"  {solver}: skipped: {reason}")
                raced.append(about)
                lost += losses_of(about)
    say("\n".join(["where a peer is faster:", *lost]) if lost else "no peer is faster than ours to the proof")
    record = {"benchmark": "many_classes", **watch.facts(libraries()), **settings, "problems": raced, "lost": lost}
    deliver(record, given.out)


def libraries() -> list[str]:
    """Distributions of the solvers that are installed."""
    packages = {"torch": "torch", "cyanure": "cyanure", "sklearn": "scikit-learn", "rlaopt": "rlaopt"}
    missing = {solver.package for solver in SOLVERS.values() if solver.missing}
    return ["numpy", *(name for package, name in packages.items() if package not in missing)]


if __name__ == "__main__":
    main()
