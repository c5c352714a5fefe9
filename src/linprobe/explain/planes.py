"""The geometric view: the plane of each class, its normal and its margin, and the regions of any classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.errors import IncompatibleError, LabelError, ParameterError, ShapeError
from linprobe.explain.confusion import confusion
from linprobe.explain.picture import INK, Picture, class_style, drawing, label_text
from linprobe.explain.regions import Predictor, grid_points
from linprobe.explain.seen import check_finite_numbers, checked_weights, class_position, seen_rows
from linprobe.plain import few
from linprobe.scores import fold

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Planes", "Slice", "planes", "planes_picture", "regions_picture", "slice_picture", "slice_plane"]

GRID_SIZE = 240
"""Grid points along each side of a region map."""

MOST_NAMED = 20
"""Classes up to which there is a legend."""

WIDTH, HEIGHT = 5.6, 4.4
"""Size of a drawing, in inches."""

MOST_POINTS = 1000
"""Points that are drawn, at most, picked evenly from all."""

LONGEST = 3.0
"""Ratio of the sides below which both axes have the same unit; beyond, the axes are stretched to fill the drawing."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Planes:
    """The planes of a linear classifier of points in the plane: lines, s = normal · x + offset = 0.

    Attributes:
        normals: (P, 2), for raw input; each points in the direction in which the score increases.
        offsets: (P,).
        classes: (P,) the class of each plane. For K > 2 classes, one plane per class, where its score is 0. For two
            classes, one plane, where the score of class 1 minus that of class 0 is 0.
        margin: the required difference of the scores (delta) of a hinge loss; None for another loss.
    """

    normals: Numbers
    offsets: Numbers
    classes: npt.NDArray[np.int64]
    margin: float | None


def planes(model: LinearModel) -> Planes:
    """The planes, normals and margin of a linear classifier of points in the plane.

    Raises:
        IncompatibleError: it was trained on rows that are not points in the plane.
        ParameterError: it is not trained, or its weights are not finite.
    """
    W, b = checked_weights(model)
    if W.shape[1] != 2 or model.features_ is not None:
        raise IncompatibleError(
            f"the model reads rows of {W.shape[1]} numbers; planes are drawn of points in the plane, 2. "
            "slice_picture draws a plane through more dimensions."
        )
    if model.affine_ is not None:
        W, b = (part.astype(np.float64) for part in fold(W, b, model.affine_.scale, model.affine_.shift))
    margin = _margin(model)
    if len(W) == 2:
        return Planes(W[1:] - W[:1], b[1:] - b[:1], np.array([1]), margin)
    return Planes(W, b, np.arange(len(W)), margin)


def planes_picture(
    model: LinearModel,
    X: npt.NDArray[Any],
    y: npt.NDArray[Any],
    class_names: Sequence[object] | None = None,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
) -> Picture:
    """Regions, points, and the line of each class with its normal; dashed lines show the margin of the hinge.

    On the line of a class its score is 0 (for two classes: both scores are equal), and the arrow points in the
    direction in which the score increases. Beyond the dashed line of a class its score exceeds all others by the
    margin (delta): points of the class there have no loss.

    Args:
        model: linear, of points in the plane.
        X: (N, 2) points.
        y: (N,) their classes, as positions or as labels of the model.
        class_names: K names; None for the model's own.
        low, high: two corners (x, y) of the drawing; None for corners around the points.
    Raises:
        IncompatibleError: the model is not of points in the plane.
        ShapeError, LabelError, ParameterError: points, labels or corners cannot be used.
    """
    found = planes(model)
    W, b = found.normals, found.offsets
    scores = _two_scores(W, b) if len(W) == 1 else (W, b)
    names = [str(name) for name in (model.class_names_ if class_names is None else class_names)]

    def draw(axes: Axes, points: Numbers) -> None:
        S = points @ scores[0].T + scores[1]
        if found.margin is not None:
            _draw_margins(axes, points, S, found.margin)
        for k, normal, offset in zip(found.classes, W, b, strict=True):
            _draw_line(axes, normal, offset, INK if len(W) == 1 else class_style(int(k))[0])

    def predict(points: Numbers) -> npt.NDArray[np.int64]:
        return _highest(points, *scores)

    labels = _positions(y, model.classes_)
    figure_alt = f"{len(W)} plane{'s' * (len(W) > 1)} with normals"
    figure_alt += f" and the margin {found.margin:g}" if found.margin is not None else ""
    return _picture(predict, X, labels, names, low, high, draw, figure_alt)


