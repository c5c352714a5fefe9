"""The planar sets: each point's class is what the set's definition says, and a seed gives one set."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.data.base import Dataset, ReadOptions
from linprobe.data.planar import PLANAR, PlanarReader
from linprobe.errors import ImageError, SourceError


def read(name: str, seed: int = 0) -> Dataset:
    return PlanarReader().read(f"planar:{name}", None, ReadOptions(seed=seed))


@pytest.mark.parametrize("name", PLANAR)
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_each_set_has_points_of_every_class_in_float32(name, seed):
    dataset = read(name, seed)
    points = dataset.train
    assert points.X.dtype == np.float32
    assert points.X.shape == (points.n_images, 2)
    assert np.isfinite(points.X).all()
    assert np.bincount(points.y).min() > 100
    assert len(np.bincount(points.y)) == len(dataset.class_names)
    assert dataset.image_shape is None


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_three_lines_separate_the_blobs_with_the_margin_that_the_docstring_gives(seed):
    points = read("blobs", seed).train
    angles = np.radians([10.0, 130.0, 250.0])
    S = points.X @ np.column_stack([np.cos(angles), np.sin(angles)]).T
    margins = np.take_along_axis(S, points.y[:, None], axis=1) - S
    least = margins[np.arange(3) != points.y[:, None]].min()
    assert 2.25 - 0.6 * np.sqrt(3) - 1e-6 <= least < 1.4
    assert np.bincount(points.y).tolist() == [400, 400, 400]


def test_the_shell_is_where_the_norm_is_between_1_and_2():
    points = read("shell").train
    norm = np.sqrt((points.X.astype(float) ** 2).sum(axis=1))
    assert np.array_equal(points.y == 0, (norm >= 1) & (norm <= 2))


def test_the_first_and_third_quadrants_are_where_the_product_of_the_coordinates_is_positive():
    points = read("quadrants").train
    assert np.array_equal(points.y == 0, points.X.prod(axis=1) > 0)


def test_the_three_modes_are_three_separate_discs():
    points = read("three-modes").train
    modes = points.X[points.y == 0].astype(float)
    third = 2 * np.pi / 3
    turn = (np.arctan2(modes[:, 1], modes[:, 0]) - np.pi / 2 + third / 2) % (2 * np.pi) // third
    centres = np.array([modes[turn == k].mean(axis=0) for k in range(3)])
    assert np.allclose(np.hypot(*centres.T), 1.5, atol=0.15)  # of about 110 points each: 3 standard errors
    for k in range(3):
        assert np.linalg.norm(modes[turn == k] - centres[k], axis=1).max() < 0.9 + 0.15


def test_the_spiral_has_three_arms_of_as_many_points():
    points = read("spiral").train
    assert np.bincount(points.y).tolist() == [400, 400, 400]
    assert np.hypot(*points.X.T).max() <= 1 + 1e-6


@pytest.mark.parametrize("name", PLANAR)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(name):
    one, again, other = read(name, 3), read(name, 3), read(name, 4)
    assert one.train.X.tobytes() == again.train.X.tobytes()
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert not np.array_equal(one.train.X, other.train.X)


@pytest.mark.parametrize("source", ["planar:ring", "planar:", "planar"])
def test_an_unknown_set_is_an_error_that_lists_the_choices(source):
    assert PlanarReader().accepts(source, None)
    with pytest.raises(SourceError, match="planar:blobs, planar:shell, planar:three-modes, planar:quadrants"):
        PlanarReader().read(source, None, ReadOptions())


def test_points_have_no_image_size():
    with pytest.raises(ImageError, match="planar:shell: holds vectors"):
        PlanarReader().read("planar:shell", None, ReadOptions(image_size=(8, 8)))


def test_a_path_is_never_planar(tmp_path):
    assert not PlanarReader().accepts("planar:shell", tmp_path)
    assert not PlanarReader().accepts("digits", None)
