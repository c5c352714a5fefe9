"""When the passes of a search become more precise."""

from __future__ import annotations

import math

from linprobe.engines.base import Precision
from linprobe.optimizers.precision_ladder import PrecisionLadder


def test_a_gap_that_falls_by_a_fifth_each_time_never_stalls():
    ladder, gap = PrecisionLadder(), 1.0
    for _ in range(100):
        ladder.observe(gap, None)
        assert not ladder.has_stalled
        gap *= 0.79
    assert ladder.precision is Precision.COARSE


def test_coarse_passes_are_given_up_sooner_than_single_ones_and_double_ones_never():
    stalled_after = {}
    for precision in (Precision.COARSE, Precision.SINGLE, Precision.DOUBLE):
        ladder = PrecisionLadder(precision)
        stalled_after[precision] = next(
            (i for i in range(1000) if ladder.observe(1.0, None) or ladder.has_stalled), math.inf
        )
    assert stalled_after[Precision.COARSE] < stalled_after[Precision.SINGLE] < stalled_after[Precision.DOUBLE]


def test_a_small_progress_is_none_and_a_climb_gives_the_next_precision_all_its_iterations():
    ladder = PrecisionLadder()
    for gap in (1.0, 0.9, 0.85, 0.81, 0.81, 0.81, 0.81):
        ladder.observe(gap, None)
    assert ladder.has_stalled
    ladder.climb(Precision.SINGLE)
    assert ladder.precision is Precision.SINGLE
    assert not ladder.has_stalled
    assert ladder.lowest_gap == 1.0  # what counts as progress stays


def test_coarse_passes_end_where_the_gap_is_within_their_rounding_of_the_objective():
    ladder = PrecisionLadder()
    ladder.observe(3e-6, 2.0)
    assert ladder.precision is Precision.COARSE
    ladder.observe(1.9e-6, 2.0)
    assert ladder.precision is Precision.SINGLE
    ladder.observe(1e-12, 2.0)
    assert ladder.precision is Precision.SINGLE


def test_a_norm_of_the_gradient_says_nothing_of_the_rounding_of_the_objective():
    ladder = PrecisionLadder()
    ladder.observe(1e-12, None)
    assert ladder.precision is Precision.COARSE
