"""Optimizers: from an objective to a Solution, with a Status that says in words why the search ended."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linprobe.optimizers.admm import ADMM
    from linprobe.optimizers.base import Callback, Epoch, Optimizer, Solution, State, Status
    from linprobe.optimizers.dual_ascent import DualAscent
    from linprobe.optimizers.exact import Exact
    from linprobe.optimizers.gradient_descent import GradientDescent
    from linprobe.optimizers.interior_point import InteriorPoint
    from linprobe.optimizers.lbfgs import LBFGS
    from linprobe.optimizers.moments import Moments
    from linprobe.optimizers.newton import Newton
    from linprobe.optimizers.path import Path, reg_grid, solve_path
    from linprobe.optimizers.schedules import SCHEDULES
    from linprobe.optimizers.sgd import SGD
    from linprobe.optimizers.span import SpanOfImages
    from linprobe.optimizers.updates import UPDATES
    from linprobe.optimizers.working_set import WorkingSet

__all__ = [
    "ADMM",
    "LBFGS",
    "SCHEDULES",
    "SGD",
    "UPDATES",
    "Callback",
    "DualAscent",
    "Epoch",
    "Exact",
    "GradientDescent",
    "InteriorPoint",
    "Moments",
    "Newton",
    "Optimizer",
    "Path",
    "Solution",
    "SpanOfImages",
    "State",
    "Status",
    "WorkingSet",
    "reg_grid",
    "solve_path",
]

_MODULES = {
    "ADMM": "admm",
    "Callback": "base",
    "DualAscent": "dual_ascent",
    "Epoch": "base",
    "Exact": "exact",
    "GradientDescent": "gradient_descent",
    "InteriorPoint": "interior_point",
    "LBFGS": "lbfgs",
    "Moments": "moments",
    "Newton": "newton",
    "Optimizer": "base",
    "Path": "path",
    "SCHEDULES": "schedules",
    "SGD": "sgd",
    "Solution": "base",
    "SpanOfImages": "span",
    "State": "base",
    "Status": "base",
    "UPDATES": "updates",
    "WorkingSet": "working_set",
    "reg_grid": "path",
    "solve_path": "path",
}
"""The file of each name: one is imported when it is first used, so that a list of names costs no SciPy."""


def __getattr__(name: str) -> Any:
    """What the room exports under `name`."""
    if name not in _MODULES:
        raise AttributeError(f"module 'linprobe.optimizers' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"linprobe.optimizers.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
