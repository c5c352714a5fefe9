"""The heat maps of learning rates, and the schedules over the epochs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.classifiers.rate_selection import Cell, RateGrid
from linprobe.errors import ParameterError
from linprobe.explain.learning_rates import rate_maps, rates_picture
from linprobe.explain.schedules import schedule_curve, schedules_picture
from linprobe.optimizers.schedules import SCHEDULES
from linprobe.optimizers.sgd import SGD


def test_each_run_has_its_place_in_the_map_of_its_schedule_and_update():
    cells = RateGrid((0.01, 0.1, 1.0), (1e-3, 1e-2), ("cosine",), ("plain", "adam")).cells
    accuracies = np.linspace(0.1, 0.9, len(cells))
    plain, adam = rate_maps(cells, accuracies, dropped=[i == 1 for i in range(12)], chosen=11)
    assert (plain.schedule, plain.update, adam.update) == ("cosine", "plain", "adam")
    for number, cell in enumerate(cells):
        one = {"plain": plain, "adam": adam}[cell.update]
        row, column = one.regs.tolist().index(cell.reg), one.learning_rates.tolist().index(cell.learning_rate)
        assert one.accuracy[row, column] == accuracies[number]
        assert one.dropped[row, column] == (number == 1)
    assert (plain.chosen, adam.chosen) == (None, (1, 2))


def test_a_map_shows_what_diverged_what_was_dropped_and_what_was_chosen():
    cells = RateGrid((0.01, 0.1, 1.0), (1e-3,), ("cosine", "step"), ("plain",)).cells
    maps = rate_maps(cells, [0.25, 0.5, 0.875, 0.75, np.nan, np.nan], dropped=[True] + [False] * 5, chosen=2)
    picture = rates_picture(maps)
    texts = [text.get_text() for axes in picture.figure.axes for text in axes.texts]
    assert sorted(texts) == sorted(["(.25)", ".88", ".75", "×", ".50", "×"])
    assert "6 runs of SGD over learning rate and reg; 2 diverged, 1 ended early." in picture.alt
    assert "learning rate 1, reg 0.001, schedule cosine" not in picture.alt
    assert "learning rate 0.1, reg 0.001, schedule cosine, update plain and accuracy 0.875" in picture.alt
    assert [len(axes.patches) for axes in picture.figure.axes[:2]] == [1, 0]
    assert picture.svg().startswith("<svg")


@pytest.mark.parametrize("accuracies", [[np.nan], [0.0], [1.0]])
def test_one_run_can_be_drawn(accuracies):
    assert rates_picture(rate_maps([Cell(0.1, 0.0, "step", "adam")], accuracies)).svg()


def test_large_grids_can_be_drawn():
    cells = RateGrid(tuple(np.geomspace(1e-5, 1.0, 30)), (1e-3, 1e-2), tuple(SCHEDULES), ("plain",)).cells
    picture = rates_picture(rate_maps(cells, np.linspace(0.0, 1.0, len(cells))))
    assert len(picture.figure.axes) == 7  # six places, one of them empty, and the colours
    assert not any(axes.texts for axes in picture.figure.axes)


def test_a_map_needs_an_accuracy_for_each_cell():
    with pytest.raises(ParameterError, match="1 accuracies and 0 ends for 0 cells"):
        rate_maps([], [0.5])
    with pytest.raises(ParameterError, match="no map of learning rates"):
        rates_picture([])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_curve_is_what_a_run_of_sgd_uses(schedule):
    x, y = schedule_curve(schedule, 0.5, 4)
    assert_array_equal(x[:3], [0.0, 0.02, 0.04])
    share = SCHEDULES[schedule].share(np.array([0.0, 0.5]), SGD.final_rate)
    assert_allclose(y[[0, len(y) // 2]], 0.5 * share)


def test_the_schedules_are_drawn_with_their_names():
    picture = schedules_picture(["cosine", "1/t", "inverse"], 0.1, 3)
    axes = picture.figure.axes[0]
    assert [line.get_label() for line in axes.lines] == ["cosine", "inverse, 1/t"]
    assert "over 3 epochs from 0.1: cosine at" in picture.alt
    assert picture.svg()
    with pytest.raises(ParameterError, match="schedule = 'warm'"):
        schedules_picture(["warm"])
    with pytest.raises(ParameterError, match="epochs = 0"):
        schedules_picture(epochs=0)
