"""The page "Scores to loss": one row of scores, and how each loss makes its number of it."""

from __future__ import annotations

from typing import Any

from linprobe.lab.protocol import Client, Page, Params
from linprobe.losses import LOSSES, make_loss

__all__ = ["PAGE"]

MOST_CLASSES = 10


def explain(client: Client, params: Params) -> dict[str, Any]:
    """The losses of `scores` (K,) with the label `y`."""
    scores = params.floats("scores", (None,), most=MOST_CLASSES)
    y = params.labels("y", 1, n_classes=len(scores))
    return {"losses": {name: make_loss(name).value(scores[None], y)[0] for name in LOSSES}}


PAGE = Page("scores", {"explain": explain})
