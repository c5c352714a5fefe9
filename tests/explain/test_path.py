"""The path over reg: norms and zeros as NumPy counts them, templates as the model's own, and the pictures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.rows import Rows
from linprobe.data.base import ImageSet
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.explain.path import path_picture, path_templates, path_templates_picture, reg_path, spread_over
from linprobe.optimizers.path import solve_path


@pytest.fixture(scope="module")
def solved():
    """A model of 4x5 pictures of three classes, and the path of an L1 penalty."""
    random = np.random.default_rng(0)
    y = np.arange(90) % 3
    images = random.integers(0, 100, (90, 4, 5, 3))
    images[np.arange(90), y, y] += 120
    train = ImageSet(images.astype(np.uint8), y, ("a", "b", "c"), "made")
    model = LinearModel(penalty="l1", reg=1e-2).fit_sets(train)
    objective = model.objective_of(Rows(train.X, train.y))
    return model, train, solve_path(objective, (1e-4, 1e-2, 10.0))


def test_the_path_counts_norms_and_zeros_and_is_sorted(solved):
    weights = [solution.W for solution in solved[2].solutions]
    path = reg_path((10.0, 1e-4, 1e-2), [weights[2], weights[0], weights[1]], (0.3, 0.9, 0.8), (0.2, 0.7, 0.75))
    assert path.regs.tolist() == [1e-4, 1e-2, 10.0]
    assert path.train_accuracy.tolist() == [0.9, 0.8, 0.3]
    assert path.validation_accuracy.tolist() == [0.7, 0.75, 0.2]
    assert_allclose(path.norm, [np.linalg.norm(W) for W in weights])
    assert path.zeros.tolist() == [(W == 0).mean() for W in weights]
    assert path.zeros[-1] == 1.0


def test_the_picture_marks_the_chosen_reg_and_says_what_it_shows(solved):
    weights = [solution.W for solution in solved[2].solutions]
    path = reg_path((1e-4, 1e-2, 10.0), weights, None, (0.7, 0.75, 0.2))
    picture = path_picture(path, chosen=1e-2)
    assert len(picture.figure.axes) == 3
    assert picture.figure.axes[0].lines[-1].get_xdata()[0] == pytest.approx(-2.0)
    assert "highest, 75.0%, at 0.01" in picture.alt
    assert ">0.01<" in picture.svg()


def test_several_paths_share_their_panels(solved):
    weights = [solution.W for solution in solved[2].solutions]
    paths = {
        "one": reg_path((1e-4, 1e-2, 10.0), weights, None, (0.7, 0.75, 0.2), (1e-3, 1e-5, 0.0)),
        "two": reg_path((1e-3, 1e-1), weights[:2], (0.6, 0.5)),
    }
    picture = path_picture(paths, {"one": 1e-2})
    accuracy, gap, norm, _ = picture.figure.axes
    assert [text.get_text() for text in picture.figure.legends[0].get_texts()] == ["one", "two"]
    assert [line.get_xdata()[0] for line in norm.lines[::2]] == pytest.approx([-4.0, -3.0])
    assert accuracy.lines[0].get_color() != accuracy.lines[-1].get_color()
    assert len(gap.lines) == 2  # only "one" has a gap, and its mark
    assert np.isnan(gap.lines[0].get_ydata()[2])
    assert "one: 3 reg values" in picture.alt
    assert "The largest relative gap is 1.0e-03." in picture.alt
    assert len(path_picture(paths, None, ["norm"]).figure.axes) == 1
    with pytest.raises(ParameterError, match="loudness"):
        path_picture(paths, None, ["loudness"])


def test_a_grid_with_zero_has_it_at_the_left_end():
    weights = [np.ones((2, 3))] * 3
    axes = path_picture(reg_path((0.0, 0.1, 1.0), weights)).figure.axes[0]
    assert axes.get_xticklabels()[0].get_text() == "0"
    x = axes.lines[0].get_xdata()
    assert x[0] < x[1] < x[2]


@pytest.mark.parametrize("regs", [(0.0,), (1e-3,), (1e-3, 1.1e-3)])
def test_short_grids_can_be_drawn(regs):
    assert path_picture(reg_path(regs, [np.ones((2, 3))] * len(regs))).svg()


def test_templates_along_the_path_are_those_of_each_member(solved):
    model, _, path = solved
    found = path_templates(model, [solution.W for solution in path.solutions])
    assert found.shape == (3, 3, 4, 5)
    assert_allclose(found[1], path.solutions[1].W.reshape(3, 4, 5, 3).sum(axis=3) / 255.0)
    text = path_templates_picture(model, path.regs, [s.W for s in path.solutions], chosen=1e-2).svg()
    for wanted in (">0.01 (chosen)<", ">10<", ">a<", ">c<"):
        assert wanted in text


def test_positions_spread_over_a_range_hold_its_ends_and_the_one_asked_for():
    assert spread_over(20, 5) == [0, 5, 10, 14, 19]
    assert spread_over(3, 7) == [0, 1, 2]
    assert spread_over(20, 5, among=9) == [0, 5, 9, 14, 19]
    assert spread_over(1, 5) == [0]


def test_what_cannot_be_drawn_is_one_line(solved):
    model, _, path = solved
    with pytest.raises(ParameterError, match="2 weights for 1 reg values"):
        reg_path((0.1,), [np.ones((2, 2))] * 2)
    with pytest.raises(ParameterError, match="1 weights for 3 reg values"):
        path_templates_picture(model, path.regs, [path.solutions[0].W])
    nothing = reg_path((0.1,), [np.full((2, 2), np.nan)])
    nothing.zeros[:] = np.nan
    with pytest.raises(ParameterError, match="nothing to draw"):
        path_picture(nothing)
    vectors = LinearModel()
    vectors.image_shape_, vectors.weights_, vectors.bias_ = None, np.ones((2, 3)), np.ones(2)
    vectors.classes_, vectors.affine_ = np.array([0, 1]), None
    with pytest.raises(IncompatibleError, match="not on pictures"):
        path_templates(vectors, [np.ones((2, 3))])
