"""Reliability: whether predictions with a probability of 80% are correct in 80% of the cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.picture import MUTED, Picture, drawing
from linprobe.explain.seen import check_finite_numbers
from linprobe.shapes import Floats, Labels, check_labels

__all__ = ["Reliability", "reliability", "reliability_picture"]

SUM_TOLERANCE = 1e-3
"""Largest deviation of the sum of an image's probabilities from 1; the rounding of float32 is far smaller."""


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, bin by bin; a bin is open at its lower end and closed at its upper one.

    Attributes:
        edges: (M + 1,) ends of the bins, from 0 to 1, all of one width.
        counts: (M,) images whose highest probability lies in the bin.
        confidence: (M,) mean of these probabilities; NaN for a bin without images.
        accuracy: (M,) share of these images that are classified correctly; NaN likewise.
        ece: expected calibration error, 0..1: sum over the bins of counts / N * |accuracy - confidence|.
    """

    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    ece: float


def reliability(probabilities: Floats, y: Labels, bins: int = 15) -> Reliability:
    """Confidence against accuracy in bins of equal width, and the expected calibration error (ECE).

    Args:
        probabilities: (N, K), each row summing to 1.
        y: (N,) integers in 0..K-1.
        bins: M, at least 1.
    Raises:
        ShapeError, LabelError: the two do not fit, or there is no image.
        ParameterError: a row is not a probability distribution, or bins < 1.
    Source:
        Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2.
    Example:
        >>> round(reliability(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]), bins=2).ece, 6)
        0.35
    """
    probabilities, y = np.asarray(probabilities), np.asarray(y)
    check_labels(y, probabilities)
    if not len(y):
        raise ShapeError("probabilities has no rows; at least one image is needed.")
    if bins < 1:
        raise ParameterError(f"bins = {bins}; expected at least 1.")
    check_finite_numbers("probabilities", probabilities)
    probabilities = probabilities.astype(np.float64)
    off = np.abs(probabilities.sum(axis=1) - 1.0)
    if probabilities.min() < 0.0 or off.max() > SUM_TOLERANCE:
        row = int(off.argmax()) if off.max() > SUM_TOLERANCE else int(probabilities.min(axis=1).argmin())
        raise ParameterError(
            f"probabilities[{row}] is not a distribution (minimum {probabilities[row].min():.4g}, sum "
            f"{probabilities[row].sum():.4g}); expected numbers >= 0 that sum to 1. Pass the softmax of the scores."
        )
    highest = np.minimum(probabilities.max(axis=1), 1.0)
    hit = probabilities.argmax(axis=1) == y
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, highest, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=values, minlength=bins) for values in (highest, hit)]
    confidence, accuracy = (np.divide(s, counts, out=np.full(bins, np.nan), where=counts > 0) for s in sums)
    ece = float(np.abs(sums[0] - sums[1]).sum() / len(y))
    return Reliability(edges, counts.astype(np.int64), confidence, accuracy, ece)


def reliability_picture(found: Reliability) -> Picture:
    """The reliability diagram, and below it the share of images in each bin.

    A bar at the diagonal is calibrated, one below it overconfident, one above it underconfident.
    """
    edges, used = found.edges, found.counts > 0
    width = edges[1] - edges[0]
    middle = (edges[:-1] + edges[1:]) / 2
    total = int(found.counts.sum())
    with drawing(4.4, 4.6, arranged=False) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1.0))
        figure.subplots_adjust(
            left=0.62 / 4.4, right=1.0 - 0.15 / 4.4, bottom=0.48 / 4.6, top=1.0 - 0.55 / 4.6, hspace=0.1
        )
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1.0, zorder=3)
        axes.bar(middle[used], found.accuracy[used], width=0.92 * width, color="#56b4e9", label="accuracy of the bin")
        low = np.minimum(found.accuracy, found.confidence)[used]
        gap = np.abs(found.accuracy - found.confidence)[used]
        axes.bar(
            middle[used], gap, bottom=low, width=0.92 * width, facecolor="none", edgecolor="#d55e00", hatch="////",
            linewidth=0.8, label="gap to its mean confidence",
        )  # fmt: skip
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(0.0, 1.0)
        axes.set_ylabel("accuracy")
        axes.set_title(f"ECE {100 * found.ece:.1f}%  ({total} images)", pad=22)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, columnspacing=1.2)
        below.bar(middle, found.counts / total, width=0.92 * width, color=MUTED)
        below.set_ylabel("share of images")
        below.set_xlabel("confidence: the highest probability")
    missed = np.nansum(found.counts * (found.confidence - found.accuracy))
    lean = "overconfident" if missed > 0 else "underconfident" if missed < 0 else "even"
    return Picture(
        figure,
        f"Reliability diagram of {total} images in {len(found.counts)} bins of confidence: the expected calibration "
        f"error is {100 * found.ece:.1f}%, {lean} on the whole.",
    )
