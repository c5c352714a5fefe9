"""Optimizers: from an objective to a Solution, with a Status that says in words why the search ended."""

from __future__ import annotations

from linprobe.optimizers.admm import ADMM
from linprobe.optimizers.base import Callback, Epoch, Optimizer, Solution, State, Status
from linprobe.optimizers.dual_ascent import DualAscent
from linprobe.optimizers.exact import Exact
from linprobe.optimizers.gradient_descent import GradientDescent
from linprobe.optimizers.lbfgs import LBFGS
from linprobe.optimizers.path import Path, reg_grid, solve_path
from linprobe.optimizers.schedules import SCHEDULES
from linprobe.optimizers.sgd import SGD
from linprobe.optimizers.updates import UPDATES

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
    "Optimizer",
    "Path",
    "Solution",
    "State",
    "Status",
    "reg_grid",
    "solve_path",
]
