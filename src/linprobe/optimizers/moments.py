"""The second moments of the features of an objective, computed once for all methods that use them."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from linprobe.objective import Objective
from linprobe.optimizers.normal_equations import ExactMoment, exact_moment
from linprobe.optimizers.preconditioner import SecondMoment, second_moment

__all__ = ["Moments"]


class Moments:
    """The second moments of the features of an objective, each computed when it is first used.

    Args:
        objective: any with these images.
        known: one of them, or None.
        many: whether many reg values will use them.
    """

    def __init__(
        self, objective: Objective, known: SecondMoment | ExactMoment | None = None, *, many: bool = False
    ) -> None:
        self._objective, self._known, self._many = objective, known, many

    @cached_property
    def sampled(self) -> SecondMoment:
        """That of a sample, or of all images if it is known."""
        known = self._known
        if isinstance(known, SecondMoment):
            return known
        if known is not None and known.of_features:
            return SecondMoment(known.mean, known.matrix.astype(np.float32))
        return second_moment(self._objective, many=self._many)

    @cached_property
    def exact(self) -> ExactMoment:
        """That of all images."""
        return self._known if isinstance(self._known, ExactMoment) else exact_moment(self._objective)
