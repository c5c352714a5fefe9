"""Optimizers: from an objective to a Solution, with a Status that says in words why the search ended."""

from __future__ import annotations

from linprobe.optimizers.admm import ADMM
from linprobe.optimizers.base import Callback, Epoch, Optimizer, Solution, State, Status
from linprobe.optimizers.dual_ascent import DualAscent
from linprobe.optimizers.exact import Exact, Moments
from linprobe.optimizers.gradient_descent import GradientDescent
from linprobe.optimizers.interior_point import InteriorPoint
from linprobe.optimizers.lbfgs import LBFGS
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
