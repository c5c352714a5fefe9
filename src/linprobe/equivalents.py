"""The constants with which other tools minimise the same objective: C, alpha, weight_decay, margins."""

from __future__ import annotations

from linprobe.losses.base import Loss
from linprobe.penalties.base import Penalty
from linprobe.shapes import Floats

__all__ = ["equivalents"]


MOST_WEIGHTS = 20
"""Weights of classes, at most, that are written out: more are no line that anyone reads."""


def equivalents(
    loss: Loss,
    penalty: Penalty | None,
    reg: float,
    *,
    n_classes: int,
    total_weight: float,
    weighted: bool,
    class_weights: Floats | None = None,
) -> list[str]:
    """A line for each other tool, with its constants for this objective, or with what differs.

    Args:
        loss, penalty, reg: of the objective.
        n_classes: K.
        total_weight: sum of the sample weights; N without any.
        weighted: whether there are sample weights.
        class_weights: (K,) the weight of every image of a class, where all images of each class have the same.
    Example:
        >>> from linprobe.losses import SoftmaxCrossEntropy
        >>> from linprobe.penalties import L2
        >>> lines = equivalents(SoftmaxCrossEntropy(), L2(), 1e-3, n_classes=10, total_weight=50_000, weighted=False)
        >>> lines[1]
        '  scikit-learn, LIBLINEAR: C = 1/(2 reg N) = 0.01, l1_ratio = 0'
    """
    return [
        *_loss_equivalents(loss, n_classes),
        *(_weight_equivalents(loss, class_weights) if weighted else ()),
        *_penalty_equivalents(penalty, reg, n_classes, total_weight, weighted),
    ]


def _weight_equivalents(loss: Loss, class_weights: Floats | None) -> list[str]:
    """How other tools take the weights w of the images."""
    if class_weights is None:
        return ["  weights: pass w as sample_weight to scikit-learn; in PyTorch, use sum w_i L_i / sum w"]
    values = ", ".join(f"{weight:.6g}" for weight in class_weights[:MOST_WEIGHTS])
    more = ", ..." if len(class_weights) > MOST_WEIGHTS else ""
    torch = "CrossEntropyLoss(weight=w)" if loss.is_cross_entropy else "sum w_i L_i / sum w"
    return [
        f"  weights: class k has weight w[k], w = [{values}{more}]",
        f"  weights: scikit-learn takes w as class_weight; in PyTorch, use {torch}",
    ]


def _loss_equivalents(loss: Loss, K: int) -> list[str]:
    if loss.is_cross_entropy:
        return ["  PyTorch: CrossEntropyLoss() is this data loss, and so is scikit-learn's log_loss"]
    if (p := loss.margin_power) is not None:
        name = "hinge" if p == 1 else "squared_hinge"
        margin = f"MultiMarginLoss(p={p}, margin={loss.unit:g})"
        lines = [f"  PyTorch: {margin} is this data loss times 1/K = 1/{K}"]
        if K == 2 and loss.unit == 1.0:
            lines.append(f"  scikit-learn: SGDClassifier(loss={name!r}) has this data loss")
            lines.append(f"  scikit-learn, LIBLINEAR: LinearSVC(loss={name!r}) too, but it penalises the bias")
        if K > 2:
            lines.append(
                "  scikit-learn, LIBLINEAR: their SVMs are one-vs-rest or Crammer-Singer (the largest "
                "margin, not the sum): C and alpha below give the same penalty, but not the same minimum"
            )
        return lines
    return []


def _penalty_equivalents(
    penalty: Penalty | None, reg: float, n_classes: int, total_weight: float, weighted: bool
) -> list[str]:
    coefficients = (0.0, 0.0) if penalty is None else penalty.coefficients
    if coefficients is None:
        return []
    squares, sizes = reg * coefficients[0], reg * coefficients[1]
    if squares == 0.0 and sizes == 0.0:
        return ["  no penalty: scikit-learn C=inf, SGDClassifier(penalty=None), PyTorch weight_decay=0"]
    if n_classes == 2:
        # Two rows (-v, v) act as the one row w = 2v of a binary tool, and sum W² = w²/2, sum |W| = |w|.
        squares /= 2.0
    total = squares * 2.0 + sizes
    ratio = sizes / total
    weight = "sum w" if weighted else "N"
    C = 1.0 / (total * total_weight)
    lines = [
        f"  scikit-learn, LIBLINEAR: C = 1/({_in_symbols(penalty, n_classes)} {weight}) = {C:.6g}, "
        f"l1_ratio = {ratio:.6g}",
        f"  scikit-learn: SGDClassifier(alpha={total:.6g}, l1_ratio={ratio:.6g})"
        + (", the weights scaled to mean 1" if weighted else ""),
    ]
    if sizes == 0.0:
        decay = 2.0 * reg * coefficients[0]
        lines.append(f"  PyTorch: weight_decay = 2 reg = {decay:.6g}, on W and not on b")
    else:
        lines.append("  PyTorch: weight_decay has no |W|; add reg R(W) to the loss")
    if n_classes == 2:
        lines.append("  (binary tools keep one row, w = W[1] - W[0]; C and alpha are those of w)")
    return lines


def _in_symbols(penalty: Penalty | None, n_classes: int) -> str:
    """1 / (C N), written with reg and the parameters of the penalty."""
    squares, sizes = ("0", "0") if penalty is None else penalty.coefficient_symbols
    halves = "" if n_classes == 2 else "2 "
    if sizes == "0":
        return f"{halves}reg" if squares == "1" else f"{halves}{squares} reg"
    if squares == "0":
        return "reg" if sizes == "1" else f"{sizes} reg"
    return f"reg ({sizes} + {halves}{squares})"
