"""The certificate: how far a given (W, b) can be from the minimum, proved by a point of the dual problem.

For every dual-feasible G (N, K), with a_i = w_i / sum w, and every (W, b),

    L(W, b) >= -sum_i a_i L*_i(G_i) - (reg R)*(-A) + min over b of c·b,   A = sum_i a_i G_i x'_iᵀ,   c = sum_i a_i G_i

The bias is not penalised: the minimum over b is -inf unless c is 0. So G is mixed with a small share of another dual
point, chosen so that the columns of the mixture sum to 0 (`Loss.balanced`). L1 requires |A| <= reg: G is scaled down
until that holds. Scaling is safe: 0 is feasible for every loss here, L*_i(0) = 0 and the conjugate is convex, so the
dual value shrinks by that factor at most. Finally the largest possible effect of rounding is subtracted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from linprobe.algebra.exact_product import LOST, exact_product
from linprobe.errors import ShapeError
from linprobe.objective import DataGradient, DualPoint, Objective
from linprobe.printed import bound_text, gap_text, objective_text
from linprobe.shapes import Floats, Labels, slices

__all__ = ["Certificate", "absolute_tol", "certify", "lower_bound_from"]

EPS = float(np.finfo(np.float64).eps)
"""Relative rounding of one float64 operation."""

BLOCK_SCORES = 2**18
"""Scores that are held at once: 2 MB of float64."""

ABSOLUTE_SHARE = 1e-6
"""Duality gap that is treated as 0, in units of tol times the loss of equal scores. Chosen by argument: float64 rounds
large scores by about as much."""

MAX_SLOPES = 2**25
"""Largest N times K for which a careful certificate stores the slopes: 256 MB of float64."""

MAX_BALANCE_STEPS, BALANCED = 1000, 1e-15
"""Iterations of `_balanced`, at most; and the imbalance of a class, relative to its flows, that counts as rounding.
Chosen by argument."""

ROUNDINGS = 64.0
"""Bound on the rounding of a float64 sum of few terms, in units of `EPS`. Chosen by argument: a dozen operations lead
to each term. A larger number only makes the lower bound looser."""

EXACT_ABOVE = 1e-7
"""Effect of rounded sums on a bound, relative to the objective, above which the sums are computed exactly. Chosen by
argument: a thousandth of the usual tol."""

MAX_EXACT_NUMBERS, MANY = 2**24, 16
"""Numbers of the images, N times D, up to which the sums are computed exactly: 128 MB of float64. With K > MANY classes
the limit is MANY / K of that. Chosen by argument: some tenths of a second."""

ROUNDINGS_OF_TERM = 6.0
"""Roundings of one term of an exact sum, in units of `EPS`: of the row and its map, the centre, the slope of a label,
and the result. Chosen by argument: each takes half a unit."""


@dataclass(frozen=True)
class Certificate:
    """What is proved about one (W, b).

    Attributes:
        objective: L(W, b), in float64.
        lower_bound: no weights have a lower objective; -inf where nothing was proved.
        gradient_norm: of the least subgradient of L, over W and b together, in float64.
        passes: passes over the images so far, those of the certificate included.
        seconds: so far.
    """

    objective: float
    lower_bound: float
    gradient_norm: float
    passes: float = 0.0
    seconds: float = 0.0

    @property
    def gap(self) -> float:
        """objective - lower_bound, >= 0: the minimum is at most this far below the objective. NaN becomes inf."""
        gap = self.objective - self.lower_bound
        return math.inf if math.isnan(gap) else max(0.0, gap)

    @property
    def relative_gap(self) -> float:
        """gap / objective; 0 if both are 0. inf if the objective is not finite, as nothing is proved then."""
        if not math.isfinite(self.objective):
            return math.inf
        return self.gap / self.objective if self.gap > 0.0 else 0.0

    def describe(self) -> str:
        """One sentence for a reader who has not met duality."""
        if not math.isfinite(self.lower_bound):
            return f"objective {objective_text(self.objective)}; no lower bound is known"
        if self.lower_bound == 0.0 < self.objective:
            return f"objective {objective_text(self.objective)}; no lower bound but 0 is known"
        return (
            f"objective {objective_text(self.objective)}; lower bound {bound_text(self.lower_bound)}: "
            f"at most {gap_text(self.relative_gap)} above the optimum, relative to the objective"
        )


def certify(
    objective: Objective,
    W: Floats,
    b: Floats,
    G: Floats | None = None,
    *,
    gradient: DataGradient | None = None,
    careful: bool = False,
    passes: float = 0.0,
    seconds: float = 0.0,
) -> Certificate:
    """The certificate of (W, b), computed in float64, with one pass (two with `G`).

    Args:
        objective: what (W, b) is meant to minimise.
        W, b: (K, D) and (K,).
        G: (N, K) float64, a further dual point. Without it the bound is that of the gradient of the losses at (W, b),
            which is tight for a smooth loss and loose for the hinge. Any G gives a valid bound.
        gradient: the result of `objective.data_gradient(W, b)`, if it is known already.
        careful: for a smooth loss, compute the slopes (N, K) at (W, b), and bound the effect of rounding by their
            sizes. It takes two more passes. The bound is tighter if the objective, or the weight of a class, is tiny.
        passes, seconds: spent so far; copied into the certificate.
    Raises:
        ShapeError: an array has another shape.
    """
    W, b = W.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    if gradient is None:
        gradient, passes = objective.data_gradient(W, b), passes + 1.0
    data_loss, A, c = gradient.loss, gradient.dW, gradient.db
    norm, value = objective.least_norm(W, A, c), data_loss + objective.penalty_value(W)
    points = [_gradient_point(objective, gradient, W, b)]
    if (scale := _penalty_scale(objective, gradient.dW)) < 1.0 and objective.loss.smooth:
        points.append(_scaled_gradient_point(objective, gradient, W, b, scale, value))
        passes += 1.0
    bounds = [0.0, *(lower_bound_from(objective, point, value) for point in points)]
    if G is None and careful and objective.loss.smooth and objective.n_images * objective.n_classes <= MAX_SLOPES:
        G, passes = _loss_slopes(objective, W, b), passes + 1.0
    if G is not None and math.isfinite(value):
        bounds.append(_bound_from_slopes(objective, G, value))
        passes += 1.0  # half a pass of products, and one reading of the rows for `_feature_spans`
    lower = min(value, max(bounds)) - _rounding_of_value(objective, W, b, value)
    return Certificate(value, max(0.0, lower), norm, passes, seconds)


def _rounding_of_value(objective: Objective, W: Floats, b: Floats, value: float) -> float:
    """The most that one rounding of each score may have changed L(W, b); 0 if that is below EXACT_ABOVE of it.

    A feature that lies 1e15 times its spread from 0 gives scores that are wrong in their first digit.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # diverged weights
        error = EPS * float((np.abs(W) @ objective.statistics.feature_sizes + np.abs(b)).max())
    return error if EXACT_ABOVE * abs(value) < error < math.inf else 0.0


