"""Choosing reg: the whole grid solved on each part of the images and evaluated on the images left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Generic

import numpy as np
import numpy.typing as npt

from linprobe.certificate import Certificate
from linprobe.classifiers.model import AnyModel
from linprobe.classifiers.rows import Rows
from linprobe.objective import Objective
from linprobe.optimizers.base import Solution, Status
from linprobe.optimizers.normal_equations import ExactMoment, exact_moment
from linprobe.optimizers.obstacles import obstacle
from linprobe.optimizers.path import Path, Progress, path_moment, solve_path
from linprobe.optimizers.preconditioner import SecondMoment
from linprobe.shapes import Floats

__all__ = ["SAME", "Choice", "PartScores", "Selector"]


@dataclass(frozen=True)
class PartScores:
    """A grid solved on one part of the images.

    Attributes:
        accuracies, losses: (L,) on the images left out: share classified correctly, mean of L_i.
        certificates, statuses: of the L members, for the images they were trained on.
        passes, seconds: of all of them together.
        train_accuracies: (L,) share of the images trained on that is classified correctly.
        norms: (L,) sqrt(sum W²), without the bias.
        zeros: (L,) share of the weights that are exactly 0.
        weights: W (K, D) and b (K,) of each member, if they were to be kept.
    """

    accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    certificates: tuple[Certificate, ...]
    statuses: tuple[Status, ...]
    passes: float
    seconds: float
    train_accuracies: tuple[float, ...]
    norms: tuple[float, ...]
    zeros: tuple[float, ...]
    weights: tuple[tuple[Floats, Floats], ...] = ()


@dataclass(frozen=True)
class Choice:
    """The reg value with the highest accuracy on images left out, on average; of equal ones the largest.

    Attributes:
        regs: (L,) ascending.
        parts: the scores of each part.
    """

    regs: tuple[float, ...]
    parts: tuple[PartScores, ...]

    @property
    def accuracies(self) -> npt.NDArray[np.float64]:
        """(L,) mean over the parts."""
        mean: npt.NDArray[np.float64] = np.mean([part.accuracies for part in self.parts], axis=0)
        return mean

    @property
    def losses(self) -> npt.NDArray[np.float64]:
        """(L,) mean over the parts."""
        mean: npt.NDArray[np.float64] = np.mean([part.losses for part in self.parts], axis=0)
        return mean

    @property
    def best(self) -> int:
        """Position of the chosen value."""
        accuracies = self.accuracies
        return int(np.flatnonzero(accuracies >= accuracies.max() - SAME)[-1])


SAME = 1e-13
"""Difference of two mean accuracies below which they are equal: their sums round differently by some 1e-16, and one
image of a hundred thousand more, in a fold that is larger by one, changes them by 1e-11."""


class Selector(Generic[AnyModel]):
    """Solves the grid on parts of the images, and the chosen member on all of them.

    The second moment of all images is computed once. That of a part is the total minus that of the images left out.
    Smooth objectives share a sampled one, since a preconditioner need not be exact.

    Args:
        classifier: untrained, with `classes_` set; every member has its parameters except reg.
        images: all images for training.
        regs: the grid.
        callback: called after each step of each member.
    """

    def __init__(
        self,
        classifier: AnyModel,
        images: Rows,
        regs: Sequence[float],
        callback: Callable[[Progress], None] | None = None,
    ) -> None:
        self.classifier, self.images, self.regs, self.callback = classifier, images, tuple(regs), callback
        self._cached: tuple[AnyModel, Objective, SecondMoment | ExactMoment | None] | None = None

    def part(self, train: npt.NDArray[np.int64] | None, held_out: Rows, keep: bool = False) -> PartScores:
        """The grid solved on the images at positions `train` (None for all), and evaluated on `held_out`.

        Args:
            held_out: the images for evaluation.
            keep: whether the result holds the weights of the members.
        """
        moment: SecondMoment | ExactMoment | None
        if train is None:
            member, objective, moment = self._prepared()
        else:
            member, objective = self._objective(self.images.at(train))
            moment = self._moment_without(held_out, objective)
        path = self._solve(objective, self.regs, moment)
        held = member.objective_of(held_out.each_once())
        # one by one: a stack of all members' templates would be copied for each thread
        judged = [held.evaluate(solution.W, solution.b) for solution in path.solutions]
        return PartScores(
            tuple(evaluation.accuracy for evaluation in judged),
            tuple(evaluation.data_loss for evaluation in judged),
            tuple(_certificate(solution.certificate) for solution in path.solutions),
            tuple(solution.status for solution in path.solutions),
            path.passes,
            path.seconds,
            tuple(_accuracy(objective, solution) for solution in path.solutions),
            tuple(float(np.sqrt(np.square(solution.W).sum())) for solution in path.solutions),
            tuple(float((solution.W == 0.0).mean()) for solution in path.solutions),
            tuple((solution.W, solution.b) for solution in path.solutions) if keep else (),
        )

    def refit(self, reg: float, start: tuple[Floats, Floats] | None = None) -> AnyModel:
        """The classifier fitted to all images with this reg.

        Args:
            start: W (K, D) and b (K,) near the optimum, for mapped rows, float64: those that reg was chosen by.
        """
        member, objective, moment = self._prepared()
        member, objective = copy(member), objective.with_reg(reg)
        member.reg = reg
        # without a penalty the solver may use another method, with another moment
        path = self._solve(objective, [reg], moment if objective.penalised else None, start)
        member.keep(path.solutions[0], objective)
        return member

    def obstacle(self, reg: float) -> str:
        """What in the images keeps a fit with this reg from a proof, and a next step."""
        _, objective, _ = self._prepared()
        return obstacle(objective.with_reg(reg))

    def _solve(
        self,
        objective: Objective,
        regs: Sequence[float],
        moment: SecondMoment | ExactMoment | None,
        start: tuple[Floats, Floats] | None = None,
    ) -> Path:
        tol, max_iter = self.classifier.tol, self.classifier.max_iter
        return solve_path(
            objective, regs, tol=tol, max_iter=max_iter, callback=self.callback, moment=moment, start=start
        )

    def _objective(self, images: Rows) -> tuple[AnyModel, Objective]:
        member = self.classifier.unfitted(reg=max(self.regs))
        member.begin(self.classifier, images)
        return member, member.objective_of(images)

    def _prepared(self) -> tuple[AnyModel, Objective, SecondMoment | ExactMoment | None]:
        """(member, objective, second moment, if one is needed) of all images, read once."""
        if self._cached is None:
            member, objective = self._objective(self.images)
            tol, max_iter = self.classifier.tol, self.classifier.max_iter
            self._cached = member, objective, path_moment(objective, self.regs, tol=tol, max_iter=max_iter)
        return self._cached

    def _moment_without(self, left_out: Rows, objective: Objective) -> SecondMoment | ExactMoment | None:
        """The moment of all images but `left_out`; None if it cannot be derived and is computed again."""
        member, _, total = self._prepared()
        if not isinstance(total, ExactMoment):
            return total
        D = objective.n_features
        if (
            min(len(left_out.y), objective.n_images) < D
        ):  # then a moment is a Gram matrix of the images, not of the features
            return None
        part = member.objective_of(left_out)
        return total.without(exact_moment(part))


def _accuracy(objective: Objective, solution: Solution) -> float:
    """Share of the images classified correctly, from the last row of the trace if there is one."""
    if solution.history:
        return solution.history[-1]["train_accuracy"]
    return objective.evaluate(solution.W, solution.b).accuracy


def _certificate(certificate: Certificate | None) -> Certificate:
    assert certificate is not None  # the exact optimizers give one
    return certificate
