"""The page "Scores to loss": rows of scores, and how each loss makes its number of one of them, term by term."""

from __future__ import annotations

from typing import Any

import numpy as np

from linprobe.errors import ParameterError
from linprobe.lab.protocol import Client, Page, Params
from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.shapes import Floats, Labels

__all__ = ["PAGE"]

MOST_CLASSES = 10
"""Classes of the table, at most."""

MOST_ROWS = 10
"""Images of the table, at most."""

LARGEST = 1e4
"""Absolute value of a score, at most."""
CURVE = 161
"""Points of a curve: with a span of a multiple of 8, every twentieth is a round number."""


def explain(client: Client, params: Params) -> dict[str, Any]:
    """The losses of the rows of `scores` (N, K) with the labels `y` (N,), and all about row `row`.

    `moved` is the class whose score the curves move, over `low`..`high`; `jiggle` the size of a small change.
    """
    scores = params.floats("scores", (None, None), most=MOST_ROWS, size=LARGEST)
    if scores.shape[1] < 2:
        raise ParameterError(f"scores has {scores.shape[1]} class; expected at least 2.")
    K = scores.shape[1]
    y = params.labels("y", len(scores), n_classes=K)
    row, moved = params.whole("row", low=0, high=len(scores) - 1), params.whole("moved", low=0, high=K - 1)
    low, high = (params.number(name, low=-2 * LARGEST, high=2 * LARGEST) for name in ("low", "high"))
    jiggle = params.number("jiggle", low=0, high=LARGEST)
    hinge = MulticlassHinge(params.number("delta", low=0, open_low=True))
    losses = (hinge, SquaredHinge(hinge.delta), SoftmaxCrossEntropy())
    s, label = scores[row], y[row : row + 1]
    ticks = np.linspace(low, high, CURVE)
    swept = np.repeat(s[None], CURVE, axis=0)
    swept[:, moved] = ticks
    # row 2 j has s_j less the jiggle, row 2 j + 1 has it more
    jiggled = np.repeat(s[None], 2 * K, axis=0)
    jiggled[np.arange(2 * K), np.arange(2 * K) // 2] += jiggle * np.tile([-1.0, 1.0], K)
    zeros = np.zeros((1, K))
    return {
        "losses": {loss.name: loss.value(scores, y) for loss in losses},
        "means": {loss.name: loss.value(scores, y).mean() for loss in losses},
        "terms": {
            "margins": _off_label(hinge.kinks(s[None], label)[0], label),
            **{loss.name: _terms(loss, s, label) for loss in losses[:2]},
        },
        "softmax": _softmax(s, label),
        "gradients": {loss.name: loss.value_and_gradient(s[None], label)[1][0] for loss in losses},
        "doubled": {loss.name: loss.value(2.0 * s[None], label)[0] for loss in losses},
        "zero": {loss.name: loss.value(zeros, label)[0] for loss in losses},
        # the sum with j = y has one term more: that of a score against itself
        "own_term": hinge.value(s[None, label].repeat(2, axis=1), np.zeros(1, np.int64))[0],
        "jiggled": {loss.name: loss.value(jiggled, label.repeat(2 * K)).reshape(K, 2) for loss in losses},
        "curve": {
            "scores": ticks,
            **{loss.name: loss.value(swept, label.repeat(CURVE)) for loss in losses},
        },
    }


def _off_label(values: Floats, label: Labels) -> list[float | None]:
    """The values as a list, without that of the label."""
    return [None if j == label[0] else float(value) for j, value in enumerate(values)]


def _terms(loss: MulticlassHinge | SquaredHinge, s: Floats, label: Labels) -> list[float | None]:
    """The terms of the sum over j != y: each is the loss of the two scores (s_y, s_j) alone."""
    pairs = np.stack([np.full_like(s, s[label[0]]), s], axis=1)
    return _off_label(loss.value(pairs, np.zeros(len(s), np.int64)), label)


def _softmax(s: Floats, label: Labels) -> dict[str, Any]:
    """The steps of the softmax loss: e^s, their sum, the probabilities and their logarithms."""
    loss = SoftmaxCrossEntropy()
    with np.errstate(over="ignore"):  # shown as infinite: the reason why the loss takes the largest score off first
        exponentials = np.exp(s)
        total = exponentials.sum()
    return {
        "exponentials": exponentials,
        "sum": total,
        "probabilities": loss.probabilities(s[None])[0],
        "log_probabilities": loss.log_probabilities(s[None])[0],
        "loss": loss.value(s[None], label)[0],
    }


PAGE = Page("scores", {"explain": explain})