def absolute_tol(objective: Objective, tol: float) -> float:
    """The duality gap that is treated as 0 where the objective tends to 0: 1e-6 tol times the loss of equal scores.

    On separable data with a tiny reg the objective is as small as its rounding, so no relative gap can be proved.
    """
    equal = objective.loss.value(np.zeros((1, objective.n_classes)), np.zeros(1, np.int64))
    return ABSOLUTE_SHARE * tol * float(equal[0])


def lower_bound_from(objective: Objective, point: DualPoint, upper: float) -> float:
    """The lower bound of a dual point, after it is made feasible for bias and penalty; -inf if it proves nothing.

    Args:
        point: any dual point.
        upper: L at some (W, b), an upper bound on the minimum.
    """
    value, A, c = point.value, point.A, point.c
    if not (math.isfinite(value) and np.isfinite(A).all() and math.isfinite(upper)):
        return -math.inf
    shares, sums = objective.statistics.class_means
    shares = np.where(shares > 0, shares, 0.0)
    terms = max(abs(value), point.terms)
    t, Q = objective.loss.balanced(shares / shares.sum(), c)
    if t > 0.0:
        present = shares > 0
        conjugates = objective.loss.conjugate(Q, np.arange(len(shares)))[present]
        terms += t * float(shares[present] @ np.abs(conjugates))
        value = (1.0 - t) * value - t * float(shares[present] @ conjugates)
        A = (1.0 - t) * A + t * (Q.T @ sums)
    penalty, reg = objective.penalty, objective.reg
    if penalty is None or reg == 0.0:
        return -math.inf  # A = 0 is needed, which rounding never leaves
    with np.errstate(over="ignore"):  # an infinite conjugate proves nothing, unwarned
        scale = penalty.dual_scale(A, reg)
        conjugate = penalty.conjugate(-scale * A, reg)
    if not (math.isfinite(value) and math.isfinite(conjugate)):
        return -math.inf
    rounding = _rounding_of_bound(objective, value, terms + conjugate, upper) + _digits_error(objective, point, upper)
    return scale * value - conjugate - rounding