def regions_picture(
    classifier: Predictor,
    X: npt.NDArray[Any],
    y: npt.NDArray[Any],
    class_names: Sequence[object] | None = None,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
) -> Picture:
    """The decision regions of any classifier of points in the plane, and the points, with a marker for each class.

    Args:
        classifier: with `predict` and optionally `classes_`: a LinearClassifier, a NearestNeighbors, ...
        X, y, class_names, low, high: as for `planes_picture`.
    Raises:
        IncompatibleError: the classifier does not read rows of two numbers.
        ShapeError, LabelError, ParameterError: points, labels or corners cannot be used.
    """
    features = getattr(classifier, "n_features_in_", 2)
    if features != 2:
        raise IncompatibleError(f"the classifier reads rows of {features} numbers; regions are of the plane, 2.")
    classes = np.asarray(getattr(classifier, "classes_", np.unique(y)))
    names = [str(name) for name in (classes if class_names is None else class_names)]

    def predict(points: Numbers) -> npt.NDArray[np.int64]:
        return _positions(np.asarray(classifier.predict(points)), classes)

    return _picture(predict, X, _positions(y, classes), names, low, high, lambda axes, points: None, "")


@dataclass(frozen=True)
class Slice:
    """A plane in the input space of a linear model, and images projected orthogonally onto it.

    Attributes:
        classes: (m,) the two or three classes of the plane.
        basis: (2, D) orthonormal axes in the space of x'.
        normals: (m, 2) the in-plane parts of the classes' weights.
        offsets: (m,): scores in the plane are points @ normals.T + offsets. For every image, their differences equal
            those of the full scores.
        points: (n, 2) coordinates of the images.
        rows: (n,) positions of the images in the argument: only images of these classes are drawn.
    """

    classes: npt.NDArray[np.int64]
    basis: Numbers
    normals: Numbers
    offsets: Numbers
    points: Numbers
    rows: npt.NDArray[np.int64]


def slice_plane(
    model: LinearModel,
    images: npt.NDArray[Any],
    y: npt.NDArray[Any],
    classes: Sequence[int | str] | None = None,
) -> Slice:
    """The plane spanned by the differences of the weights of three classes, with the images of these classes.

    A move orthogonal to the plane changes no difference of their scores. So every image lies in the region of the
    class with the highest score of the three, though the plane has only two of D dimensions. For two classes, one
    axis is the difference of their weights, the other the orthogonal direction in which their images vary most.

    Args:
        model: linear, trained on pictures or vectors.
        images: (N, height, width, channels), or (N, D) rows that the model reads, such as features; at most 1,000 of
            them are used, picked evenly.
        y: (N,) their classes, as positions or labels of the model.
        classes: two or three, by position or name; None for those confused most often among the images.
    Raises:
        IncompatibleError: the model reads a single number, or the images do not fit it.
        ShapeError, LabelError, ParameterError: labels or classes cannot be used.
    """
    W, b = checked_weights(model)
    if W.shape[1] < 2:
        raise IncompatibleError("the model reads a single number; a plane needs at least 2.")
    y = _positions(y, model.classes_)
    if len(y) != len(images):
        raise ShapeError(f"images has {len(images)} rows but y {len(y)} labels; expected one label per image.")
    if classes is None:
        chosen = _confused(model, images, y)
    else:
        chosen = [class_position(model, wanted) for wanted in classes]
        if len(chosen) not in (2, 3) or len(set(chosen)) != len(chosen):
            raise ParameterError(f"classes = {list(classes)}; expected two or three different classes.")
    rows = np.flatnonzero(np.isin(y, chosen))
    rows = rows[_evenly(len(rows), MOST_POINTS)]
    x = seen_rows(model, images, rows)
    differences = W[chosen[:-1]] - W[chosen[-1]]
    basis = _basis(differences, x)
    return Slice(np.array(chosen), basis, W[chosen] @ basis.T, b[chosen], x @ basis.T, rows)


