"""Learning rates: each cell of a grid is a plain run of SGD, compared on validation rows and with its optimum."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linprobe import LinearClassifier
from linprobe.classifiers.rate_selection import (
    CellScores,
    RateChoice,
    RateGrid,
    RateSelector,
    run_cells,
    sweep_rates,
)
from linprobe.classifiers.rows import Rows
from linprobe.errors import LabelError, ParameterError
from linprobe.optimizers.base import Status
from linprobe.optimizers.path import rate_grid

N_TRAIN = 300
CELLS = {
    "learning_rates": (0.01, 0.1),
    "regs": (1e-3, 1e-2),
    "schedules": ("constant", "cosine"),
    "updates": ("momentum", "adam"),
}


@pytest.fixture
def rows(digits):
    """(X, y, X of the validation rows, y of these)."""
    X, y = digits
    return X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:500], y[N_TRAIN:500]


def sgd(**changes):
    return LinearClassifier(optimizer="sgd", epochs=4, random_state=3, **changes)


def test_each_cell_is_a_plain_fit(rows):
    X, y, X_held, y_held = rows
    choice = sweep_rates(sgd(momentum=0.8), *rows, **CELLS)
    assert len(choice.scores) == 16
    for cell, scores in zip(choice.grid.cells, choice.scores, strict=True):
        momentum = {"momentum": 0.8} if cell.update == "momentum" else {}
        plain = sgd(**cell.parameters, **momentum).fit(X, y)
        assert scores.status is plain.status_ is Status.COMPLETED
        assert scores.epochs == 4
        assert scores.accuracy == plain.score(X_held, y_held)
        assert scores.objective == plain.history_[-1]["objective"]


@pytest.mark.parametrize("own", [{"dropout": 0.3}, {"average": True}, {"batch_size": 7, "loss": "hinge"}])
def test_the_other_parameters_of_sgd_are_those_of_the_classifier(rows, own):
    choice = sweep_rates(sgd(**own), *rows, learning_rates=(0.01, 0.1), halving=True)
    best = choice.scores[choice.best]
    plain = sgd(**own, **choice.best_cell.parameters).fit(*rows[:2])
    assert (best.objective, best.accuracy) == (plain.history_[-1]["objective"], plain.score(*rows[2:]))
    assert choice.optima.certificates[0].relative_gap <= 1e-4


def test_the_state_of_a_cell_and_the_refit_have_the_bits_of_a_plain_fit(rows):
    X, y, X_held, y_held = rows
    grid = RateGrid((0.02, 0.05), (1e-3,), ("cosine",), ("momentum", "plain"), halving=True)
    template = sgd(momentum=0.8)
    X, labels, _ = template.checked(template, X, y, None)
    selector = RateSelector(template, Rows(X, labels), grid)
    held_out = Rows(X_held, y_held)
    for number, cell in enumerate(grid.cells):
        momentum = {"momentum": 0.8} if cell.update == "momentum" else {}
        plain = sgd(**cell.parameters, **momentum).fit(X, y)
        state = None
        for until in selector.rungs:  # continued at each rung
            scores, state = selector.run(number, until, held_out, state)
            assert scores.status is (Status.COMPLETED if until == 4 else Status.STOPPED)
        assert_array_equal(state.arrays["W"].astype(np.float64), plain.weights_)
        refitted = selector.refit(cell)
        assert_array_equal(refitted.weights_, plain.weights_)
        assert_array_equal(refitted.bias_, plain.bias_)
        assert refitted.get_params() == plain.get_params()


def test_the_distance_from_the_optimum_is_that_of_an_exact_fit(rows):
    X, y, *_ = rows
    choice = sweep_rates(sgd(), *rows, learning_rates=(1e-3, 0.1), regs="1e-3:1e-1:2")
    for cell, scores, above in zip(choice.grid.cells, choice.scores, choice.above_optimum, strict=True):
        optimum = LinearClassifier(reg=cell.reg, tol=1e-8).fit(X, y).certificate_.objective
        assert above >= scores.objective / optimum - 1.0 - 1e-9  # a bound on it
        assert above == pytest.approx(scores.objective / optimum - 1.0, abs=3e-4)  # two relative gaps of 1e-4
    assert choice.above_optimum[0] > choice.above_optimum[2]  # a small rate gets nowhere


def test_a_run_that_diverges_is_a_row_and_is_not_chosen(rows):
    choice = sweep_rates(sgd(), *rows, learning_rates=(0.05, 1e9))
    assert [scores.status for scores in choice.scores] == [Status.COMPLETED, Status.DIVERGED]
    assert np.isnan([choice.scores[1].accuracy, choice.scores[1].loss, choice.above_optimum[1]]).all()
    assert choice.best == 0
    with pytest.raises(
        ParameterError, match=r"all 2 runs diverged; give lower learning rates \(the lowest is 1e\+08\)"
    ):
        _ = sweep_rates(sgd(), *rows, learning_rates=(1e8, 1e9)).best


def test_halving_runs_no_epoch_twice_and_ends_the_half_with_the_higher_loss(rows):
    ran = Counter()
    grid = {"learning_rates": "1e-3:1e-1:4", "updates": ("plain", "momentum")}
    seen = {}

    def callback(progress):
        if progress.epoch.learning_rate == progress.epoch.learning_rate:  # NaN at the start of a run
            ran[progress.number] = max(ran[progress.number], progress.epoch.epoch)
        seen.setdefault((progress.number, progress.epoch.epoch), 0)
        seen[progress.number, progress.epoch.epoch] += 1

    choice = sweep_rates(sgd().set_params(epochs=8), *rows, **grid, halving=True, callback=callback)
    assert choice.grid.rungs(8) == (1, 2, 4, 8)
    assert sorted(scores.epochs for scores in choice.scores) == [1, 1, 1, 1, 2, 2, 4, 8]
    full = sweep_rates(sgd().set_params(epochs=8), *rows, **grid)
    best = choice.best
    assert choice.scores[best].status is Status.COMPLETED
    assert choice.scores[best].objective == full.scores[best].objective  # the schedule of the full run
    # measured once per epoch, and once more where a run continues
    assert max(seen.values()) == 2
    assert {epoch for (_, epoch), times in seen.items() if times == 2} == {1, 2, 4}


def test_of_equal_accuracies_the_lowest_loss_wins_and_then_the_first():
    def scores(accuracy, loss, status=Status.COMPLETED):
        return CellScores(1, accuracy, loss, 1.0, status)

    grid = RateGrid((0.1, 0.2, 0.3), (1e-3,), ("cosine",), ("plain",))
    assert RateChoice(grid, (scores(0.5, 1.0), scores(0.9, 0.4), scores(0.9, 0.3))).best == 2
    assert RateChoice(grid, (scores(0.5, 1.0), scores(0.9, 0.3), scores(0.9, 0.3))).best == 1
    stopped = scores(0.99, 0.1, Status.STOPPED)
    assert RateChoice(grid, (scores(0.5, 1.0), stopped, scores(0.4, 0.3))).best == 0


def test_cells_that_diverged_leave_their_place_to_no_other():
    grid = RateGrid((0.1, 0.2, 0.3, 0.4), (1e-3,), ("cosine",), ("plain",), halving=True)
    calls = []

    def run(number, until):
        calls.append((number, until))
        status = Status.DIVERGED if number > 0 else Status.COMPLETED
        return CellScores(until, 0.5, float(number), 1.0, status)

    run_cells(grid, (1, 2, 4), run)
    assert calls == [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (0, 4)]


def test_without_a_penalty_there_is_no_optimum_to_compare_with(rows):
    choice = sweep_rates(sgd(penalty="none"), *rows, learning_rates=(0.01, 0.1))
    assert choice.optima is None
    assert np.isnan(choice.above_optimum).all()
    assert choice.scores[choice.best].accuracy > 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rates": (0.0, 0.1)}, "learning_rate = 0.0; expected a finite number > 0"),
        ({"learning_rates": (-0.1,)}, "learning_rate = -0.1; expected a finite number > 0"),
        ({"learning_rates": (float("nan"),)}, "learning_rate = nan; expected a finite number > 0"),
        ({"learning_rates": "1e-3:1:0"}, "learning rate grid '1e-3:1:0'; expected LOW:HIGH:COUNT"),
        ({"learning_rates": "0:1:3"}, "learning rate grid '0:1:3'; expected LOW:HIGH:COUNT"),
        ({"learning_rates": ()}, "the learning rate grid is empty"),
        ({"schedules": ("cosine", "warm")}, "schedule = 'warm'; expected one of constant, step"),
        ({"schedules": ("1/t", "inverse")}, "schedule 'inverse' is given twice"),
        ({"schedules": ()}, "no schedule is given"),
        ({"updates": ("adam", "lion")}, "update = 'lion'; expected one of plain, momentum"),
        ({"updates": ("adam", "adam")}, "update 'adam' is given twice"),
        ({"learning_rates": (0.1,), "halving": True}, "halving needs at least 2 cells, but the grid has 1"),
        ({"regs": (-1.0,)}, "reg = -1.0"),
        ({"classifier": sgd(penalty="none"), "regs": (1e-3, 1e-2)}, "penalty = 'none' has no reg to sweep over"),
        ({"classifier": LinearClassifier()}, "optimizer = 'exact'; a grid of learning rates requires 'sgd'"),
        ({"classifier": sgd(patience=2)}, "set patience=None"),
        ({"classifier": sgd().set_params(epochs=0)}, "epochs = 0"),
    ],
)
def test_what_cannot_be_swept_is_named(rows, changes, message):
    options = {"classifier": sgd(), "learning_rates": (0.01, 0.1), **changes}
    with pytest.raises(ParameterError, match=message) as error:
        sweep_rates(options.pop("classifier"), *rows, **options)
    assert len(str(error.value).splitlines()) == 1


def test_a_parameter_that_no_update_takes_is_warned_of(rows):
    grid = {"learning_rates": (0.01, 0.1)}
    with pytest.warns(UserWarning, match="momentum = 0.5 does nothing with update='plain'"):
        idle = sweep_rates(sgd(momentum=0.5), *rows, **grid, updates=("plain", "adam"))
    assert idle.scores[0].objective == sweep_rates(sgd(), *rows, **grid, updates=("plain",)).scores[0].objective
    sweep_rates(sgd(momentum=0.5), *rows, **grid, updates=("plain", "nesterov"))


def test_validation_rows_are_needed_and_are_of_known_classes(rows):
    X, y, X_held, y_held = rows
    with pytest.raises(ParameterError, match="there are no validation rows to choose by"):
        sweep_rates(sgd(), X, y, X_held[:0], y_held[:0], learning_rates=(0.1,))
    with pytest.raises(LabelError, match="Leave those rows out, or add their classes"):
        sweep_rates(sgd(), X, y, X_held, y_held + 5, learning_rates=(0.1,))


def test_a_grid_is_ascending_and_without_repeats():
    assert rate_grid("1e-2:1:3") == pytest.approx((0.01, 0.1, 1.0))
    assert rate_grid("0.1,0.01,0.1") == (0.01, 0.1)
