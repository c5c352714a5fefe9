"""The gradient check: analytic gradients against differences of the value, with kinks found and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from linprobe.errors import IncompatibleError, ParameterError, ShapeError
from linprobe.losses.base import Loss
from linprobe.objective import Objective
from linprobe.penalties.base import Penalty
from linprobe.shapes import Floats, Labels, check_labels, check_parameters, check_range

__all__ = ["CheckedCoordinate", "GradientCheck", "check_gradient"]

STEP = 1e-5
"""Change of a score across half a centred difference. The truncation error, h² f'''/6, and the effect of rounding,
eps f / h, are then both about 1e-11: their sum is least at h = eps^(1/3), about 1e-5."""

TOLERANCE = 1e-7
"""Relative error allowed. Chosen by argument: far above truncation and rounding, far below a mistake in a formula."""

ROUNDINGS = 4.0
"""Roundings, in units of eps, allowed for each score and each loss in a difference. Chosen by argument."""


@dataclass(frozen=True)
class CheckedCoordinate:
    """One coordinate: the gradient by the formula, and by differences.

    Attributes:
        name: W[3, 17], b[2], or s[5, 1] for the score of image 5 and class 1.
        analytic: the gradient of the code under check.
        forward: (f(x + h) - f(x)) / h, shown and not judged: its error is h f''/2.
        centred: (f(x + h) - f(x - h)) / 2h, which is judged.
        relative_error: |analytic - centred| / max(|analytic|, |centred|, noise / tolerance), where noise is
            what rounding can do to the centred difference. So an error below the noise is never called wrong,
            and one above it is judged by its share of the gradient.
        kink: which kink the interval x - h .. x + h crosses, or None. There the differences are no test.
        ok: relative_error <= tolerance, or a kink.
    """

    name: str
    analytic: float
    forward: float
    centred: float
    relative_error: float
    kink: str | None
    ok: bool


@dataclass(frozen=True)
class GradientCheck:
    """What a gradient check found; `str()` of it is a table.

    Attributes:
        target: what was checked, in words.
        coordinates: one record each.
        problems: what else is wrong with the code under check, in words.
        step, tolerance, seed: as given.
        n_total: coordinates there are; `coordinates` may be a sample of them.
    """

    target: str
    coordinates: tuple[CheckedCoordinate, ...]
    problems: tuple[str, ...]
    step: float
    tolerance: float
    seed: int
    n_total: int

    @property
    def wrong(self) -> tuple[CheckedCoordinate, ...]:
        """The coordinates whose analytic gradient the differences contradict."""
        return tuple(row for row in self.coordinates if not row.ok)

    @property
    def kinks(self) -> tuple[CheckedCoordinate, ...]:
        """The coordinates whose differences cross a kink."""
        return tuple(row for row in self.coordinates if row.kink is not None)

    @property
    def n_checked(self) -> int:
        """Coordinates that were compared: all but those at kinks."""
        return len(self.coordinates) - len(self.kinks)

    @property
    def n_kinks(self) -> int:
        """Coordinates left out because their differences cross a kink."""
        return len(self.kinks)

    @property
    def n_wrong(self) -> int:
        """Coordinates whose analytic gradient is wrong."""
        return len(self.wrong)

    @property
    def largest_error(self) -> float:
        """The largest relative error among the compared coordinates; NaN when there is none."""
        errors = [row.relative_error for row in self.coordinates if row.kink is None]
        return float(np.max(errors)) if errors else float("nan")

    @property
    def ok(self) -> bool:
        """Whether something was compared, nothing compared was wrong, and no other problem was found."""
        return self.n_checked > 0 and self.n_wrong == 0 and not self.problems

    def summary(self) -> str:
        """One line: the verdict and the counts."""
        verdict = "right" if self.ok else "WRONG" if self.n_wrong or self.problems else "NOTHING COMPARED"
        return (
            f"{verdict}: {self.n_checked} of {self.n_total} coordinates compared, {self.n_wrong} wrong, "
            f"{self.n_kinks} left out at kinks; largest relative error {self.largest_error:.1e} "
            f"(tolerance {self.tolerance:.0e}, h = {self.step:.0e})"
        )

    def table(self, n_rows: int | None = None) -> str:
        """The coordinates as text, wrong ones first, then by error, then kinks; at most `n_rows`."""
        order = sorted(self.coordinates, key=_rank)
        shown = order if n_rows is None else order[:n_rows]
        width = max([10, *(len(row.name) for row in shown)])
        lines = [
            f"{'coordinate':<{width}} {'analytic':>15} {'forward':>15} {'centred':>15} {'rel. error':>11}",
            *(_line(row, width) for row in shown),
        ]
        if len(shown) < len(order):
            lines.append(f"... and {len(order) - len(shown)} more")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Everything, as plain numbers, strings, lists and dicts, for JSON."""
        names = ("ok", "n_checked", "n_wrong", "n_kinks", "largest_error")
        return {**{name: getattr(self, name) for name in names}, **asdict(self)}

    def __str__(self) -> str:
        problems = [f"PROBLEM: {problem}" for problem in self.problems]
        return "\n".join([f"gradient of {self.target}", self.table(20), *problems, self.summary()])


def check_gradient(
    target: Objective | Loss | Penalty,
    W: Floats | None = None,
    b: Floats | None = None,
    *,
    scores: Floats | None = None,
    y: Labels | None = None,
    n_coordinates: int | None = 200,
    n_images: int | None = 256,
    seed: int = 0,
    step: float = STEP,
    tolerance: float = TOLERANCE,
) -> GradientCheck:
    """The comparison of the analytic gradient of `target` with differences of its value, in float64.

    An Objective is checked in W and b, with the reference engine; the gradient of its own engine is compared
    with the reference's. A Loss is checked in the scores, a Penalty in W; both are also checked against the other
    promises of their base class (dtype, value, conjugate, curvature bound, prox).

    Args:
        target: an Objective, or any Loss or Penalty, a user-written one included.
        W, b: where to check an Objective or a Penalty; None for a seeded random point with scores of order 1.
            Not W = 0: there a wrong L2 gradient is right, and every coordinate is a kink of L1.
        scores, y: (N, K) and (N,), where to check a Loss; None for seeded random ones.
        n_coordinates: size of the seeded sample of coordinates; None for all.
        n_images: size of the seeded sample of images of an Objective; None for all. With very many images
            nearly every interval crosses the kink of some hinge margin.
        seed: of the samples and of the random points.
        step: h, the change of a score: a feature that exceeds 1 gets h / (its largest size) in its weight.
        tolerance: largest relative error of a right gradient.
    Raises:
        ShapeError, LabelError, ParameterError: arguments that do not fit together, or out of range.
    Example:
        >>> from linprobe.losses import SoftmaxCrossEntropy
        >>> check_gradient(SoftmaxCrossEntropy()).ok
        True
    """
    check_range("step", step, low=0.0, open_low=True)
    check_range("tolerance", tolerance, low=0.0, open_low=True)
    for name, count in (("n_coordinates", n_coordinates), ("n_images", n_images)):
        if count is not None:
            check_range(name, count, low=1)
    plan = _Plan(step, tolerance, seed, n_coordinates, n_images)
    if isinstance(target, Objective):
        return _check_objective(target, W, b, plan)
    if isinstance(target, Loss):
        return _check_loss(target, scores, y, plan)
    if isinstance(target, Penalty):
        return _check_penalty(target, W, plan)
    raise ParameterError(f"target is a {type(target).__name__}; expected an Objective, a Loss or a Penalty.")


@dataclass(frozen=True)
class _Plan:
    """The arguments that all three checks share."""

    step: float
    tolerance: float
    seed: int
    n_coordinates: int | None
    n_images: int | None

    def random(self) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(self.seed))

    def sample(self, n: int, wanted: int | None) -> npt.NDArray[np.int64]:
        """`wanted` of 0..n-1, drawn with the seed, in increasing order."""
        if wanted is None or wanted >= n:
            return np.arange(n)
        return np.sort(self.random().choice(n, wanted, replace=False)).astype(np.int64)

    def judge(
        self, name: str, analytic: float, forward: float, centred: float, noise: float, kink: str | None
    ) -> CheckedCoordinate:
        """The record of one coordinate; `noise` is what rounding can do to `centred`."""
        size = max(abs(analytic), abs(centred), noise / self.tolerance)
        error = 0.0 if analytic == centred else abs(analytic - centred) / size
        ok = kink is not None or error <= self.tolerance  # a NaN is never right
        return CheckedCoordinate(name, analytic, forward, centred, error, kink, ok)

    def result(
        self, target: str, coordinates: Sequence[CheckedCoordinate], problems: Sequence[str], n_total: int
    ) -> GradientCheck:
        return GradientCheck(target, tuple(coordinates), tuple(problems), self.step, self.tolerance, self.seed, n_total)


def _check_objective(objective: Objective, W: Floats | None, b: Floats | None, plan: _Plan) -> GradientCheck:
    reference = objective.with_engine("reference")
    K, D = objective.n_classes, objective.n_features
    images = plan.sample(objective.n_images, plan.n_images)
    random = plan.random()
    if W is None:
        few = reference.examples.mapped(images[: min(len(images), 256)])
        W = random.standard_normal((K, D)) / np.sqrt(1.0 + np.square(few).sum(axis=1).mean())
    if b is None:
        b = random.standard_normal(K)
    check_parameters(W, b, K, D)
    W, b = W.astype(np.float64), b.astype(np.float64)

    value, dW, db = reference.value_and_gradient(W, b, images)
    if reference.penalty is not None:
        dW = reference.penalty.least_subgradient(W, dW, reference.reg)  # away from kinks, the whole gradient
    at = _Point(reference, W, b, images)
    largest, rounding = _sizes(reference, W, b, images)
    rows = []
    for position in _positions(K * D, K, plan):
        low, high = [W.copy(), b.copy()], [W.copy(), b.copy()]
        index: tuple[int, ...]
        if position < K * D:
            part, index, name = 0, divmod(position, D), "W[{}, {}]"
            h = plan.step / max(1.0, float(largest[index[1]]))
        else:
            part, index, name = 1, (position - K * D,), "b[{}]"
            h = plan.step
        h = float(_visible(h, (W, b)[part][index]))
        low[part][index] -= h
        high[part][index] += h
        below, above = (_Point(reference, ends[0], ends[1], images) for ends in (low, high))
        half = float(high[part][index] - (W, b)[part][index])  # h as it is after rounding
        width = float(high[part][index] - low[part][index])
        row = plan.judge(
            name.format(*index),
            float((dW, db)[part][index]),
            (above.value - at.value) / half,
            (above.value - below.value) / width,
            rounding / width,
            _crossed_kink(below, above),
        )
        rows.append(row)
    problems = []
    if not abs(value - at.value) <= rounding:
        problems.append(f"value_and_gradient gives the value {value!r}, value gives {at.value!r}")
    problems.extend(_engine_problems(objective, at))
    title = f"{objective.describe().splitlines()[0]}; {len(images)} of the images"
    return plan.result(title, rows, problems, K * D + K)


def _visible(step: float, at: Floats) -> Floats:
    """`step`, or the smallest change of a number as large as `at`, if that is larger."""
    return np.maximum(step, 4.0 * np.spacing(np.abs(at)))


def _positions(n_weights: int, n_biases: int, plan: _Plan) -> list[int]:
    """Positions of the sampled coordinates in (W, b) laid out flat; a quarter of a sample may be biases."""
    n_total = n_weights + n_biases
    if plan.n_coordinates is None or plan.n_coordinates >= n_total:
        return list(range(n_total))
    from_b = min(n_biases, max(1, plan.n_coordinates // 4)) if plan.n_coordinates > 1 else 0
    from_W = min(n_weights, plan.n_coordinates - from_b)
    biases = plan.sample(n_biases, plan.n_coordinates - from_W) + n_weights
    return [int(position) for position in (*plan.sample(n_weights, from_W), *biases)]


class _Point:
    """An objective at one (W, b), computed forwards only: scores, losses, their mean, quantities of kinks.

    It shares nothing with `value_and_gradient` but the scores and the loss's `value`.
    """

    def __init__(self, objective: Objective, W: Floats, b: Floats, images: npt.NDArray[np.int64]) -> None:
        self.objective, self.W, self.b, self.images = objective, W, b, images
        examples = objective.examples
        self.y = examples.y[images]
        self.scores = objective.engine.scores(W, b, images)
        self.losses = objective.loss.value(self.scores, self.y)
        weight: Floats = np.ones(len(images))
        if examples.sample_weight is not None:
            weight = examples.sample_weight[images] * (objective.n_images / examples.total_weight)
        self.weight = weight
        self.value = float((weight * self.losses).mean())
        self.penalty_value = 0.0
        if objective.penalty is not None:
            self.penalty_value = objective.reg * objective.penalty.value(W)
        self.value += self.penalty_value

    def loss_kinks(self) -> Floats:
        """Signed quantities (n, M) of the images that count."""
        kinks = self.objective.loss.kinks(self.scores, self.y)
        return np.where(self.weight[:, None] > 0.0, kinks, 1.0)

    def penalty_kinks(self) -> Floats:
        """Signed quantities of the penalty; none where it is absent or weighs nothing."""
        penalty = self.objective.penalty
        return self.W[:0] if penalty is None or self.objective.reg == 0.0 else penalty.kinks(self.W)


def _sizes(objective: Objective, W: Floats, b: Floats, images: npt.NDArray[np.int64]) -> tuple[Floats, float]:
    """Largest |x'| of each feature (D,), and what rounding can do to the difference of two values.

    A score is off by some eps sum_d |W_d x_d|, and passes that on to its loss times |dL_i/ds|.
    """
    largest = np.zeros(objective.n_features)
    total = 0.0
    for start in range(0, len(images), 64):
        picked = images[start : start + 64]
        at = _Point(objective, W, b, picked)
        X = np.abs(objective.examples.mapped(picked))
        np.maximum(largest, X.max(axis=0), out=largest)
        dscores = objective.loss.value_and_gradient(at.scores, at.y)[1]
        reach = (np.abs(dscores) * (X @ np.abs(W).T + np.abs(b))).sum(axis=1)
        total += float((at.weight * (np.abs(at.losses) + reach)).sum())
    size = total / len(images) + abs(at.penalty_value)
    return largest, ROUNDINGS * float(np.finfo(np.float64).eps) * (size + 1e-300)


def _crossed_kink(below: _Point, above: _Point) -> str | None:
    """The first kink between the two points, in words, and how many more there are; None without any."""
    crossed = np.argwhere(np.sign(below.loss_kinks()) != np.sign(above.loss_kinks()))
    if len(crossed):
        image, quantity = crossed[0]
        more = f" and {len(crossed) - 1} more" if len(crossed) > 1 else ""
        name = type(below.objective.loss).__name__
        return f"{name} of image {below.images[image]}, quantity {quantity}{more}"
    crossed = np.argwhere(np.sign(below.penalty_kinks()) != np.sign(above.penalty_kinks()))
    if len(crossed):
        return f"{type(below.objective.penalty).__name__} at W[{', '.join(map(str, crossed[0]))}]"
    return None


def _engine_problems(objective: Objective, at: _Point) -> list[str]:
    """The gradient of the objective's own engine against the reference, away from kinks.

    Engines may sum in float32: 1e-3 of the gradient's norm is far above what that does, and far below what a
    slip does. A float32 margin very near 0 may fall on the other side; such images are left out.
    """
    near = np.abs(at.loss_kinks()) < 1e-4 * (1.0 + np.abs(at.scores).max(axis=1, keepdims=True))
    images = at.images[~near.any(axis=1)]
    if not len(images):
        return []
    _, dW, db = objective.value_and_gradient(at.W, at.b, images)
    _, expected_dW, expected_db = at.objective.value_and_gradient(at.W, at.b, images)
    norm = np.sqrt(np.square(expected_dW).sum() + np.square(expected_db).sum())
    error = np.sqrt(np.square(dW - expected_dW).sum() + np.square(db - expected_db).sum())
    if error <= 1e-3 * norm:
        return []
    return [f"the gradient of its engine is off by {error / norm:.1e} of its norm: {objective.engine.describe()}"]


def _check_loss(loss: Loss, scores: Floats | None, y: Labels | None, plan: _Plan) -> GradientCheck:
    if (scores is None) != (y is None):
        raise ParameterError("scores and y go together: give both, or neither for made ones.")
    if scores is None or y is None:
        scores, y = 2.0 * plan.random().standard_normal((20, 5)), np.arange(20) % 5
    check_labels(y, scores)
    scores = scores.astype(np.float64)
    n_images, K = scores.shape
    losses, dscores = loss.value_and_gradient(scores.copy(), y)
    if losses.shape != (n_images,) or dscores.shape != scores.shape:
        raise ShapeError(
            f"{type(loss).__name__} gave losses {losses.shape} and gradient {dscores.shape} for scores "
            f"{scores.shape}; expected ({n_images},) and {scores.shape}."
        )
    eps = float(np.finfo(np.float64).eps)
    reach = np.abs(dscores).sum(axis=1) * np.abs(scores).max(axis=1)
    rounding = ROUNDINGS * eps * (np.abs(losses) + reach)
    positions = plan.sample(n_images * K, plan.n_coordinates)
    images, classes = np.divmod(positions, K)
    # one row for each coordinate: a loss that mixes its rows, or divides by their number, shows a wrong gradient
    every = np.arange(len(positions))
    low, high, labels = scores[images], scores[images], y[images]
    steps = _visible(plan.step, scores[images, classes])
    low[every, classes] -= steps
    high[every, classes] += steps
    width, half = high[every, classes] - low[every, classes], high[every, classes] - scores[images, classes]
    below, above = loss.value(low, labels), loss.value(high, labels)
    crossed = np.sign(loss.kinks(low, labels)) != np.sign(loss.kinks(high, labels))
    rows = [
        plan.judge(
            f"s[{images[n]}, {classes[n]}]",
            float(dscores[images[n], classes[n]]),
            float((above[n] - losses[images[n]]) / half[n]),
            float((above[n] - below[n]) / width[n]),
            float(rounding[images[n]] / width[n]),
            f"image {images[n]}, quantity {np.flatnonzero(crossed[n])[0]}" if crossed[n].any() else None,
        )
        for n in every
    ]
    problems = _loss_problems(loss, scores, y)
    return plan.result(f"{loss!r} in the scores, {scores.shape}", rows, problems, n_images * K)


def _loss_problems(loss: Loss, scores: Floats, y: Labels) -> list[str]:
    """Broken promises of the base class, in words."""
    problems = []
    given = scores.copy()
    losses, dscores = loss.value_and_gradient(given, y)
    if not np.array_equal(given, scores):
        problems.append("value_and_gradient changes the scores it is given")
    if not np.allclose(loss.value(scores, y), losses, rtol=1e-12, atol=1e-12):
        problems.append("value differs from the first half of value_and_gradient")
    narrow = loss.value_and_gradient(scores.astype(np.float32), y)
    if narrow[0].dtype != np.float32 or narrow[1].dtype != np.float32:
        problems.append(f"float32 scores give {narrow[0].dtype} losses and {narrow[1].dtype} gradients")
    if not np.isfinite(losses).all() or not np.isfinite(dscores).all():
        problems.append("finite scores give losses or gradients that are not finite")
    try:
        conjugates = loss.conjugate(dscores, y)
    except IncompatibleError:
        conjugates = None
    if conjugates is not None:
        expected = (dscores * scores).sum(axis=1) - losses  # Fenchel and Young, equal where g is the gradient
        size = np.abs(dscores * scores).sum(axis=1) + np.abs(losses) + np.abs(dscores).sum(axis=1)
        if not (np.abs(conjugates - expected) <= 1e-10 * (1.0 + size)).all():
            problems.append("conjugate(g) is not g·s - L at the gradient g of L at s")
    steepest, bound = _largest_curvature(loss, scores, y), loss.curvature(scores.shape[1])
    if steepest > bound * (1.0 + 1e-5):
        problems.append(f"the curvature reaches {steepest:.6g}, above the bound it gives, {bound:.6g}")
    return problems


def _largest_curvature(loss: Loss, scores: Floats, y: Labels) -> float:
    """Largest eigenvalue of the Hessians, by differences of the gradient; rows at kinks are left out."""
    h = 1e-5
    K = scores.shape[1]
    hessians = np.empty((len(scores), K, K))
    smooth = np.ones(len(scores), dtype=bool)
    for j in range(K):
        low, high = scores.copy(), scores.copy()
        low[:, j] -= h
        high[:, j] += h
        above, below = loss.value_and_gradient(high, y)[1], loss.value_and_gradient(low, y)[1]
        hessians[:, j] = (above - below) / (2.0 * h)
        smooth &= (np.sign(loss.kinks(low, y)) == np.sign(loss.kinks(high, y))).all(axis=1)
    hessians = hessians[smooth & np.isfinite(hessians).all(axis=(1, 2))]
    if not len(hessians):
        return 0.0
    return float(np.linalg.eigvalsh((hessians + hessians.transpose(0, 2, 1)) / 2.0).max())


def _check_penalty(penalty: Penalty, W: Floats | None, plan: _Plan) -> GradientCheck:
    W = plan.random().standard_normal((4, 6)) if W is None else W.astype(np.float64)
    if W.ndim != 2:
        raise ShapeError(f"W has shape {W.shape}; expected two axes, (n_classes, n_features).")
    dW = penalty.least_subgradient(W, penalty.gradient(W), 1.0)
    if dW.shape != W.shape:
        raise ShapeError(f"{type(penalty).__name__} gave a gradient {dW.shape} for W {W.shape}.")
    value = penalty.value(W)
    rounding = ROUNDINGS * float(np.finfo(np.float64).eps) * (abs(value) + float(np.abs(dW * W).sum()))
    rows = []
    for position in plan.sample(W.size, plan.n_coordinates):
        index = tuple(int(i) for i in np.unravel_index(position, W.shape))
        low, high = W.copy(), W.copy()
        h = float(_visible(plan.step, W[index]))
        low[index] -= h
        high[index] += h
        width = float(high[index] - low[index])
        crossed = np.argwhere(np.sign(penalty.kinks(low)) != np.sign(penalty.kinks(high)))
        row = plan.judge(
            f"W[{index[0]}, {index[1]}]",
            float(dW[index]),
            (penalty.value(high) - value) / float(high[index] - W[index]),
            (penalty.value(high) - penalty.value(low)) / width,
            rounding / width,
            f"{type(penalty).__name__} at W[{', '.join(map(str, crossed[0]))}]" if len(crossed) else None,
        )
        rows.append(row)
    return plan.result(f"{penalty!r} in W, {W.shape}", rows, _penalty_problems(penalty, W), W.size)


def _penalty_problems(penalty: Penalty, W: Floats) -> list[str]:
    """Broken promises of the base class, in words."""
    problems = []
    narrow = W.astype(np.float32)
    if penalty.gradient(narrow).dtype != np.float32 or penalty.prox(narrow, 0.25).dtype != np.float32:
        problems.append("gradient or prox does not keep float32")
    step, reg = 0.25, 0.5
    P = penalty.prox(W, step)
    if penalty.smooth:
        if not np.array_equal(P, W):
            problems.append("prox changes W though the penalty says it is smooth")
    else:
        # P is the prox of W exactly where (P - W) / step + a subgradient of the kinked part at P is 0
        residual = penalty.least_subgradient(P, (P - W) / step, 1.0)
        if not (np.abs(residual) <= 1e-10 * (1.0 + np.abs(W) / step)).all():
            problems.append("prox(V, step) is not where (1/2) sum (W - V)² + step kinked(W) is least")
    V = penalty.least_subgradient(W, reg * penalty.gradient(W), reg)
    expected = float((V * W).sum()) - reg * penalty.value(W)  # Fenchel and Young, equal where V is the gradient
    size = 1.0 + abs(expected) + float(np.abs(V * W).sum())
    if not abs(penalty.conjugate(V, reg) - expected) <= 1e-10 * size:
        problems.append("conjugate(V, reg) is not sum V W - reg R(W) at the gradient V of reg R at W")
    return problems


def _rank(row: CheckedCoordinate) -> tuple[bool, bool, float]:
    """Wrong ones first, then the largest errors, then kinks."""
    error = float("inf") if np.isnan(row.relative_error) else row.relative_error
    return row.ok, row.kink is not None, -error


def _line(row: CheckedCoordinate, width: int) -> str:
    numbers = f"{row.name:<{width}} {row.analytic:>15.8g} {row.forward:>15.8g} {row.centred:>15.8g}"
    if row.kink is not None:
        return f"{numbers}        kink: {row.kink}"
    return f"{numbers} {row.relative_error:>11.1e}{'' if row.ok else '  WRONG'}"