def slice_picture(
    model: LinearModel,
    images: npt.NDArray[Any],
    y: npt.NDArray[Any],
    classes: Sequence[int | str] | None = None,
    class_names: Sequence[object] | None = None,
) -> Picture:
    """Images of two or three classes, projected onto the plane of their weights, with the decision regions.

    See `slice_plane` for the plane, the arguments and the errors. An image in the region of another class has a higher
    score for that class.
    """
    found = slice_plane(model, images, y, classes)
    names = [str(name) for name in (model.class_names_ if class_names is None else class_names)]
    own = _positions(y, model.classes_)[found.rows]
    place = {int(k): i for i, k in enumerate(found.classes)}
    labels = np.array([place[int(k)] for k in own], dtype=np.int64)
    kept = [names[k] for k in found.classes]

    def predict(points: Numbers) -> npt.NDArray[np.int64]:
        return _highest(points, found.normals, found.offsets)

    def draw(axes: Axes, points: Numbers) -> None:
        S = points @ found.normals.T + found.offsets
        margin = _margin(model)
        if margin is not None:
            _draw_margins(axes, points, S, margin)
        a = kept[0]
        if len(kept) == 2:
            axes.set_xlabel(f"weights of {label_text(a)} minus {label_text(kept[1])}")
            axes.set_ylabel("most variation orthogonal to it")
        else:
            axes.set_xlabel(f"weights of {label_text(a)} minus {label_text(kept[2])}")
            axes.set_ylabel(f"of {label_text(kept[1])} minus {label_text(kept[2])}, orthogonal part")

    return _picture(predict, found.points, labels, kept, None, None, draw, "projected onto the plane of their weights")


def _picture(
    predict: Callable[[Numbers], npt.NDArray[np.int64]],
    X: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    names: Sequence[str],
    low: Sequence[float] | None,
    high: Sequence[float] | None,
    draw: Callable[[Axes, Numbers], None],
    what: str,
) -> Picture:
    """Regions, points and a legend, and the additions of `draw`, which gets the axes and the grid (height, width, 2).

    Args:
        predict: classes (n,) of points (n, 2).
        X, labels, names: the points, their classes as positions in `names`.
        low, high: corners of the drawing, or None.
        what: the additions in words.
    """
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != 2 or len(X) != len(labels):
        raise ShapeError(f"X has shape {X.shape}, y {labels.shape}; expected points (N, 2) and a label for each.")
    check_finite_numbers("X", X)
    if len(labels) and labels.max() >= len(names):
        raise ParameterError(f"class_names has {len(names)} names; expected {labels.max() + 1} or more.")
    low, high = _corners(X, low, high)
    points = grid_points(low, high, GRID_SIZE)
    regions = predict(points.reshape(-1, 2)).reshape(points.shape[:2])
    present = np.unique(labels)
    named = len(present) <= MOST_NAMED
    legend = 0.42 + 0.078 * max((len(label_text(names[k])) for k in present), default=0) if named else 0.1
    picked = _evenly(len(X), MOST_POINTS)
    with drawing(WIDTH, HEIGHT, arranged=False) as figure:
        axes = figure.subplots()
        figure.subplots_adjust(
            left=0.72 / WIDTH, right=1.0 - legend / WIDTH, bottom=0.5 / HEIGHT, top=1.0 - 0.08 / HEIGHT
        )
        _draw_regions(axes, regions, len(names), low, high)
        draw(axes, points)
        _draw_points(axes, X[picked], labels[picked], names)
        if len(present) and named:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.2)
    drawn = f"{len(picked)} of {len(X)} points" if len(picked) < len(X) else f"{len(X)} points"
    alt = f"Decision regions of {len(names)} classes and {drawn}"
    return Picture(figure, f"{alt}; {what}." if what else f"{alt}.")