def _rounding_of_bound(objective: Objective, value: float, terms: float, upper: float) -> float:
    """The most that rounding may have added to a bound.

    The bound holds in exact arithmetic. Each of its terms is rounded in proportion to its own size. The errors of A and
    c are proportional to sum_i a_i |G_i| |x'_i| and sum_i a_i |G_i|. Rows of G are feasible up to a few roundings of 1
    + |G_i| (`rounding_slack`). These errors change the bound by their product with the W and b of the minimum. For a
    feature map the numbers that it adds up count, which may be far larger than x'.
    """
    mass = objective.loss.dual_size(value, objective.n_classes)
    terms += abs(upper) + 2.0 * objective.loss.unit * mass
    reach = 2.0 * _score_bound(objective, upper) + _bias_spread(objective, upper)
    return _sum_roundings(objective) * EPS * (terms + (1.0 + mass) * reach)


def _digits_error(objective: Objective, point: DualPoint, upper: float) -> float:
    """The most that the integer products of `Precision.PROOF` may have changed a bound and L together.

    G is the gradient of the losses at inexact scores. L, and G_i·s_i in the value, have that error times sum |G|. The
    error of A is multiplied by the scores at the minimum, and in the value by those at the W where G was computed. The
    objective is at most `upper` at both.
    """
    if point.score_error == 0.0 and point.slope_error == 0.0:
        return 0.0
    mass = objective.loss.dual_size(point.value, objective.n_classes)
    scores, slopes = point.score_error, point.slope_error
    return 2.0 * (1.0 + mass) * scores + 2.0 * slopes * _score_bound(objective, upper)


def _sum_roundings(objective: Objective) -> float:
    """Bound on the rounding of a float64 sum over the images, in units of `EPS`: random errors add up like sqrt(N)."""
    return ROUNDINGS + 4.0 * objective.n_classes + math.sqrt(objective.n_images)


def _coefficients(objective: Objective) -> tuple[float, float]:
    known = None if objective.penalty is None else objective.penalty.coefficients
    return (0.0, 0.0) if known is None else (objective.reg * known[0], objective.reg * known[1])


def _norm_bounds(objective: Objective, upper: float) -> tuple[float, float]:
    """Bounds on sqrt(sum W²) and sum |W| for every W with reg R(W) <= L <= upper; inf if there is none."""
    squares, sizes = _coefficients(objective)
    total = max(upper, 0.0) / sizes if sizes > 0.0 else math.inf
    norm = math.sqrt(max(upper, 0.0) / squares) if squares > 0.0 else math.inf
    return min(norm, total), total


def _score_bound(objective: Objective, upper: float) -> float:
    """A bound on |w_k|·(|scale x| + |shift|) for every image and every W with L <= upper."""
    norm, total = _norm_bounds(objective, upper)
    sizes = objective.statistics.feature_sizes
    largest = float(sizes.max(initial=0.0))
    if largest == 0.0:
        return 0.0
    return largest * min(float(np.sqrt(np.square(sizes / largest).sum())) * norm, total)


def _bias_spread(objective: Objective, upper: float) -> float:
    """A bound on b_j - b_k for every (W, b) with L <= upper; the rounding of c is multiplied by it.

    Every loss here is at least s_j - s_k for an image of class k. Summed over the images of that class: shares_k (b_j -
    b_k) <= L - (w_j - w_k)·sums_k.
    """
    shares, sums = objective.statistics.class_means
    present = shares > 0
    least = shares[present].min()
    norm, _ = _norm_bounds(objective, upper)
    product = 2.0 * norm * float(np.sqrt(np.square(sums[present]).sum(axis=1)).max())
    return float((max(upper, 0.0) + 1.0 + product) / least)


