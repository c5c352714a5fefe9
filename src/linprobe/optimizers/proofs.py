"""Proofs: when an exact method computes a certificate, what it learns from one that fails, and how one is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from linprobe.certificate import Certificate, certify
from linprobe.engines.base import Precision
from linprobe.objective import DataGradient, Objective
from linprobe.optimizers.balance import SINGLE_TOL, balance, nearly_balance
from linprobe.optimizers.predicted_gap import predicted_gap
from linprobe.optimizers.requests import Point, Search
from linprobe.optimizers.trace import Clock
from linprobe.shapes import Floats

__all__ = ["Proof", "ProofPolicy", "prove_near", "prove_with"]

NEAR_THRESHOLD = 100.0
"""Predicted measure, as a multiple of the threshold of an attempt, below which the span of the stored pairs is searched
for a point that proves more; the search costs a matrix product. Chosen by argument: a smaller gradient there lowers the
predicted gap by one or two orders of magnitude at most. Passes in benchmarks/constants.py: no change."""

MIN_CUT, MAX_CUT, HALVED = 0.25, 0.9, 0.5
"""A proof shows a larger measure than was predicted; the difference is its loss. After a failed proof the threshold
becomes the prediction with which the next one would succeed, if its loss is the same. If that is not between MIN_CUT
and MAX_CUT times the threshold, the threshold is multiplied by HALVED. Chosen by argument: the loss shrinks with the
gap, so a larger cut waits too long, and a smaller one fails again."""

LOSS_MARGIN = 1.1
"""Loss that the next proof is expected to have, as a multiple of the last one, for dual ascent. Chosen by argument."""

QUICK_ATTEMPTS = 2
"""Proofs attempted with one Newton step in the bias each, of one pass each, before the bias is balanced exactly.
Chosen by argument: Newton steps converge quadratically, and the exact balance reads the images twice. Passes in
benchmarks/constants.py: no change."""

BLAMED_ON_W = 0.5
"""If the gap predicted from W is at least this share of the proved one, W is the cause of the failure, not the bias,
and the bias is not balanced further. Chosen by argument: a perfect bias would remove the other half at most. Passes in
benchmarks/constants.py: a third: +2%; three times: 0%."""


@dataclass
class ProofPolicy:
    """When an exact method computes a certificate. Each costs a pass or more, and proves less than was predicted.

    The measure is the number that must be at most `tol`: the relative duality gap, or, without a penalty, the norm of
    the gradient relative to its norm at the start. The method predicts it from its passes, and computes a
    certificate once the prediction is at most `threshold`.

    Attributes:
        tol: largest measure that ends the search.
        threshold: largest predicted measure that is worth a proof; it is adapted after each failed proof.
    """

    tol: float
    threshold: float

    def attempts(self, predicted: float, unit: float) -> bool:
        """Whether a proof is worth its passes now.

        Args:
            predicted: the gap, or the norm of the gradient, predicted for it.
            unit: by which it is divided: the objective, or the norm at the start.
        """
        return predicted <= self.threshold * unit

    def is_near(self, predicted: float, unit: float) -> bool:
        """Whether a proof is not worth its passes yet, but nearly."""
        return self.threshold * unit < predicted <= NEAR_THRESHOLD * self.threshold * unit

    def learn(self, predicted: float, proved: float) -> None:
        """Adapt the threshold after a failed proof: the next one is expected to have the same loss.

        Args:
            predicted, proved: the relative measures.
        """
        sufficient = self.tol - (proved - predicted)
        plausible = MIN_CUT * self.threshold < sufficient < MAX_CUT * self.threshold
        self.threshold = sufficient if plausible else HALVED * self.threshold

    def learn_within_bounds(self, predicted: float, proved: float) -> None:
        """The same for a method with close predictions: the cut is limited to its bounds.

        Args:
            predicted, proved: the relative measures.
        """
        sufficient = self.tol - LOSS_MARGIN * (proved - predicted)
        self.threshold = max(MIN_CUT * self.threshold, min(sufficient, MAX_CUT * self.threshold))

    def learn_ratio(self, proved: float) -> None:
        """Adapt the threshold after a failed proof: divide it by the factor by which `proved` missed `tol`, and halve
        it.

        Args:
            proved: the relative measure, above `tol`.
        """
        self.threshold = HALVED * min(self.threshold, self.threshold * self.tol / proved)

    def halve(self) -> None:
        """Lower the threshold after a failed proof whose measure was not predicted."""
        self.threshold *= HALVED


@dataclass(frozen=True)
class Proof:
    """A certificate, its point, and the precision of the pass there."""

    certificate: Certificate
    point: Point
    precision: Precision


def prove_with(
    objective: Objective,
    W: Floats,
    b: Floats,
    gradient: DataGradient,
    passes: float,
    clock: Clock,
    precision: Precision = Precision.PROOF,
) -> Proof:
    """The proof by the data gradient at (W, b); `precision` is that of its pass."""
    certificate = certify(objective, W, b, gradient=gradient, passes=passes, seconds=clock())
    return Proof(certificate, Point(W, b, *objective.with_penalty(gradient, W)), precision)


def prove_near(
    objective: Objective, W: Floats, b: Floats, db: Floats | None, tol: float, passes: float, clock: Clock
) -> Search[Proof]:
    """The proof of (W, b'), with b' near b chosen so that the dual point's columns sum to 0: the bound needs that.

    First by Newton steps in the bias from the gradient `db` (K,) there, None where it is not known. If that does not
    prove `tol`, and the bias is the cause, by an exact balance.
    """
    if db is not None and objective.penalised and tol >= SINGLE_TOL:
        for _ in range(QUICK_ATTEMPTS):
            found = yield from nearly_balance(objective, W, b, db)
            proof = prove_with(objective, W, *found, passes + 1.0, clock)
            gap = proof.certificate.gap
            if proof.certificate.relative_gap <= tol or predicted_gap(objective, proof.point) > BLAMED_ON_W * gap:
                return proof
            passes, b, db = proof.certificate.passes, proof.point.b, proof.point.db
    found = yield from balance(objective, W, b, tol)
    proof = prove_with(objective, W, *found, passes + 2.0, clock, Precision.DOUBLE)
    gap = proof.certificate.gap
    if proof.certificate.relative_gap > tol and predicted_gap(objective, proof.point) <= BLAMED_ON_W * gap:
        # the cause is neither W nor the bias, but the allowance for rounding, or a class of tiny weight
        spent = proof.certificate.passes
        careful = certify(objective, W, proof.point.b, gradient=found[1], careful=True, passes=spent, seconds=clock())
        return replace(proof, certificate=careful)
    return proof
