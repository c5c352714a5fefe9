"""What the constants of the exact methods are worth: passes to the optimum as each is varied, all others as they are.

    python -m benchmarks.constants [--factor F] [--only WORD ...] [--quick] [--out FILE]

Each constant below is divided and multiplied by F, 3 as given. The problems are scikit-learn's handwritten digits
(1,797 images of 8x8, bytes) and 2,000 rows of 40 float32 features with 12 classes, each with every loss and penalty at
two reg values, tol 1e-4 and 1,000 iterations at most. A row holds the passes that the problems of the constant's method
take, as the geometric mean of their ratios to the passes with the constant as it is, and how many more or fewer of them
end with a certificate. Ratios near 1 on both sides mean that the constant hardly matters here, not that it is right.
"""

from __future__ import annotations

import importlib
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.record import arguments, deliver, machine, say, text_table
from linprobe.features.base import Affine
from linprobe.objective import Objective
from linprobe.optimizers import ADMM, LBFGS

CONSTANTS: dict[str, tuple[str, ...]] = {
    "admm": (
        "FIRST_THRESHOLD", "INNER_STEPS", "TIE_STRENGTH", "FIRST_SLACK", "SLACK_DECAY", "MAX_RHO_IMBALANCE",
        "MAX_RHO_CHANGE", "MAX_SHIFTS", "SAMPLE_SCORES", "RHO_KINKED", "RHO_KINKED_L1", "RHO_SMOOTH", "RHO_SQUARED",
    ),
    "balance": ("SAMPLE_ROWS", "NEWTON_STEPS", "BALANCED"),
    "coordinate_descent": (
        "COUPLING_ROWS", "RIDGE", "MIN_COUPLING", "ALL_FEATURES_SHARE", "MAX_JOINING", "MAX_ROUNDS", "MODEL_TOL",
        "PASS_SHARE",
    ),
    "lbfgs": ("ROUNDING_RATIO",),
    "line_search": ("ARMIJO", "RELATIVE_ROUNDING", "ROUNDING_MARGIN"),
    "pairs": ("MEMORY", "SYMMETRY"),
    "precision_ladder": ("MAX_STALLED", "COARSE_GAP"),
    "preconditioner": ("ROWS_PER_FEATURE", "RIDGE", "SOFT_CURVATURE", "MAX_CURVATURE"),
    "predicted_gap": ("BALANCED_SHIFT",),
    "proofs": ("NEAR_THRESHOLD", "BLAMED_ON_W", "QUICK_ATTEMPTS"),
    "quasi_newton": ("REVIEW_EVERY", "REVIEWED_PAIRS", "MAX_CURVATURE_RATIO", "SCALING_PAIRS"),
}  # fmt: skip
"""By module of `linprobe.optimizers`: what may be varied by a factor."""

SHARES = {"FIRST_THRESHOLD", "SLACK_DECAY", "ALL_FEATURES_SHARE", "BLAMED_ON_W"}
"""Those that lie in 0..1: F times as far from 1 in place of F times as large."""


def problems(quick: bool) -> dict[str, Objective]:
    """Every loss with every penalty on both data sets, by name."""
    pixels, y = load_digits(return_X_y=True)
    X = (pixels * 15).astype(np.uint8)
    affine = Affine(np.full(64, 1 / 255), -X.mean(axis=0) / 255)
    random = np.random.default_rng(0)
    labels = random.integers(0, 12, 2000)
    rows = random.normal(size=(2000, 40)) * np.arange(1, 41) ** -0.5 + 0.5 * random.normal(size=(12, 40))[labels]
    data: dict[str, dict[str, Any]] = {
        "digits": {"X": X, "y": y, "affine": affine},
        "rows": {"X": rows.astype(np.float32), "y": labels},
    }
    regs = (1e-2,) if quick else (1e-2, 1e-4)
    return {
        f"{name}, {loss}, {penalty}, {reg:g}": Objective(**given, loss=loss, penalty=penalty, reg=reg)
        for name, given in data.items()
        for loss in ("softmax", "squared-hinge", "hinge")
        for penalty in ("l2", "l1", "elastic-net")
        for reg in regs
        if not (quick and name == "rows")
    }


def method_of(objective: Objective) -> LBFGS | ADMM:
    """The method that the objective is solved by: L-BFGS for smooth losses, ADMM for the hinge."""
    return LBFGS() if objective.loss.smooth else ADMM(max_iter=1000)


