"""Likelihood, divergence and cross-entropy of one image as bars: three readings of the softmax loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from linprobe.errors import ShapeError
from linprobe.explain.picture import CLASS_COLORS, INK, ON_DARK, ON_LIGHT, Picture, drawing, label_text
from linprobe.explain.seen import check_finite_numbers
from linprobe.losses.softmax import SoftmaxCrossEntropy, entropy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Divergence", "divergence", "divergence_picture"]

MOST_CLASSES = 20
"""Classes that are drawn, at most: the label of each needs its width."""

NARROW, TALLEST = 0.38, 1.18
"""Width of a bar as a share of a class, and the top of an axis as a share of its tallest bar."""


@dataclass(frozen=True)
class Divergence:
    """The target P of an image against the probabilities Q of a classifier, in natural logarithms.

        H(P, Q) = -sum P log Q = H(P) + D_KL(P || Q)

    Attributes:
        P, Q: (K,) the target and the probabilities.
        terms: (K,) -P log Q, whose sum is the cross-entropy; 0 where P is 0.
        entropy: H(P).
        divergence: D_KL(P || Q).
        cross_entropy: H(P, Q).
    """

    P: npt.NDArray[np.float64]
    Q: npt.NDArray[np.float64]
    terms: npt.NDArray[np.float64]
    entropy: float
    divergence: float
    cross_entropy: float


def divergence(target: npt.ArrayLike, scores: npt.ArrayLike) -> Divergence:
    """The three quantities of one image.

    Args:
        target: (K,) probabilities P that sum to 1; one-hot for an image with a label.
        scores: (K,), as the classifier gives them; Q is their softmax.
    Raises:
        ShapeError: the two are not vectors of one length.
        ParameterError: P is no distribution, or a score is not finite.
    Example:
        >>> round(divergence([1, 0, 0], [3.2, 5.1, -1.7]).cross_entropy, 2)
        2.04
    """
    P, s = np.asarray(target, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if P.ndim != 1 or P.shape != s.shape:
        raise ShapeError(f"target has shape {P.shape}, scores {s.shape}; expected (n_classes,) for both.")
    check_finite_numbers("scores", s)
    softmax = SoftmaxCrossEntropy()
    cross = float(softmax.cross_entropy(P[None], s[None])[0])  # -0 for a certain and correct answer
    logs = softmax.log_probabilities(s[None])[0]
    return Divergence(
        P,
        np.exp(logs),
        np.where(P > 0.0, -P * logs, 0.0),
        float(entropy(P[None])[0]),
        float(softmax.kl_divergence(P[None], s[None])[0]),
        cross + 0.0,
    )


def divergence_picture(found: Divergence, class_names: Sequence[object]) -> Picture:
    """P and Q of each class as bars; the terms of the cross-entropy; and H(P) and D_KL, which sum to H(P, Q).

    Args:
        found: as `divergence` returns it.
        class_names: K names, at most 20.
    Raises:
        ShapeError: another number of names, or more than 20 classes.
    """
    K = len(found.P)
    if len(class_names) != K or K > MOST_CLASSES:
        raise ShapeError(f"{K} classes, {len(class_names)} names; expected one name each, at most {MOST_CLASSES}.")
    names = [label_text(name, 12) for name in class_names]
    place = np.arange(K)
    bars = min(3.8, 1.2 + 0.56 * K)
    with drawing(2 * bars + 2.4, 2.8) as figure:
        both, terms, total = figure.subplots(1, 3, width_ratios=(bars, bars, 2.2))
        for k, (values, label) in enumerate(((found.P, "P, the target"), (found.Q, "Q, the softmax"))):
            shown = both.bar(place + (k - 0.5) * NARROW, values, NARROW, color=CLASS_COLORS[k], label=label)
            if K <= 5:
                both.bar_label(shown, [f"{value:.2f}" for value in values], fontsize=7.5, color=INK)
        both.set_ylim(0.0, TALLEST)
        both.set_title("probabilities", pad=22)
        both.legend(loc="lower left", bbox_to_anchor=(-0.03, 1.0), ncols=2, columnspacing=1.0, handlelength=1.0)
        shown = terms.bar(place, found.terms, 2 * NARROW, color=CLASS_COLORS[5])
        if K <= 5:
            terms.bar_label(shown, [f"{value:.2f}" for value in found.terms], fontsize=7.5, color=INK)
        terms.set_title("-P log Q of each class", pad=22)
        terms.set_ylim(0.0, TALLEST * max(float(found.terms.max()), 1e-12))
        for axes in (both, terms):
            axes.set_xticks(place, names, rotation=0 if K <= 5 else 90)
        _draw_sum(total, found)
    words = f"H(P) {found.entropy:.3f}, divergence {found.divergence:.3f}, cross-entropy {found.cross_entropy:.3f}"
    return Picture(figure, f"Target and predicted probabilities of {K} classes as bars, and their {words}.")


def _draw_sum(axes: Axes, found: Divergence) -> None:
    """H(P) and D_KL(P || Q) stacked, next to their sum."""
    top = max(found.cross_entropy, 1e-12)
    axes.bar([0.0], [found.entropy], 0.6, color=CLASS_COLORS[0])
    axes.bar([0.0], [found.divergence], 0.6, bottom=[found.entropy], color=CLASS_COLORS[1])
    axes.bar([1.0], [found.cross_entropy], 0.6, color=CLASS_COLORS[5])
    parts = (
        (0.0, found.entropy / 2, f"H(P)\n{found.entropy:.2f}", found.entropy, ON_DARK),
        (0.0, found.entropy + found.divergence / 2, f"D(P||Q)\n{found.divergence:.2f}", found.divergence, ON_LIGHT),
        (1.0, found.cross_entropy / 2, f"H(P, Q)\n{found.cross_entropy:.2f}", found.cross_entropy, ON_DARK),
    )
    for x, y, text, size, color in parts:
        if size > 0.15 * top:  # lower bars have no room for two lines
            axes.text(x, y, text, ha="center", va="center", fontsize=7.5, color=color)
    axes.set_xticks([0.0, 1.0], ["entropy +\ndivergence", "cross-\nentropy"])
    axes.set_ylim(0.0, TALLEST * top)
    axes.set_title("the sums", pad=22)
