"""What a search over working sets saves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from linprobe.errors import StateError
from linprobe.objective import Objective
from linprobe.optimizers.base import State
from linprobe.optimizers.states import SavedState, saved_array, saved_flag, saved_number, sizes_of
from linprobe.shapes import Floats

__all__ = ["WorkingSetState"]


@final
@dataclass(frozen=True, kw_only=True)
class WorkingSetState(SavedState):
    """What a search over working sets saves; n features are in the set.

    Attributes:
        positions: (n,) the features of the set, as floats; None where W alone is given to begin near.
        centred_b: (K,) the bias of the features about their means.
        G, best_G: (N, K) the multipliers, and the dual point of the highest bound.
        nonzero: (n, K) 1 for weights that may not be 0 at the optimum; None where nothing depends on it.
        may_restrict, may_program: whether `minimize_within`, and the program of the set, may still be used; None for a
            new search.
        restricted: whether the last round solved for the weights that may not be 0 alone.
        newton_steps: of the last round.
        rho: curvature of the smoothed kinks; NaN for its first value.
        slope_tol, damping: of the next round; NaN for those of the first.
        lowest: the lowest relative gap that counted as progress.
        stalled: rounds since then.
        relative_gap, gap, gap_of_set: over all features, and over the set; absolute where not relative.
        value: the objective at the last weights; NaN before the first.
        bound: the highest lower bound.
        threshold: of `ProofPolicy`; NaN for its first value.
    """

    positions: Floats | None = saved_array("n", group="set")
    centred_b: Floats | None = saved_array("K", group="set", key="centred")
    G: Floats | None = saved_array("N", "K", group="set")
    best_G: Floats | None = saved_array("N", "K", group="set")
    nonzero: Floats | None = saved_array("n", "K", key="likely")
    may_restrict: bool | None = saved_flag(key="restricts")
    may_program: bool | None = saved_flag(key="programs")
    restricted: bool = saved_flag(False)
    newton_steps: int = saved_number(0, low=0, key="steps")
    rho: float = saved_number(low=0.0)
    slope_tol: float = saved_number(low=0.0, key="eta")
    damping: float = saved_number(low=0.0)
    lowest: float = saved_number(math.inf, low=0.0)
    stalled: int = saved_number(0, low=0, key="since")
    relative_gap: float = saved_number(math.inf, low=0.0)
    gap: float = saved_number(math.inf, low=0.0)
    value: float = saved_number(low=0.0)
    gap_of_set: float = saved_number(math.inf, low=0.0)
    bound: float = saved_number(0.0)
    threshold: float = saved_number(low=0.0, key="wanted")

    @classmethod
    def of(cls, start: State, objective: Objective) -> WorkingSetState:
        """The record of `start`.

        Raises:
            StateError: it does not fit the objective.
        """
        positions, D = start.arrays.get("positions"), objective.n_features
        n = positions.size if isinstance(positions, np.ndarray) else 0
        saved = cls.from_state(start, sizes_of(objective) | {"n": n})
        if saved.positions is not None:
            at = saved.positions
            valid = (at == np.floor(at)) & (at >= 0) & (at < D)
            if not valid.all() or len(np.unique(at)) < n:
                raise StateError(
                    f"the state's array 'positions' does not hold different whole numbers in 0..{D - 1}. "
                    "Was the state made with other features?"
                )
        return saved
