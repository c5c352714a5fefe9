"""The page "Gradient check": the analytic gradient against differences, and what h does to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from linprobe.gradcheck import CheckedCoordinate, check_gradient
from linprobe.lab.problem import read_objective, sample
from linprobe.lab.protocol import Client, Page, Params
from linprobe.objective import Objective
from linprobe.shapes import Floats

__all__ = ["PAGE"]

STEPS = tuple(float(f"{h:.3g}") for h in 10.0 ** np.linspace(-1.0, -12.0, 45))
"""The values of h of a sweep, four in a decade."""


def check(client: Client, params: Params) -> dict[str, Any]:
    """Every coordinate at one h: analytic, forward, centred, error, kink."""
    objective, W, b = _read(params)
    found = check_gradient(
        objective, W, b, n_coordinates=None, n_images=None, step=params.number("h", low=1e-13, high=1.0)
    )
    names = ("ok", "n_checked", "n_wrong", "n_kinks", "tolerance", "problems")
    return {
        **{name: getattr(found, name) for name in names},
        # what is seen, and not what is judged: of that the check takes off what rounding explains
        "largest_error": max((_error(row) for row in found.coordinates if row.kink is None), default=None),
        "coordinates": [_row(row) for row in found.coordinates],
        "W": W,
        "b": b,
        "objective": objective.value(W, b),
    }


def sweep(client: Client, params: Params) -> dict[str, Any]:
    """The errors of both differences, coordinate by coordinate, for h from 1e-1 to 1e-12."""
    objective, W, b = _read(params)
    found = [check_gradient(objective, W, b, n_coordinates=None, n_images=None, step=h).coordinates for h in STEPS]
    return {
        "h": STEPS,
        "names": [row.name for row in found[0]],
        "forward": [[abs(row.forward - row.analytic) for row in rows] for rows in found],
        "centred": [[abs(row.centred - row.analytic) for row in rows] for rows in found],
        "kinks": [[row.kink is not None for row in rows] for rows in found],
    }


def _error(row: CheckedCoordinate) -> float:
    """|analytic - centred| / max(|analytic|, |centred|), whatever rounding has to do with it."""
    size = max(abs(row.analytic), abs(row.centred))
    return abs(row.analytic - row.centred) / size if size > 0.0 else 0.0


def _row(row: CheckedCoordinate) -> dict[str, Any]:
    return {
        "name": row.name,
        "analytic": row.analytic,
        "forward": row.forward,
        "centred": row.centred,
        "error": _error(row),
        "kink": row.kink,
        "ok": row.ok,
    }


def _read(params: Params) -> tuple[Objective, Floats, Floats]:
    """The objective over points of a planar set, and the weights of `weights_seed`."""
    points, _ = sample(params)
    random = np.random.Generator(np.random.PCG64(params.whole("weights_seed", low=0, high=2**31 - 1)))
    W = np.round(random.standard_normal((points.n_classes, 2)), 2)
    b = np.round(random.standard_normal(points.n_classes), 2)
    return read_objective(params, points), W, b


PAGE = Page("gradient", {"check": check, "sweep": sweep})
