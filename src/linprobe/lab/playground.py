"""The page "Playground": points in the plane and weights, what they score, lose and decide, and how optimizers walk."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.neighbors import NeighborModel
from linprobe.data.base import EmbeddingSet
from linprobe.errors import ParameterError
from linprobe.explain.regions import decision_regions
from linprobe.lab.descent import MOST_STEPS, as_json, walk
from linprobe.lab.landscape import surface
from linprobe.lab.problem import LARGEST, MOST_POINTS, Points, read_objective, read_points, read_weights, sample
from linprobe.lab.protocol import Client, Page, Params, packed
from linprobe.scores import scores
from linprobe.shapes import Floats

__all__ = ["PAGE"]

GRID = 240
"""Most points of a grid of regions along a side."""


class _Linear:
    """The class of the highest score, for `decision_regions`."""

    def __init__(self, W: Floats, b: Floats) -> None:
        self.W, self.b = W, b

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) classes."""
        classes: npt.NDArray[np.int64] = scores(X, self.W, self.b).argmax(axis=1)
        return classes


class _Neighbors:
    """The vote of the nearest points, for `decision_regions`."""

    def __init__(self, points: Points, k: int, metric: str) -> None:
        names = tuple(str(c) for c in range(points.n_classes))
        self.k = min(k, len(points.y))
        self.model = NeighborModel(self.k, metric, n_threads=1)
        self.model.fit_sets(EmbeddingSet(points.X, points.y, names, "playground"))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) classes."""
        return self.model.labels_by_k(X, [self.k])[self.k]


def draw(client: Client, params: Params) -> dict[str, Any]:
    """Points of a planar set."""
    points, names = sample(params)
    return {"points": points.X, "labels": points.y, "n_classes": points.n_classes, "class_names": names}


def look(client: Client, params: Params) -> dict[str, Any]:
    """Everything that the page shows of one (W, b): scores, margins and losses of the points, the sums, the regions.

    The margin of a point is s_y less the highest other score: it is classified correctly where that is above 0.
    """
    points = read_points(params)
    W, b = read_weights(params, points.n_classes)
    objective = read_objective(params, points)
    S = scores(points.X, W, b)
    own = S[np.arange(len(S)), points.y]
    others = np.where(np.arange(points.n_classes) == points.y[:, None], -np.inf, S)
    evaluation, dW, db = objective.with_penalty(objective.data_gradient(W, b), W)
    result = {
        "scores": S,
        "margins": own - others.max(axis=1),
        "losses": objective.loss.value(S, points.y),
        "predicted": S.argmax(axis=1),
        "data_loss": evaluation.data_loss,
        "R": 0.0 if objective.penalty is None else objective.penalty.value(W),
        "penalty": evaluation.penalty,
        "objective": evaluation.objective,
        "accuracy": evaluation.accuracy,
        "gradient_norm": evaluation.gradient_norm,
        "dW": dW,
        "db": db,
    }
    if "view" in params:
        low, high = _view(params)
        size = params.whole("size", low=2, high=GRID)
        result["regions"] = packed(decision_regions(_Linear(W, b), low, high, size))
        if "neighbors" in params:
            asked = params.group("neighbors")
            k, metric = asked.whole("k", low=1, high=MOST_POINTS), asked.choice("metric", ("l2", "cosine"))
            regions = decision_regions(_Neighbors(points, k, metric), low, high, max(2, size // 2))
            result["neighbors"] = packed(regions)
    return result


def step(client: Client, params: Params) -> dict[str, Any]:
    """Some steps of an optimizer, from the `state` of the request or from its (W, b)."""
    points = read_points(params)
    W, b = read_weights(params, points.n_classes)
    found = walk(params, read_objective(params, points), W, b)
    certificate = found.certificate
    return {
        "W": found.W,
        "b": found.b,
        "objective": found.objective,
        "status": found.status,
        "state": None if found.state is None else as_json(found.state),
        "learning_rate": found.learning_rate,
        "chosen": found.chosen,
        "batch": found.batch,
        "epoch": found.epoch,
        "certificate": None
        if certificate is None
        else {
            "objective": certificate.objective,
            "lower_bound": certificate.lower_bound,
            "gap": certificate.gap,
            "relative_gap": certificate.relative_gap,
            "words": certificate.describe(),
        },
    }


def landscape(client: Client, params: Params) -> dict[str, Any]:
    """A slice of L(W, b) through the start of a walk and the minimum, with the walk on it."""
    points = read_points(params)
    objective = read_objective(params, points)
    K = points.n_classes
    path_W = params.floats("path_W", (None, K, 2), most=MOST_STEPS, size=LARGEST)
    path_b = params.floats("path_b", (len(path_W), K), most=MOST_STEPS, size=LARGEST)
    return surface(objective, path_W, path_b, params.whole("size", low=5, high=64))


def _view(params: Params) -> tuple[list[float], list[float]]:
    x0, y0, x1, y1 = params.floats("view", (4,), most=4, size=LARGEST)
    if not (x0 < x1 and y0 < y1):
        raise ParameterError(f"view = {x0:g}, {y0:g}, {x1:g}, {y1:g}; expected x0 < x1 and y0 < y1.")
    return [x0, y0], [x1, y1]


PAGE = Page("playground", {"draw": draw, "look": look, "step": step, "landscape": landscape})