def _draw_regions(
    axes: Axes, regions: npt.NDArray[np.int64], n_classes: int, low: Sequence[float], high: Sequence[float]
) -> None:
    """The map of the regions between two corners, in pale colours of their classes."""
    from matplotlib.colors import to_rgb

    pale = np.array([0.72 + 0.28 * np.array(to_rgb(class_style(k)[0])) for k in range(n_classes)])
    axes.grid(visible=False)
    axes.imshow(pale[regions], origin="lower", extent=(low[0], high[0], low[1], high[1]), aspect="auto", zorder=0)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    if max(high[0] - low[0], high[1] - low[1]) < LONGEST * min(high[0] - low[0], high[1] - low[1]):
        axes.set_anchor("NW")
        axes.set_aspect("equal")  # so that normals are orthogonal to their lines


def _draw_points(axes: Axes, X: Numbers, labels: npt.NDArray[np.int64], names: Sequence[str]) -> None:
    """Points (n, 2) with the colours and markers of their classes; few points are larger."""
    size = 26 if len(X) <= 200 else 13
    for k in np.unique(labels):
        color, marker = class_style(int(k))
        own = X[labels == k]
        axes.scatter(
            own[:, 0], own[:, 1], s=size, c=color, marker=marker, edgecolors="#fdfdfd", linewidths=0.4, zorder=4,
            label=label_text(names[k]),
        )  # fmt: skip


def _margin(model: LinearModel) -> float | None:
    """The required margin of a loss of margins; None for another loss."""
    return None if model.loss_.margin_power is None else model.loss_.unit


def _draw_margins(axes: Axes, points: Numbers, S: Numbers, margin: float) -> None:
    """For each class, a dashed border of the region where its score exceeds all others by the margin."""
    for k in range(S.shape[-1]):
        lead = S[..., k] - np.delete(S, k, axis=-1).max(axis=-1)
        if lead.min() < margin < lead.max():
            axes.contour(
                points[..., 0], points[..., 1], lead, levels=[margin], colors=[class_style(k)[0]], linestyles="dashed",
                linewidths=1.1, zorder=3,
            )  # fmt: skip


def _draw_line(axes: Axes, normal: Numbers, offset: float, color: str) -> None:
    """The line normal · x + offset = 0, and its normal as an arrow, at the point of the line nearest to the centre."""
    length = float(np.hypot(*normal))
    if length == 0.0:  # a constant score has no line
        return
    from matplotlib.patches import FancyArrowPatch

    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    middle, unit = np.array([(left + right) / 2, (bottom + top) / 2]), normal / length
    foot = middle - unit * (float(normal @ middle + offset) / length)
    along = np.array([-unit[1], unit[0]]) * 2.0 * np.hypot(right - left, top - bottom)
    if np.abs(foot - middle).max() > 10 * max(right - left, top - bottom):
        return  # far outside
    ends = np.stack([foot - along, foot + along])
    axes.plot(ends[:, 0], ends[:, 1], color=color, linewidth=1.6, zorder=3)
    tip = foot + unit * 0.14 * min(right - left, top - bottom)
    axes.add_patch(
        FancyArrowPatch(tuple(foot), tuple(tip), arrowstyle="-|>", mutation_scale=11, color=color, linewidth=1.6,
                        shrinkA=0, shrinkB=0, zorder=5)
    )  # fmt: skip


def _highest(points: Numbers, W: Numbers, b: Numbers) -> npt.NDArray[np.int64]:
    """(n,) the class with the highest score; the first of equal scores."""
    best: npt.NDArray[np.int64] = (points @ W.T + b).argmax(axis=1)
    return best


