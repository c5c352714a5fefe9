"""Dual coordinate ascent: the exact optimum of the hinges with a squared penalty, with a tight dual point."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from linprobe.algebra.dual import DualModel, DualPairs
from linprobe.certificate import Certificate, absolute_tol, certify
from linprobe.cores import by_threads, usable_cores
from linprobe.errors import IncompatibleError
from linprobe.objective import Evaluation, Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, proved_status
from linprobe.optimizers.gram import centred_products, centred_rows
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range, slices

__all__ = ["DualAscent", "dual_bytes", "suits_dual_ascent"]

SPARSE = 10
"""Sweeps over the coordinates that are not 0 after each sweep over all: a round. On the problems of few_shot.py 2, 5
and 10 take as many row additions, and 10 the fewest sweeps over all. On 20,000 of the digits (reg 1e-5) 132 passes
leave a gap of 1.9e-4 with 10; 106 leave 5.5e-4 with 5."""

MOST_SPARSE, AGAIN, FALL = 80, 8, 0.6
"""With acceleration, such sweeps of a round double, up to MOST_SPARSE, where AGAIN rounds leave more than the share
FALL of the gap: what a round leaves undone then moves the centre of the next more than the gap does. On
many_classes.py at reg 1e-5, 10 sweeps in every round stand at a gap of 8e-3, and 30 at 3e-3."""

SHARE_OF_GAIN = 0.5
"""An image is left as it is where its predicted gain is at most this share of the mean of the sweep before. On the same
problems 0.5 halved the additions of 0; 2 took as many, in five times as many sweeps."""

MOST_GRAM, MOST_SINGLE_GRAM = 4096, 8192
"""Images up to which their products with each other are kept in float64 (128 MB), and in float32 (256 MB)."""

GRAM_SHARE = 8.0
"""The Gram form is taken up to this many images for each feature: its rows are longer, but a score costs nothing."""

SINGLE_ROWS, SINGLE_TOL = 2**22, 1e-6
"""Numbers in the rows above which these are kept in float32, for a tol of at least that; their rounding moves the
optimum by 1e-7 of itself, and the certificate is computed from the images themselves."""

LISTED_TOL = 1e-5
"""The least tol for which rows in float32 are visited by lists of pairs, whose scores are products in float32."""

CHUNK = 16
"""Images that are visited one after the other as they lie in memory, where they are laid out by lot; the chunks follow
each other by lot. A sweep over 50,000 rows of 768 float32 at random places takes 1.6 times as long."""

MOST_LISTED, LEAST_LISTED = 2**23, 16
"""Pairs that are listed for a round, on average (20 bytes each); and those that an image may have in any case. At first
all margins are violated: with 1,000 classes the largest are enough then. Chosen by argument."""

LISTED_SCORES = 2**18
"""Scores that a thread looks through for violated margins at a time: 1 MB of float32."""

MOST_BYTES = 2**32
"""Bytes that the method may keep, beyond the images."""

HELD_SCORES = 2**25
"""Scores up to which the scale of the weights is optimised (256 MB)."""

BIAS_STEP = 0.1
"""Curvature of the bias in the dual, as a share of the mean |x|² / ridge: the bias then costs a visit as much as one
tenth of an image more. On the same problems 0.03 and 0.1 took 40% fewer rounds than 1, and 0.01 more again."""

LEAST_BIAS = 4.0
"""The same in units of delta: features that are tiny, or a large reg, leave the bias alone to decide."""

FIRM = 3.0
"""Factor by which that curvature grows after a round in which the columns cost more than a third of the gap."""

PROMISE = 0.9
"""Share of tol that the estimated gap must reach before a certificate is computed, which takes two passes."""

ILL = 4.0
"""Mean |x|² / (N ridge), the epochs that a slope takes to cross its range, from which on a search over images is
accelerated."""

EXTRA = 0.6
"""With acceleration the ridge is larger: that number becomes EXTRA times its root. Of 2, 4 and 8 in place of 36 (the
digits of 60,000 x 784, reg 1e-5), 4 was the best; in place of 336 (many_classes.py, reg 1e-4), 8."""

SEPARABLE, DECIDED = 0.1, 4
"""Mean loss, in units of that of equal scores for one class, below which the classes are as good as separable. After
DECIDED rounds such a search continues without acceleration: its optimal weights are large, and a larger ridge keeps
them small."""

MEAN_SHARE, MEAN_POWER = 0.05, 4.0
"""Least share of a round's weights in their running mean, and the number over the rounds that it falls with before. On
those digits, between rounds 20 and 70, the mean halves the loss that is left to gain."""

BOTH = 4
"""Rounds between two comparisons of the running mean with the last weights."""

NEAR = 0.5
"""Estimated relative gap of a large problem from which on that scale is worth its time."""

SCALES = (0.5, 2.0)
"""Range of the factor of (W, b) that is optimised: a dual point far from its optimum overshoots by more, but then the
gap is large whatever the factor."""

SCALE_STEPS = 22
"""Bisections for that factor: to 4e-7, which costs the penalty as small a share."""

FIRST_LOOK, FIRST_LOOK_OF_LARGE, LARGE = 100, 16, 5e7
"""Rounds after which, and after twice and four times as many, the rate is looked at, by the multiplications of a pass:
rounds of small problems cost nothing, and they may take a hundred before they converge."""

GAINS_SPEED = 3.0
"""Factor by which the rate may still rise. From round 16 to 32 the hinge on 10,000 images of many_classes.py at reg
1e-4, which is certified, gains a digit; on 50,000, where it takes thousands of rounds, a hundredth."""


@final
@dataclass(frozen=True)
class DualAscent(Optimizer):
    """Maximises the dual over the numbers of one image at a time, each image to its own optimum.

        G_i <- argmax of the dual in the row of image i,   W = soft(-sum_i a_i G_i x'_iᵀ, sizes) / (2 squares)

    For a loss that is a sum over margins (`Loss.margin_power`) the optimum of a row is a root of one equation. A round
    is a sweep over all images and classes, then ten over the coordinates that are not 0. For up to 8,192 images their
    products with each other are kept (the Gram form), and all scores; for more, the images in float32. The bias has no
    penalty, so the columns of G must sum to 0. Each round gives it a small penalty about its last value.

    In float32 a round first finds all violated margins by one matrix product, on all threads, and lists them with the
    coordinates that are not 0; its sweeps visit the pairs of image and class that are listed, and no others. After it
    the weights are computed anew from G, in float64.

    Many images with a small reg make these sweeps slow. Then each round has a larger squared penalty about a point that
    Nesterov's method moves from round to round. The candidate is the last weights or their running mean, and so is the
    dual point.

    Kept for each image, beyond the images: K numbers in float64, with acceleration 2 K, and D in float32; in the Gram
    form 2 K and N in float64. A sweep runs on one thread.

    Args:
        tol: relative duality gap to reach, >= 0.
        max_iter: rounds at most, >= 0; a round is an epoch of the trace.
        seed: of the order in which the images are visited.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Hsieh, Chang, Lin, Keerthi and Sundararajan, "A dual coordinate descent method for large-scale linear SVM",
        2008; Wang and Scott, "An exact solver for the Weston-Watkins SVM subproblem", 2021; Shalev-Shwartz and Zhang,
        "Accelerated proximal stochastic dual coordinate ascent for regularized loss minimization", 2014.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l2", reg=0.1, engine="reference")
        >>> solution = DualAscent(tol=1e-4).minimize(objective)
        >>> solution.status.name, round(solution.certificate.objective, 3)
        ('CERTIFIED', 0.2)
    """

    tol: float = 1e-4
    max_iter: int = 1000
    seed: int = 0
    name: ClassVar[str] = "dual-ascent"

    def __post_init__(self) -> None:
        check_range("tol", self.tol, low=0.0)
        check_range("max_iter", self.max_iter, low=0)
        check_range("seed", self.seed, low=0)

    def minimize(
        self,
        objective: Objective,
        start: State | None = None,
        callback: Callback | None = None,
        validation: Objective | None = None,
        watch: Watch | None = None,
    ) -> Solution:
        """The weights found, with their certificate; one row of the trace per round.

        Raises:
            IncompatibleError: the loss is no sum over margins, or the penalty has no sum W².
        """
        if objective.loss.margin_power is None or objective.l2_weight == 0.0:
            raise IncompatibleError(
                f"DualAscent needs a loss that is a sum over margins and a penalty with sum W²; found "
                f"{type(objective.loss).__name__} and {type(objective.penalty).__name__} with reg {objective.reg:g}. "
                "Use loss='hinge' or 'squared-hinge' with penalty='l2' or 'elastic-net', or optimizer='exact'."
            )
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            return _Search(self, objective, start, callback, validation).run()


def suits_dual_ascent(objective: Objective) -> bool:
    """Whether `DualAscent` can minimise the objective within its limit of memory."""
    return objective.loss.margin_power is not None and objective.l2_weight > 0.0 and dual_bytes(objective) <= MOST_BYTES


def dual_bytes(objective: Objective, tol: float = 1e-4) -> int:
    """Bytes that `DualAscent` keeps of the objective, beyond the images."""
    N, D, K = objective.n_images, objective.n_features, objective.n_classes
    if _in_gram_form(objective, N):
        return 8 * N * (2 * K + N)
    return N * (8 * 2 * K + D * (4 if _in_singles(N, D, tol) else 8))


def _in_gram_form(objective: Objective, n: int) -> bool:
    return objective.l1_weight == 0.0 and n <= min(MOST_SINGLE_GRAM, GRAM_SHARE * objective.n_features)


def _in_singles(n: int, n_features: int, tol: float) -> bool:
    return n * n_features > SINGLE_ROWS and tol >= SINGLE_TOL


@dataclass(frozen=True)
class _Margins:
    """L_i = sum_{j != y} h(s_j - s_y + delta) with h' = clip(curvature u, 0, most)."""

    delta: float
    most: float
    curvature: float

    @classmethod
    def of(cls, objective: Objective) -> _Margins:
        """Those of the loss."""
        most, curvature = {1: (1.0, math.inf), 2: (math.inf, 2.0)}[objective.loss.margin_power or 1]
        return cls(objective.loss.unit, most, curvature)


class _Images:
    """The images that count, of the classes that occur: a class without images has W = 0 and a bias that is low enough.

    Attributes:
        counted: (n,) positions of the images whose weight is above 0; with lists in an order by lot.
        listed: whether rounds go over lists of pairs.
        present: (K',) the classes that occur among them.
        y, share: (n,) labels among the present classes, and a_i.
        mean: (D,) of the mapped rows, weighted.
        gram: whether `rows` are the products (n, n) of the images, else the images (n, D), both about the mean.
        rows, squares: and the squares (n,) of each image.
    """

    def __init__(self, objective: Objective, tol: float, seed: int) -> None:
        shares = objective.shares()
        with np.errstate(over="ignore", divide="ignore"):
            usable = np.isfinite(1.0 / shares) & (shares > 0.0)
        self.counted = np.flatnonzero(usable)
        n, D = len(self.counted), objective.n_features
        self.gram = _in_gram_form(objective, n)
        self.listed = not self.gram and tol >= LISTED_TOL and _in_singles(n, D, tol)
        if self.listed:
            self.counted = np.random.Generator(np.random.PCG64(seed)).permutation(self.counted)
        self.present, labels = np.unique(objective.examples.y[self.counted], return_inverse=True)
        self.y = np.ascontiguousarray(labels.reshape(-1), dtype=np.int64)
        self.share = np.ascontiguousarray(shares[self.counted])
        self.mean = objective.statistics.class_means.sums.sum(axis=0)
        self.all_in_order = n == objective.n_images and not self.listed
        self.rows: Floats
        if self.gram:
            dtype = np.float64 if len(self.counted) <= MOST_GRAM else np.float32
            self.rows = centred_products(objective, self.counted, self.mean, dtype)
            self.squares: Floats = np.diagonal(self.rows).astype(np.float64)
        else:
            self.rows = np.empty((n, D), np.float32 if _in_singles(n, D, tol) else np.float64)
            centred_rows(objective, self.counted, self.mean, self.rows)
            self.squares = np.einsum("ij,ij->i", self.rows, self.rows, dtype=np.float64)


@dataclass
class _Measure:
    """What a round reached, estimated from the scores at hand."""

    primal: float  # of the candidate
    data_loss: float
    penalty: float
    accuracy: float
    scale: float  # of the candidate: (W, b) times this
    dual: float = -math.inf  # of the dual point once its columns are evened out
    mean_dual: float = -math.inf  # of the mean of the dual points
    columns: Floats = field(default_factory=lambda: np.zeros(0))  # (K',) their sums
    cost: float = 0.0  # what they cost the dual, with its sign


class _Search:
    """One minimisation: the dual point, and what is known of it."""

    def __init__(
        self,
        settings: DualAscent,
        objective: Objective,
        start: State | None,
        callback: Callback | None,
        validation: Objective | None,
    ) -> None:
        self.settings, self.objective, self.validation = settings, objective, validation
        margins = self.margins = _Margins.of(objective)
        numbers, arrays = ({}, {}) if start is None else (start.numbers, start.arrays)
        self.clock, self.trace = Clock(numbers.get("seconds", 0.0)), Trace(objective, validation, callback)
        self.reported = callback is not None
        images = self.images = _Images(objective, settings.tol, settings.seed)
        n, K, D = len(images.y), len(images.present), images.rows.shape[1]
        ridge, squares = 2.0 * objective.l2_weight, images.squares
        mean = float(images.share @ squares / images.share.sum())
        self.ridge, ill = ridge, mean / (n * ridge)
        accelerated = not images.gram and ill > ILL
        # what the acceleration adds to the ridge: (extra / 2) |W - centre|²
        self.extra = numbers.get("extra", max(0.0, math.sqrt(ill) / EXTRA - 1.0) * ridge if accelerated else 0.0)
        self.model = DualModel(
            images.rows,
            squares,
            images.y,
            images.share,
            ridge=ridge + self.extra,
            size=objective.l1_weight,
            bias=numbers.get("bias", max(BIAS_STEP * mean / (ridge + self.extra), LEAST_BIAS * margins.delta)),
            delta=margins.delta,
            most=margins.most,
            curvature=margins.curvature,
            A=arrays["A"].copy() if "A" in arrays else np.zeros((n, K)),
            V=arrays["V"].copy() if "V" in arrays else np.zeros((K, D)),
            W=None if images.gram else np.zeros((K, D)),
            b=arrays["dual_b"].copy() if "dual_b" in arrays else np.zeros(K),
        )
        if self.model.W is not None:
            self.model.W[:] = _weights(self.model.V, self.model.size, self.model.ridge)
        shape = (0, 0) if images.gram else (K, D)
        self.centre = arrays["centre"].copy() if "centre" in arrays else np.zeros(shape)
        self.before = arrays["before"].copy() if "before" in arrays else np.zeros(shape)  # W of the round before
        self.mean = (arrays["mean_W"].copy(), arrays["mean_b"].copy()) if "mean_W" in arrays else None
        self.mean_of_dual = (arrays["mean_A"].copy(), arrays["mean_V"].copy()) if "mean_A" in arrays else None
        self.proves_mean = numbers.get("proves_mean", 0.0) > 0.0  # whether that of the dual points is the better one
        self.averaged = numbers.get("averaged", 0.0) > 0.0  # whether the mean was the better candidate
        self.averages = int(numbers.get("averages", 0.0))
        self.rounds = 0 if start is None else start.epoch
        self.passes = numbers.get("passes", 0.0)
        self.gain = numbers.get("gain", 0.0)  # predicted for the last sweep
        self.wanted = numbers.get("wanted", PROMISE * settings.tol)
        self.least = numbers.get("least", math.inf)  # the lowest objective of a candidate
        self.left = numbers.get("left", math.inf)  # the estimated gap
        self.left_before = numbers.get("left_before", math.inf)  # AGAIN rounds before or less
        self.sweeps = int(numbers.get("sweeps", SPARSE))  # over the coordinates that are not 0
        self.halfway = numbers.get("halfway", 0.0)  # a round, and what was left then as a share of the objective
        self.halfway_left = numbers.get("halfway_left", math.nan)
        self.hopeless = numbers.get("hopeless", 0.0) > 0.0
        zeros = np.zeros((objective.n_classes, objective.n_features)), np.zeros(objective.n_classes)
        self.best: tuple[Floats, Floats] | tuple[Floats, float, Floats] = (
            (arrays["W"], arrays["b"]) if "W" in arrays else zeros
        )
        self.per_pass = 2.0 * objective.n_images * objective.n_classes * max(1, objective.n_features)
        if images.gram:
            self.passes += 0.5 * n * n / (2.0 * objective.n_images * objective.n_classes) if start is None else 0.0

    def run(self) -> Solution:
        """Rounds until the gap is small enough, or the budget is spent."""
        certificate: Certificate | None = None
        status: Status | None = None
        try:
            if self.rounds == 0 and math.isinf(self.least):
                status = self._begin()
            while status is None:
                negligible = self.rounds > 0 and self.least <= absolute_tol(self.objective, self.settings.tol)
                if (
                    self.left <= self._hoped() or negligible
                ):  # a search that is resumed here begins with the certificate
                    certificate = self._certify(self._even())
                    self.passes = certificate.passes
                    status = proved_status(self.objective, certificate, self.settings.tol)
                    if status is not None:  # an absolute gap ends it where a relative one was expected
                        break
                    # what the certificate lost against the estimate, it will lose again
                    hoped = self.settings.tol - 1.1 * (certificate.relative_gap - self.left / max(self.least, 1e-300))
                    self.wanted = max(0.25 * self.wanted, min(hoped, 0.9 * self.wanted))
                if self.rounds >= self.settings.max_iter or self.hopeless:
                    status = Status.MAX_ITER
                    break
                self._round()
                measure = self._measure()
                self.left = self.least - max(measure.dual, measure.mean_dual)
                self.proves_mean = measure.mean_dual > measure.dual
                self._settle(measure)
                if self.extra > 0.0 and self.rounds == DECIDED and self._separable(measure):
                    self._slow_down(measure)
                self._accelerate()
                self._look_back()
                if self._report(measure):
                    status = Status.STOPPED
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        if certificate is None or status not in (Status.CERTIFIED, Status.CERTIFIED_ABSOLUTE):
            certificate = self._certify(self._even())
            if status is Status.MAX_ITER:
                status = proved_status(self.objective, certificate, self.settings.tol) or status
        W, b = self._candidate()
        words = {"form": "products of the images" if self.images.gram else "images", "bias": f"{self.model.bias:g}"}
        return Solution(
            W,
            b,
            status,
            self.trace.history,
            self._state(self.clock()),
            certificate.passes,
            self.clock(),
            words,
            certificate,
        )

    def _begin(self) -> Status | None:
        """The row of W = 0, which reads no image."""
        W, b = self._candidate()
        evaluation = self.objective.with_penalty(self.objective.gradient_at_zero(b), W)[0]
        self.least = evaluation.objective
        return Status.STOPPED if self._row(evaluation) else None

    def _round(self) -> None:
        """A sweep over all coordinates, and those over the coordinates that are not 0."""
        if self.images.listed:
            self._listed_round()
            return
        model, n = self.model, len(self.images.y)
        random = np.random.Generator(np.random.PCG64([self.settings.seed, self.rounds]))
        for sweep in range(1 + SPARSE):
            self.gain, products = self.objective.engine.algebra.ascend(
                model, random.permutation(n), everything=sweep == 0, threshold=SHARE_OF_GAIN * self.gain / n
            )
            self.passes += products * model.rows.shape[1] / self.per_pass
        self.rounds += 1

    def _listed_round(self) -> None:
        """The same with violated margins found for all images at once, at the weights before the round.

        A coordinate that is 0 and whose margin is met there is not visited in this round. The sweeps add to weights in
        float32; those that follow from the dual point take their place after the round.
        """
        model, algebra, n = self.model, self.objective.engine.algebra, len(self.images.y)
        pairs = self._pairs()
        assert model.W is not None
        random = np.random.Generator(np.random.PCG64([self.settings.seed, self.rounds]))
        products = 0
        for sweep in range(1 + self.sweeps):
            self.gain, made = algebra.ascend_pairs(
                model, pairs, _order_by_lot(random, n), everything=sweep == 0, threshold=SHARE_OF_GAIN * self.gain / n
            )
            products += made
        model.A[pairs.images(), pairs.classes] = pairs.A
        model.V[:] = algebra.dual_sums(model, pairs) + self.extra * self.centre
        model.W[:] = _weights(model.V, model.size, model.ridge)
        self.passes += 0.5 + (products + len(pairs.A)) * model.rows.shape[1] / self.per_pass
        self.rounds += 1

    def _pairs(self) -> DualPairs:
        """The coordinates that are not 0, or whose margin is violated at the weights of the model.

        Of an image with very many of the latter, those with the largest scores.
        """
        model, y = self.model, self.images.y
        assert model.W is not None
        W, b, K = model.W.astype(np.float32), model.b.astype(np.float32), len(model.b)
        most = max(LEAST_LISTED, MOST_LISTED // len(y))

        def found(block: slice) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Floats]:
            A, n = model.A[block], np.arange(block.stop - block.start)
            S = model.rows[block] @ W.T
            S += b
            met = S[n, y[block]][:, None] - np.float32(model.delta)
            own = A != 0.0
            listed = (met < S) & ~own
            listed[n, y[block]] = False
            if most < K and len(many := np.flatnonzero(listed.sum(axis=1) > most)):
                largest, violated = np.zeros((len(many), K), bool), np.where(listed[many], S[many], -np.inf)
                np.put_along_axis(largest, np.argpartition(-violated, most, axis=1)[:, :most], True, axis=1)
                listed[many] &= largest
            listed |= own
            image, k = np.nonzero(listed)
            return np.bincount(image, minlength=len(n)), k.astype(np.int32), A[image, k]

        blocks = slices(len(y), max(1, LISTED_SCORES // K))
        parts = list(by_threads(found, blocks, self.objective.engine.n_threads or usable_cores()))
        counts, classes, A = (np.concatenate([part[i] for part in parts]) for i in range(3))
        ends = np.concatenate([[0], np.cumsum(counts)])
        return DualPairs(ends, classes, A, model.V.astype(np.float32), W if model.size > 0.0 else None)

    def _columns(self, A: Floats) -> Floats:
        """(K',) the sums c of the columns of the dual point A."""
        y = self.images.y
        columns: Floats = A.sum(axis=0) - np.bincount(y, weights=A.sum(axis=1), minlength=A.shape[1])
        return columns

    def _settle(self, measure: _Measure) -> None:
        """A step of the proximal point method for the bias; with a smaller penalty if the columns cost much.

        The next round has its penalty about the bias of this one, and begins at the bias that the columns predict.
        """
        model = self.model
        if abs(measure.cost) > (self.least - measure.dual) / 3.0 and self.rounds > 3:
            self.model = model = replace(model, bias=FIRM * model.bias)
        model.b[:] -= model.bias * measure.columns

    def _separable(self, measure: _Measure) -> bool:
        return measure.data_loss < SEPARABLE * float(_margin_loss(np.array(self.margins.delta), self.margins)[0])

    def _accelerate(self) -> None:
        """Move the centre of the extra penalty: Nesterov's extrapolation of the weights of the last two rounds."""
        model = self.model
        if self.extra == 0.0 or model.W is None:
            return
        root = math.sqrt(self.ridge / model.ridge)
        centre = model.W + (1.0 - root) / (1.0 + root) * (model.W - self.before)
        self.before = model.W.copy()
        model.V[:] += self.extra * (centre - self.centre)
        self.centre = centre
        model.W[:] = _weights(model.V, model.size, model.ridge)

    def _slow_down(self, measure: _Measure) -> None:
        """Go on without acceleration, from the dual point at hand or, if that is better, from 0."""
        model = self.model
        model.V[:] -= self.extra * self.centre
        if measure.dual < 0.0:
            model.A[:], model.V[:], model.b[:] = 0.0, 0.0, 0.0
        self.model = model = replace(model, ridge=self.ridge, bias=model.bias * model.ridge / self.ridge)
        assert model.W is not None
        model.W[:] = _weights(model.V, model.size, model.ridge)
        self.extra, self.mean, self.centre = 0.0, None, np.zeros_like(model.W)
        self.mean_of_dual, self.proves_mean = None, False

    def _measure(self) -> _Measure:
        """The dual point, and the best of the candidates that are tried."""
        model, images = self.model, self.images
        A = model.A
        columns = self._columns(A)
        cost = float(columns @ model.b)
        dual = self._dual_of_margins(A) + cost
        if model.W is None:
            S, y = model.V.T / model.ridge, images.y
            own = float(A.sum(axis=1) @ S[np.arange(len(y)), y])
            squares = 0.5 * (own - float(np.einsum("ij,ij->", A, S)))  # (ridge / 2) |W|²
            S += model.b
            found = self._candidate_at(S, squares, 0.0)
            if found.primal < self.least:
                self.least, self.best = found.primal, (A.copy(), found.scale, found.scale * model.b)
            return replace(found, dual=dual - squares, columns=columns, cost=cost)
        V = model.V - self.extra * self.centre if self.extra > 0.0 else model.V
        dual -= 0.5 * self.ridge * float(np.square(_weights(V, model.size, self.ridge)).sum())
        if self.mean is None:
            self.mean, self.averages = (model.W.copy(), model.b.copy()), 0
        self.averages += 1
        share = max(MEAN_SHARE, MEAN_POWER / (self.averages + MEAN_POWER - 1.0))
        for mean, last in zip(self.mean, (model.W, model.b), strict=True):
            mean += share * (last - mean)
        mean_dual = self._mean_dual(V, share) if self.extra > 0.0 else -math.inf
        tried = [self.mean if self.averaged else (model.W, model.b)]
        if self.rounds % BOTH == 0:
            tried = [(model.W, model.b), self.mean]
        reached = [self._candidate_of(W, b) for W, b in tried]
        best = min(reached, key=lambda measure: measure.primal)
        if len(reached) == 2:
            self.averaged = best is reached[1]
        return replace(best, dual=dual, mean_dual=mean_dual, columns=columns, cost=cost)

    def _mean_dual(self, V: Floats, share: float) -> float:
        """What the running mean of the dual points reaches, the last one with `share` in it.

        With acceleration the weights that belong to a dual point are off those of the round by what the extra penalty
        pulls them; in the mean that pull cancels.

        Args:
            V: of the last dual point, without the extra penalty's.
        """
        model = self.model
        if self.mean_of_dual is None:
            self.mean_of_dual = model.A.copy(), V.copy()
        A, mean_V = self.mean_of_dual
        A *= 1.0 - share
        A += share * model.A
        mean_V += share * (V - mean_V)
        assert self.mean is not None
        squares = float(np.square(_weights(mean_V, model.size, self.ridge)).sum())
        return self._dual_of_margins(A) + float(self._columns(A) @ self.mean[1]) - 0.5 * self.ridge * squares

    def _dual_of_margins(self, A: Floats) -> float:
        """The dual value of A without that of the penalty."""
        margins = self.margins
        value = margins.delta * float(A.sum())
        if not math.isinf(margins.curvature):
            value -= float((np.square(A).sum(axis=1) / self.images.share).sum()) / (2.0 * margins.curvature)
        return value

    def _candidate_of(self, W: Floats, b: Floats) -> _Measure:
        """What (W, b) of the present classes, about the mean, reach; they are kept if that is the least so far."""
        images, objective = self.images, self.objective
        at, bias = self._true(W, b)
        if images.listed and not self._scales():
            self.passes += 0.5
            sums = objective.engine.loss_and_gradient(at, bias, objective.loss, need_gradient=False)
            data_loss, penalty = sums.loss / objective.examples.total_weight, objective.penalty_value(at)
            found = _Measure(data_loss + penalty, data_loss, penalty, sums.accuracy, 1.0)
            if found.primal < self.least:
                self.least, self.best = found.primal, (at, bias)
            return found
        S = objective.engine.scores(at, bias, None if images.all_in_order else images.counted)
        S = S if len(images.present) == objective.n_classes else S[:, images.present]
        self.passes += 0.5
        squares, sizes = 0.5 * self.ridge * float(np.square(W).sum()), objective.l1_weight * float(np.abs(W).sum())
        found = self._candidate_at(S, squares, sizes)
        if found.primal < self.least:
            self.least, self.best = found.primal, self._true(found.scale * W, found.scale * b)
        return found

    def _candidate_at(self, S: Floats, squares: float, sizes: float) -> _Measure:
        """What the scores S (n, K') reach, which are changed; reg R(t W) = t² squares + t sizes."""
        images, margins = self.images, self.margins
        y, n = images.y, np.arange(len(images.y))
        accuracy = float(images.share @ (S.argmax(axis=1) == y))
        S -= S[n, y][:, None]
        S[n, y] = -np.inf  # no margin
        scale = 1.0
        if self._scales():
            scale = _best_scale(S, images.share, margins, squares, sizes)
        S *= scale
        S += margins.delta
        data_loss = float(images.share @ _margin_loss(S, margins)[0].sum(axis=1))
        penalty = scale**2 * squares + scale * sizes
        return _Measure(data_loss + penalty, data_loss, penalty, accuracy, scale)

    def _scales(self) -> bool:
        """Whether the factor of a candidate is optimised."""
        near = self.left < NEAR * self.least or self.per_pass < LARGE
        return near and self.extra == 0.0 and len(self.images.y) * len(self.images.present) <= HELD_SCORES

    def _true(self, W: Floats, b: Floats) -> tuple[Floats, Floats]:
        """(W (K, D), b (K,)) for the images as they are, from those of the present classes about the mean."""
        objective, present = self.objective, self.images.present
        b = b - W @ self.images.mean
        if len(present) == objective.n_classes:
            return W.copy(), b
        all_W, all_b = np.zeros((objective.n_classes, objective.n_features)), np.zeros(objective.n_classes)
        all_W[present], all_b[present] = W, b
        absent = np.setdiff1d(np.arange(objective.n_classes), present)
        own = objective.engine.scores(all_W, all_b, self.images.counted)[
            np.arange(len(self.images.y)), present[self.images.y]
        ]
        all_b[absent] = own.min() - self.margins.delta - 1e-6 * (self.margins.delta + np.abs(own).max())
        return all_W, all_b

    def _candidate(self) -> tuple[Floats, Floats]:
        """The best (W, b) so far."""
        if len(self.best) == 3:
            A, scale, b = self.best
            images, objective = self.images, self.objective
            G = np.zeros((objective.n_images, len(images.present)))
            G[images.counted] = self._signed(A)
            V = -objective.engine.gradient_of_scores(G, precise=True)[0]
            V += G.sum(axis=0)[:, None] * images.mean
            self.best = self._true(scale / self.model.ridge * V, b)
        return self.best

    def _signed(self, A: Floats) -> Floats:
        """a_i G_i (n, K') of A."""
        G = A.copy()
        G[np.arange(len(G)), self.images.y] = -A.sum(axis=1)
        return G

    def _even(self) -> Floats:
        """The better dual point, with columns that sum to 0.

        Each coordinate moves by a share of its distance from its nearer bound.

        What the images of class k put on class j is a flow from k to j; flows weighted by these distances, and changed
        by potentials tau_k - tau_j, even out the columns where L tau = c, with L the Laplacian of the flows.
        """
        A, y, share = self.model.A, self.images.y, self.images.share
        if self.proves_mean and self.mean_of_dual is not None:
            A = self.mean_of_dual[0]
        columns = self._columns(A)
        room = np.minimum(A, share[:, None] * self.margins.most - A)
        order = np.argsort(y, kind="stable")
        flows = np.add.reduceat(room[order], np.searchsorted(y[order], np.arange(A.shape[1])), axis=0)
        flows = flows + flows.T
        sums = flows.sum(axis=1)
        roots = np.sqrt(np.where(sums > 0.0, sums, 1.0))
        laplacian = (np.diag(sums) - flows) / roots / roots[:, None]
        if not np.isfinite(laplacian).all():
            return A
        inverse = np.linalg.pinv(laplacian, rcond=1e-13, hermitian=True)
        tau = inverse @ (columns / roots) / roots
        largest = float(np.ptp(tau))
        tau *= min(1.0, 0.5 / largest) if largest > 0.0 else 1.0
        evened: Floats = A + room * (tau[y][:, None] - tau)
        return evened

    def _certify(self, A: Floats) -> Certificate:
        """The certificate of the candidate, with the dual point A."""
        images, objective = self.images, self.objective
        G = np.zeros((objective.n_images, objective.n_classes))
        G[np.ix_(images.counted, images.present)] = self._signed(A / images.share[:, None])
        W, b = self._candidate()
        return certify(objective, W, b, G, passes=self.passes, seconds=self.clock())

    def _hoped(self) -> float:
        """The estimated gap from which on a certificate is computed."""
        return self.wanted * self.least if self.rounds > 0 else -math.inf

    def _look_back(self) -> None:
        """At the rate of the last half of the rounds, tol may be out of reach."""
        if self.extra > 0.0 and self.rounds % AGAIN == 0:
            if self.left > FALL * self.left_before:
                self.sweeps = min(2 * self.sweeps, MOST_SPARSE)
            self.left_before = self.left
        first = FIRST_LOOK if self.per_pass < LARGE else FIRST_LOOK_OF_LARGE
        if self.rounds < max(first, 2.0 * self.halfway):
            return
        share, hoped = self.left / max(self.least, 1e-300), self.wanted
        before, after = self.halfway_left, max(share, 1e-300)
        self.halfway, self.halfway_left = float(self.rounds), after
        if share > hoped and not math.isnan(before):
            rate = math.log(before / after) / (0.5 * self.rounds)
            self.hopeless = GAINS_SPEED * rate * (self.settings.max_iter - self.rounds) < math.log(
                after / max(hoped, 1e-300)
            )

    def _report(self, measure: _Measure) -> bool:
        norm = float(np.sqrt(np.square(measure.columns).sum()))
        return self._row(Evaluation(measure.primal, measure.data_loss, measure.penalty, measure.accuracy, norm))

    def _row(self, evaluation: Evaluation) -> bool:
        """Report a row; whether the callback asks to stop."""
        held_out = None if self.validation is None else self.validation.evaluate(*self._candidate())
        seconds = self.clock()
        state = self._state(seconds) if self.reported else State(self.rounds, {}, {})
        return self.trace.add((evaluation, held_out), state, learning_rate=0.0, passes=self.passes, seconds=seconds)

    def _state(self, seconds: float) -> State:
        """All that is needed to resume."""
        model = self.model
        W, b = self._candidate()
        arrays = {"W": W, "b": b, "A": model.A, "V": model.V, "dual_b": model.b}
        if self.mean is not None:
            arrays |= {"mean_W": self.mean[0], "mean_b": self.mean[1]}
        if self.mean_of_dual is not None:
            arrays |= {"mean_A": self.mean_of_dual[0], "mean_V": self.mean_of_dual[1]}
        if self.extra > 0.0:
            arrays |= {"centre": self.centre, "before": self.before}
        numbers = {
            "seconds": seconds,
            "passes": self.passes,
            "bias": model.bias,
            "extra": self.extra,
            "averaged": float(self.averaged),
            "proves_mean": float(self.proves_mean),
            "averages": float(self.averages),
            "gain": self.gain,
            "wanted": self.wanted,
            "least": self.least,
            "left": self.left,
            "left_before": self.left_before,
            "sweeps": float(self.sweeps),
            "halfway": self.halfway,
            "halfway_left": self.halfway_left,
            "hopeless": float(self.hopeless),
        }
        return State(self.rounds, arrays, {name: number for name, number in numbers.items() if math.isfinite(number)})


def _order_by_lot(random: np.random.Generator, n: int) -> npt.NDArray[np.int64]:
    """(n,) the numbers below n, in chunks that follow each other by lot."""
    order = random.permutation(-(-n // CHUNK))[:, None] * CHUNK + np.arange(CHUNK)
    return order[order < n]


def _weights(V: Floats, size: float, ridge: float) -> Floats:
    weights: Floats = (V - np.clip(V, -size, size)) / ridge
    return weights


def _margin_loss(M: Floats, margins: _Margins) -> tuple[Floats, Floats]:
    """(h, h') of the numbers M."""
    M = np.maximum(M, 0.0)
    if math.isinf(margins.curvature):
        return margins.most * M, margins.most * (M > 0.0)
    slopes = np.minimum(margins.curvature * M, margins.most)
    return slopes * (M - 0.5 * slopes / margins.curvature), slopes


def _best_scale(differences: Floats, share: Floats, margins: _Margins, squares: float, sizes: float) -> float:
    """The factor t of (W, b) with the least objective, by bisection of its slope.

    For separable images the loss left at the optimum is tiny: the dual point nears it long before the margins are met,
    and slightly larger weights meet them.

    Args:
        differences: (n, K) s_j - s_y, -inf for the label.
        squares, sizes: reg R(t W) = t² squares + t sizes.
    """
    low, high = SCALES
    rows, classes = np.nonzero(differences > -margins.delta / low)  # the others have no loss for any factor
    d, a = differences[rows, classes], share[rows]
    constant, linear = sizes, 2.0 * squares  # the slope is constant + linear t, and the sum over d that are not settled

    def slopes(d: Floats, a: Floats) -> tuple[float, float]:
        if math.isinf(margins.curvature):
            return margins.most * float(a @ d), 0.0
        return margins.curvature * margins.delta * float(a @ d), margins.curvature * float(a @ np.square(d))

    with np.errstate(divide="ignore"):
        ends = np.where(d < 0.0, -margins.delta / d, np.inf)  # the factor at which the margin is met
    for _ in range(SCALE_STEPS):
        t = 0.5 * (low + high)
        violated = ends > t
        more = slopes(d[violated], a[violated])
        if constant + more[0] + (linear + more[1]) * t < 0.0:
            low, kept = t, violated
        else:
            high, kept = t, ~violated
            constant, linear = constant + more[0], linear + more[1]
        d, a, ends = d[kept], a[kept], ends[kept]
    return high
