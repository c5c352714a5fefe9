"""The linear image classifier f(x, W) = Wx + b.

    LinearClassifier            a scikit-learn classifier: fit(X, y), predict(X)
    NearestNeighbors            the same, by the vote of the nearest training images
    open_dataset(source)        the images behind a path, by split
    load_model(path)            a trained classifier, from a model file or a run folder
    Objective(X, y, ...)        L(W, b) = (1/N) sum L_i + reg R(W), and its gradient
    losses, penalties           what the objective is made of
    gradcheck.check_gradient    the analytic gradient against differences

Names are imported when they are first used: `import linprobe` itself loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linprobe import data, errors, gradcheck, losses, optimizers, penalties
    from linprobe.classifiers.linear import LinearClassifier
    from linprobe.classifiers.linear_cv import LinearClassifierCV
    from linprobe.classifiers.model_file import load_model
    from linprobe.classifiers.nearest_neighbors import NearestNeighbors
    from linprobe.data.base import open_dataset
    from linprobe.errors import LinprobeError
    from linprobe.objective import Objective
    from linprobe.optimizers.base import Status

    __version__: str

__all__ = [
    "LinearClassifier",
    "LinearClassifierCV",
    "LinprobeError",
    "NearestNeighbors",
    "Objective",
    "Status",
    "__version__",
    "data",
    "errors",
    "gradcheck",
    "load_model",
    "losses",
    "open_dataset",
    "optimizers",
    "penalties",
]

_ROOMS = ("data", "errors", "gradcheck", "losses", "optimizers", "penalties")
"""Rooms that are imported on first use."""

_HOMES = {
    "LinearClassifier": "linprobe.classifiers.linear",
    "LinearClassifierCV": "linprobe.classifiers.linear_cv",
    "LinprobeError": "linprobe.errors",
    "NearestNeighbors": "linprobe.classifiers.nearest_neighbors",
    "Objective": "linprobe.objective",
    "Status": "linprobe.optimizers.base",
    "load_model": "linprobe.classifiers.model_file",
    "open_dataset": "linprobe.data.base",
}
"""Module of each public name, which is imported on first use."""


def __getattr__(name: str) -> Any:
    """The public name `name`, imported now and kept (PEP 562)."""
    value: Any
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _ROOMS:
        return importlib.import_module(f"linprobe.{name}")  # the import itself binds the name here
    elif name == "__version__":
        from importlib.metadata import version

        value = version("linprobe")
    else:
        raise AttributeError(f"module 'linprobe' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