def _two_scores(W: Numbers, b: Numbers) -> tuple[Numbers, Numbers]:
    """(W (2, D), b (2,)) of two classes whose scores differ by W x + b."""
    return np.concatenate([np.zeros_like(W), W]), np.concatenate([np.zeros_like(b), b])


def _corners(
    X: Numbers, low: Sequence[float] | None, high: Sequence[float] | None
) -> tuple[Sequence[float], Sequence[float]]:
    """The given corners, or corners around the points, with the aspect ratio of the drawing if it is near that."""
    if low is not None and high is not None:
        return low, high
    least, most = (X.min(axis=0), X.max(axis=0)) if len(X) else (np.zeros(2), np.ones(2))
    wide = np.where(most > least, most - least, np.maximum(1.0, np.abs(least)))
    wide = np.where(wide * LONGEST > wide.max(), wide.max() * np.array([1.0, 0.9]), wide)  # as the drawing is
    middle = (least + most) / 2
    a, b = (middle - 0.58 * wide).tolist(), (middle + 0.58 * wide).tolist()
    return a if low is None else low, b if high is None else high


def _positions(y: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Labels as positions in `classes`. Integers are positions already if no class label is an integer."""
    y = np.asarray(y)
    if y.ndim != 1:
        raise ShapeError(f"y has shape {y.shape}; expected one label per point, (N,).")
    known = {label: k for k, label in enumerate(classes.tolist())}
    found = set(np.unique(y).tolist())
    if not found <= known.keys():
        integers = np.issubdtype(y.dtype, np.integer)
        if integers and not any(isinstance(label, int) for label in known) and found <= set(range(len(classes))):
            return y.astype(np.int64)
        unknown = tuple(str(label) for label in sorted(found - known.keys(), key=str))
        raise LabelError(f"y holds {few(unknown)}, not among the classes {few(tuple(map(str, classes)))}.")
    return np.array([known[label] for label in y.tolist()], dtype=np.int64)


def _evenly(n: int, most: int) -> npt.NDArray[np.int64]:
    """At most `most` of 0..n-1, picked evenly."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)


def _confused(model: LinearModel, images: npt.NDArray[Any], y: npt.NDArray[np.int64]) -> list[int]:
    """The pair of classes confused most often, and the class most often confused with one of them.

    Counted on at most MOST_POINTS images.
    """
    rows = _evenly(len(y), MOST_POINTS)
    W, b = checked_weights(model)
    K = len(W)
    if K == 2:
        return [0, 1]
    S = seen_rows(model, images, rows) @ W.T + b
    counts = confusion(y[rows], S.argmax(axis=1), K)
    both = counts + counts.T
    np.fill_diagonal(both, 0)
    i, j = divmod(int(both.argmax()), K) if both.any() else (0, 1)
    with_them = both[i] + both[j]
    with_them[[i, j]] = -1
    return sorted([i, j, int(with_them.argmax())])


def _basis(differences: Numbers, rows: Numbers) -> Numbers:
    """(2, D) orthonormal axes: along the differences, then along the direction in which the images vary most."""
    D = differences.shape[1]
    found: list[Numbers] = []

    def take(direction: Numbers) -> None:
        size = float(np.linalg.norm(direction))
        for axis in found * 2:  # twice, to remove the rounding error of the first pass
            direction = direction - (direction @ axis) * axis
        length = float(np.linalg.norm(direction))
        if len(found) < 2 and length > 1e-9 * max(size, 1e-300) and length > 0.0:
            found.append(direction / length)

    for direction in differences:
        take(direction)
    if len(found) < 2 and len(rows) > 1:
        beside = rows - rows.mean(axis=0)
        for axis in found:
            beside = beside - np.outer(beside @ axis, axis)
        for direction in np.linalg.svd(beside, full_matrices=False)[2][:2]:
            take(direction)
    for k in range(D):
        if len(found) == 2:
            break
        take(np.eye(1, D, k)[0])
    return np.stack(found)