def passes_of(objective: Objective) -> tuple[float, bool]:
    """(passes to the end of the search, whether that is a certificate)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solution = method_of(objective).minimize(objective)
    assert solution.certificate is not None
    return solution.passes, solution.certificate.relative_gap <= 1e-4


def varied(value: Any, name: str, factor: float) -> Any:
    """The constant times the factor: each entry of a dict, at least 1 if it is whole."""
    if isinstance(value, dict):
        return {key: varied(entry, name, factor) for key, entry in value.items()}
    if name in SHARES:
        return 1.0 - (1.0 - value) / factor if factor > 1.0 else max(0.01, 1.0 - (1.0 - value) / factor)
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


@contextmanager
def replaced(module: str, name: str, factor: float) -> Iterator[None]:
    """The constant varied, wherever a module of the room has imported it."""
    room = [loaded for key, loaded in sys.modules.items() if key.startswith("linprobe.optimizers.")]
    before = getattr(importlib.import_module(f"linprobe.optimizers.{module}"), name)
    holders = [loaded for loaded in room if getattr(loaded, name, None) is before]
    if name not in ("MEMORY",):  # the other names are of one module each, whatever others call theirs
        holders = [importlib.import_module(f"linprobe.optimizers.{module}")]
    for holder in holders:
        setattr(holder, name, varied(before, name, factor))
    try:
        yield
    finally:
        for holder in holders:
            setattr(holder, name, before)


def users(module: str, methods: dict[str, str]) -> list[str]:
    """The problems whose method reads the constants of the module."""
    if module == "admm":
        return [name for name, method in methods.items() if method == "admm"]
    smooth = [name for name, method in methods.items() if method == "lbfgs"]
    if module == "coordinate_descent":
        return [name for name in smooth if ", l2, " not in name]
    return [name for name in smooth if ", l2, " in name] if module == "quasi_newton" else smooth


def measure(factor: float, only: list[str], quick: bool) -> list[dict[str, Any]]:
    """A row for each constant: ratios of passes and failures, below and above."""
    objectives = problems(quick)
    methods = {name: method_of(objective).name for name, objective in objectives.items()}
    usual = {name: passes_of(objective) for name, objective in objectives.items()}
    say(f"{len(usual)} problems, {sum(passes for passes, _ in usual.values()):g} passes, "
        f"{sum(not proved for _, proved in usual.values())} without a certificate")  # fmt: skip
    rows = []
    for module, names in CONSTANTS.items():
        chosen = users(module, methods)
        for name in names:
            if only and not any(word in f"{module}.{name}" for word in only):
                continue
            row: dict[str, Any] = {"constant": f"{module}.{name}", "problems": len(chosen)}
            for side, by in (("below", 1.0 / factor), ("above", factor)):
                with replaced(module, name, by):
                    found = {problem: passes_of(objectives[problem]) for problem in chosen}
                logs = [math.log(found[problem][0] / usual[problem][0]) for problem in chosen]
                more = sum(usual[problem][1] and not found[problem][1] for problem in chosen)
                fewer = sum(found[problem][1] and not usual[problem][1] for problem in chosen)
                row[side] = {"ratio": math.exp(sum(logs) / len(logs)), "lost": more, "gained": fewer}
            rows.append(row)
            say(shown([row]))
    return rows


def shown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""

    def cell(side: dict[str, Any]) -> str:
        change = f" ({side['gained'] - side['lost']:+d} certified)" if side["gained"] != side["lost"] else ""
        return f"{side['ratio']:.3f}{change}"

    head = ("constant", "problems", "passes below", "passes above")
    return text_table(head, [(r["constant"], str(r["problems"]), cell(r["below"]), cell(r["above"])) for r in rows])


def main() -> None:
    """Print the table and write the record."""
    parser = arguments(__doc__, "constants")
    parser.add_argument("--factor", type=float, default=3.0, metavar="F")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="constants whose name holds a word")
    parser.add_argument("--quick", action="store_true", help="the digits at one reg value")
    given = parser.parse_args()
    rows = measure(given.factor, given.only, given.quick)
    say("\n" + shown(rows))
    deliver({"benchmark": "constants", "machine": machine(), "factor": given.factor, "rows": rows}, given.out)


if __name__ == "__main__":
    main()