def _gradient_point(objective: Objective, gradient: DataGradient, W: Floats, b: Floats) -> DualPoint:
    """The gradient of the losses at (W, b). Fenchel-Young holds with equality there: L*_i(G_i) = G_i·s_i - L_i.

    G_i·s_i is a sum of products that may cancel. Far from the minimum, with opposite weights for correlated features,
    the products are much larger than the loss.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # diverged weights give inf or NaN, which prove nothing
        value = gradient.loss - float((gradient.dW * W).sum()) - float(gradient.db @ b)
        mass = objective.loss.dual_size(value, objective.n_classes)
        products = float((np.abs(W) @ objective.statistics.feature_sizes + np.abs(b)).max())
        terms = gradient.loss + mass * products
        return DualPoint(value, gradient.dW, gradient.db, terms, gradient.score_error, gradient.slope_error)


def _penalty_scale(objective: Objective, A: Floats) -> float:
    """The factor by which a dual point is scaled so that the conjugate of the penalty is finite."""
    if objective.penalty is None or objective.reg == 0.0 or not np.isfinite(A).all():
        return 1.0
    return objective.penalty.dual_scale(A, objective.reg)


def _scaled_gradient_point(
    objective: Objective, gradient: DataGradient, W: Floats, b: Floats, scale: float, upper: float
) -> DualPoint:
    """`scale` times the gradient of the losses at (W, b), with its own dual value, from one pass over the scores.

    Scaling the dual value of the gradient in proportion would lose (1 - scale) L near the minimum. The true value loses
    only (1 - scale) reg sum |W|. It is that of slopes at float64 scores. The slopes from which dW and db were summed
    differ from these by at most the curvature of the loss times the error of their scores.
    """
    engine, loss, y, shares = objective.engine, objective.loss, objective.examples.y, objective.shares()
    counted = np.flatnonzero(shares > 0)  # rows of G of images of weight 0 may be infeasible

    def share_of(block: slice) -> float:
        rows = counted[block]
        G = loss.value_and_gradient(engine.scores(W, b, rows, precise=True), y[rows])[1]
        return float(shares[rows] @ loss.conjugate(scale * G, y[rows]))

    blocks = slices(len(counted), max(1, BLOCK_SCORES // objective.n_classes))
    value, slopes = -sum(map(share_of, blocks)), gradient.slope_error
    if gradient.score_error > 0.0:
        moved = objective.n_classes * loss.curvature(objective.n_classes) * gradient.score_error
        value, slopes = value - moved * _bias_spread(objective, upper), slopes + moved
    return DualPoint(value, scale * gradient.dW, scale * gradient.db, slope_error=slopes)


def _loss_slopes(objective: Objective, W: Floats, b: Floats) -> Floats:
    """The gradient of the losses in the scores at (W, b), (N, K) float64."""
    engine, y = objective.engine, objective.examples.y
    G = np.empty((objective.n_images, objective.n_classes))
    for block in slices(len(G), max(1, BLOCK_SCORES // objective.n_classes)):
        rows = np.arange(block.start, block.stop)
        G[block] = objective.loss.value_and_gradient(engine.scores(W, b, rows, precise=True), y[block])[1]
    return G


def _bound_from_slopes(objective: Objective, G: Floats, upper: float) -> float:
    """The lower bound of the dual point G (N, K), its rounding bounded by the sizes of G; -inf if it proves nothing.

    The columns are balanced by scaling slopes down (`_balanced`): a class of tiny weight then loses no more than its
    own share. The remaining column sums, and the effect of rounding on them and on A, cost at most

        sum_k (|c_k| + r M_k) |b_k - b_ref| + r |M| |x - m| |W|,   M_k = sum_i a_i |G_ik|,   r = some roundings

    with b and W of any (W, b) whose L is at most `upper`. `_conjugate_rounding` is another bound of the second term,
    and the smaller one counts.
    """
    expected = (objective.n_images, objective.n_classes)
    if G.shape != expected:
        raise ShapeError(f"G has shape {G.shape}; expected (n_images, n_classes) = {expected}.")
    if not objective.penalised:
        return -math.inf  # A = 0 is needed, which rounding never leaves
    shares, y = objective.shares(), objective.examples.y
    counted = shares > 0  # rows of G of images of weight 0 may be infeasible
    a, labels = shares[counted], y[counted]
    balanced = _balanced(G[counted].astype(np.float64), a, labels)
    if balanced is None:
        return -math.inf
    slopes = np.zeros(expected)
    slopes[counted] = a[:, None] * balanced
    # features about the mean image m: a column sum that is not quite 0 changes A least there.
    # The scores are the same: W·x + b = W·(x - m) + (b + W·m)
    means = objective.statistics.class_means.sums.sum(axis=0)
    A, c = objective.engine.about(means).gradient_of_scores(slopes, precise=True)
    sums = _SlopeSums(A, c, np.abs(slopes).sum(axis=0), _sum_roundings(objective) * EPS)
    spans = _feature_spans(objective, means)
    bound, rounding = _bound_from_sums(objective, balanced, a, labels, sums, spans, means, upper)
    numbers = objective.n_images * objective.n_features * max(1.0, objective.n_classes / MANY)
    if rounding <= EXACT_ABOVE * abs(upper) or numbers > MAX_EXACT_NUMBERS:
        return bound
    exact = _exact_sums(objective, slopes, means)
    return max(bound, _bound_from_sums(objective, balanced, a, labels, exact, spans, means, upper)[0])


@dataclass(frozen=True)
class _SlopeSums:
    """Sums of weighted slopes G (N, K).

    Attributes:
        A: (K, D) sum of G_i x_iᵀ, about some centre.
        c, M: (K,) sum of G_i and of |G_i|.
        error: bound on the error of A and c, relative to the sum of the sizes of their terms.
    """

    A: Floats
    c: Floats
    M: Floats
    error: float


def _exact_sums(objective: Objective, slopes: Floats, centre: Floats) -> _SlopeSums:
    """The sums of these slopes and rows, without the rounding of sums.

    What remains are a few roundings of each row, log2 K of the slope of each label, and one of the result.
    """
    X = objective.examples.mapped(slice(None)) - centre
    found = exact_product(slopes, np.concatenate([X, np.ones((len(X), 1))], axis=1))
    error = (ROUNDINGS_OF_TERM + math.log2(objective.n_classes)) * EPS + len(X) * LOST
    return _SlopeSums(found[:, :-1], found[:, -1], np.abs(slopes).sum(axis=0), error)


def _bound_from_sums(
    objective: Objective,
    G: Floats,
    a: Floats,
    labels: Labels,
    sums: _SlopeSums,
    spans: Floats,
    means: Floats,
    upper: float,
) -> tuple[float, float]:
    """(lower bound, the effect of the errors of the sums that is subtracted in it); -inf if it proves nothing.

    Args:
        G, a, labels: slopes (n, K) of the images of weight above 0, their shares and labels.
        sums: of the slopes times the shares, about `means`.
        spans: of `_feature_spans`.
    """
    penalty, A, M = objective.penalty, sums.A, sums.M
    if penalty is None or not (np.isfinite(A).all() and np.isfinite(M).all()):
        return -math.inf, 0.0
    with np.errstate(over="ignore"):
        scale = penalty.dual_scale(A, objective.reg)
        conjugate = penalty.conjugate(-scale * A, objective.reg)
    conjugates = objective.loss.conjugate(scale * G, labels)
    value = -float(a @ conjugates)
    if not (math.isfinite(value) and math.isfinite(conjugate)):
        return -math.inf, 0.0
    norm, total = _norm_bounds(objective, upper)
    sizes = sums.error * spans
    moved = min(
        float(np.sqrt(np.square(M).sum())) * _norm(sizes) * norm,
        float(M.max()) * float(sizes.max(initial=0.0)) * total,
    )
    moved = min(scale * moved, _conjugate_rounding(objective, scale * np.abs(A), scale * M[:, None] * sizes, conjugate))
    reach = _bias_reach(objective, upper, means)
    shift = np.abs(sums.c) + sums.error * M
    columns = scale * float((shift[shift > 0] * reach[shift > 0]).sum())
    terms = float(a @ np.abs(conjugates)) + conjugate + abs(upper)
    return value - conjugate - _sum_roundings(objective) * EPS * terms - columns - moved, columns + moved


def _conjugate_rounding(objective: Objective, A: Floats, errors: Floats, conjugate: float) -> float:
    """The most that the conjugate of the penalty can exceed `conjugate`, its value at A, if A has these errors.

    The conjugate of a sum W² + c sum |W| grows with each |A|. With L2 alone the result is sum e (2 |A| + e) / (4 reg):
    the error of a large feature is multiplied by the small weight of that feature, not by the norm of all weights.

    Args:
        A, errors: (K, D), >= 0.
    """
    if objective.penalty is None or objective.penalty.coefficients is None:
        return math.inf
    with np.errstate(over="ignore"):
        most = objective.penalty.conjugate(-(A + errors), objective.reg)
    return max(0.0, most - conjugate) if math.isfinite(most) else math.inf


def _feature_spans(objective: Objective, mean: Floats) -> Floats:
    """(D,) bounds on the sizes of the numbers that are rounded if the features are taken about `mean`.

    That is the largest |x - mean|, as a difference of two numbers is rounded once. Pixels are multiplied before the
    mean is subtracted, and a feature map rounds as well: there |x| and |mean| are added.
    """
    examples = objective.examples
    spans = np.zeros(objective.n_features)
    for block in slices(objective.n_images, max(1, BLOCK_SCORES // max(1, objective.n_features))):
        spans = np.maximum(spans, np.abs(examples.mapped(block) - mean).max(axis=0))
    if examples.X.dtype == np.uint8 or examples.affine is not None:
        spans += objective.statistics.feature_sizes + np.abs(mean)
    return spans


def _norm(sizes: Floats) -> float:
    """The Euclidean norm of numbers whose squares may overflow or underflow float64."""
    largest = float(sizes.max(initial=0.0))
    return largest * float(np.sqrt(np.square(sizes / largest).sum())) if largest > 0.0 else 0.0


def _balanced(G: Floats, a: Floats, y: Labels) -> Floats | None:
    """Slopes (n, K) near G whose weighted columns sum to nearly 0; no slope of a wrong class is larger than in G.

    Read the weighted slopes of the images of class c in column j as a flow from c to j: a column sum is inflow minus
    outflow. If the inflow of a class is larger, its column is scaled down; if the outflow is larger, the rows of
    its images are. All losses here allow smaller slopes of wrong classes. Returns None if a slope of a wrong class
    is negative.
    """
    rows, K = np.arange(len(y)), G.shape[1]
    found = G.copy()
    found[rows, y] = 0.0
    if found.min(initial=0.0) < -float(np.finfo(np.float32).eps):
        return None
    np.maximum(found, 0.0, out=found)
    flows = np.zeros((K, K))
    np.add.at(flows, y, a[:, None] * found)
    into, out_of = np.ones(K), np.ones(K)
    for _ in range(MAX_BALANCE_STEPS):
        flow = out_of[:, None] * flows * into
        inflow, outflow = flow.sum(axis=0), flow.sum(axis=1)
        if (np.abs(inflow - outflow) <= BALANCED * (inflow + outflow)).all():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            # square roots, as both ends of a flow may scale it: without them the iteration would oscillate
            into *= np.where(inflow > outflow, np.sqrt(outflow / inflow), 1.0)
            out_of *= np.where(outflow > inflow, np.sqrt(inflow / outflow), 1.0)
    found *= out_of[y][:, None] * into
    found[rows, y] = -found.sum(axis=1)
    return found


def _bias_reach(objective: Objective, upper: float, centre: Floats) -> Floats:
    """Bounds (K,) on |b_k - b_ref| for every (W, b) with L <= upper; ref is the class with the largest weight.

    b is the bias for features about `centre`.

    Every loss here is at least s_j - s_k for an image of class k. Averaged over that class: b_j - b_k <= L / shares_k -
    (w_j - w_k)·mean_k. For squared margins the square root of L / shares_k takes its place.
    """
    shares, sums = objective.statistics.class_means
    norm, total = _norm_bounds(objective, upper)
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = max(upper, 0.0) / shares
        lost = np.sqrt(lost) if objective.loss.margin_power == 2 else lost
        means = sums / shares[:, None] - centre
        apart = np.array([_norm(np.abs(mean)) for mean in means]), np.abs(means).max(axis=1, initial=0.0)
        products = np.fmin(math.sqrt(2.0) * norm * apart[0], total * apart[1])
        reach = lost + np.where(apart[0] > 0.0, products, 0.0)
    reach[shares == 0] = np.inf
    ref = int(shares.argmax())
    apart_from_ref: Floats = reach + reach[ref]
    apart_from_ref[ref] = 0.0
    return apart_from_ref
