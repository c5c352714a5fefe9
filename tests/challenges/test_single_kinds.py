"""What single kinds do, computed in another way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from tests.challenges.conftest import smooth

from linprobe.challenges import Clutter, Deformation, Illumination, Occlusion, Viewpoint
from linprobe.challenges.base import uniforms
from linprobe.challenges.deformation import _splines
from linprobe.challenges.resampling import resample
from linprobe.shapes import Pixels


def noise(n: int, height: int, width: int, channels: int) -> Pixels:
    return np.random.default_rng(5).integers(0, 256, (n, height, width, channels)).astype(np.uint8)


@pytest.mark.parametrize("shape", [(6, 9, 3), (5, 5, 1), (1, 7, 2), (7, 1, 1)], ids=str)
def test_resampling_agrees_with_scipy(shape: tuple[int, int, int]) -> None:
    images = noise(4, *shape)
    random = np.random.default_rng(0)
    y = random.uniform(-20, 20, (4, *shape[:2])).astype(np.float32)
    x = random.uniform(-20, 20, (4, *shape[:2])).astype(np.float32)
    found = resample(images, y, x)
    for i in range(4):
        for channel in range(shape[2]):
            plane = images[i, :, :, channel].astype(np.float64)
            expected = ndimage.map_coordinates(plane, [y[i], x[i]], order=1, mode="mirror")
            # half a level of rounding, and what a place in float32 is worth
            assert np.abs(found[i, :, :, channel] - expected).max() < 0.51


def test_resampling_at_the_pixels_themselves_is_the_identity() -> None:
    images = noise(3, 6, 9, 3)
    y, x = np.meshgrid(np.arange(6), np.arange(9), indexing="ij")
    places = [np.broadcast_to(axis, (3, 6, 9)).astype(np.float32) for axis in (y, x)]
    assert np.array_equal(resample(images, *places), images)


def test_mirror_is_exact_and_grows_from_picture_to_picture() -> None:
    images = noise(500, 4, 5, 3)
    before = np.zeros(500, bool)
    for severity, share in enumerate((0.2, 0.4, 0.6, 0.8, 1.0), 1):
        after = Viewpoint().apply(images, "mirror", severity)
        mirrored = (after == images[:, :, ::-1]).all(axis=(1, 2, 3))
        assert (mirrored | (after == images).all(axis=(1, 2, 3))).all()
        assert (mirrored >= before).all()
        assert mirrored.mean() == pytest.approx(share, abs=0.1)  # 0.022 is one deviation
        before = mirrored
    assert before.all()


def test_rotation_turns_half_the_pictures_each_way_by_the_angle() -> None:
    # a bar through the centre of a picture: its direction after the change, from the second moments of its light
    size = 65
    y, x = np.mgrid[:size, :size] - size // 2
    bar = np.where((np.abs(y) <= 2) & (np.abs(x) <= 20), 255, 0).astype(np.uint8)
    images = np.repeat(bar[None, :, :, None], 40, axis=0)
    for severity, angle in enumerate((6, 12, 18, 24, 30), 1):
        light = Viewpoint().apply(images, "rotation", severity)[..., 0].astype(float)
        xx, yy, xy = ((light * m).sum(axis=(1, 2)) for m in (x * x, y * y, x * y))
        found = np.rad2deg(np.arctan2(2 * xy, xx - yy)) / 2
        assert np.abs(found) == pytest.approx(np.full(40, angle), abs=0.2)
        assert 5 < (found > 0).sum() < 35


def test_scale_and_perspective_leave_the_centre_and_scale_has_its_factor() -> None:
    size = 65
    y, x = np.mgrid[:size, :size] - size // 2
    disc = np.where(np.hypot(y, x) <= 12, 255, 0).astype(np.uint8)
    images = np.repeat(disc[None, :, :, None], 40, axis=0)
    area = Viewpoint().apply(images, "scale", 5)[..., 0].astype(float).sum(axis=(1, 2)) / disc.sum()
    larger = area > 1
    assert 5 < larger.sum() < 35
    assert area[larger] == pytest.approx(1.5**2, rel=0.02)
    assert area[~larger] == pytest.approx(1.5**-2, rel=0.05)
    ramps = smooth(20, 33, 33, 3)
    for kind in ("rotation", "scale", "perspective"):
        assert np.array_equal(Viewpoint().apply(ramps, kind, 5)[:, 16, 16], ramps[:, 16, 16])


def test_brightness_is_exact_arithmetic() -> None:
    images = noise(60, 4, 5, 3)
    for severity, amount in enumerate((16, 32, 48, 64, 80), 1):
        changed = Illumination().apply(images, "brightness", severity, seed=9)
        lighter = np.clip(images.astype(int) + amount, 0, 255)
        darker = np.clip(images.astype(int) - amount, 0, 255)
        is_lighter = (changed == lighter).all(axis=(1, 2, 3))
        assert (is_lighter | (changed == darker).all(axis=(1, 2, 3))).all()
        assert 10 < is_lighter.sum() < 50


def test_contrast_keeps_the_mean_and_the_share() -> None:
    images = smooth(20, 16, 16, 3)
    for severity, share in enumerate((0.8, 0.65, 0.5, 0.35, 0.2), 1):
        changed = Illumination().apply(images, "contrast", severity).astype(float)
        mean = images.mean(axis=(1, 2, 3), keepdims=True)
        assert np.abs(changed - (mean + share * (images - mean))).max() < 0.51  # half a level of rounding


def test_gamma_keeps_black_and_white_and_a_pair_of_exponents_undo_each_other() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 50, axis=0)
    changed = Illumination().apply(ramp, "gamma", 3).reshape(50, 256)
    assert (changed[:, 0] == 0).all()
    assert (changed[:, 255] == 255).all()
    curves = np.unique(changed, axis=0)
    exact = [255 * (np.arange(256) / 255) ** exponent for exponent in (2.0, 0.5)]
    assert np.array_equal(curves, np.rint(exact))


def test_a_shadow_takes_from_nothing_to_the_amount() -> None:
    white = np.full((200, 32, 24, 1), 255, np.uint8)
    for severity, amount in enumerate((0.2, 0.35, 0.5, 0.65, 0.8), 1):
        light = Illumination().apply(white, "shadow", severity).reshape(200, -1) / 255
        assert light.max(axis=1) == pytest.approx(1.0, abs=1e-12)
        assert light.min(axis=1) == pytest.approx(np.full(200, 1 - amount), abs=0.5 / 255 + 1e-6)
        assert light.mean() == pytest.approx(1 - amount / 2, abs=0.01)


@pytest.mark.parametrize("size", [(32, 32), (64, 40)])
def test_elastic_moves_pixels_by_the_amount(size: tuple[int, int]) -> None:
    # ramps along both axes show where each pixel came from; the border is left out, where the picture is mirrored
    height, width = size
    y, x = np.mgrid[:height, :width]
    images = np.repeat(np.stack([y, x], axis=2)[None] * 3, 30, axis=0).astype(np.uint8)
    for severity, amount in enumerate((0.02, 0.035, 0.05, 0.065, 0.08), 1):
        moved = (Deformation().apply(images, "elastic", severity).astype(float) - images) / 3
        inside = moved[:, 6:-6, 6:-6]
        found = np.sqrt((inside**2).sum(axis=3).mean())
        assert found == pytest.approx(amount * min(size), rel=0.12)


@pytest.mark.parametrize("size", [1, 3, 5, 8, 32, 33])
def test_the_splines_sum_to_1_at_every_pixel(size: int) -> None:
    weights = _splines(size)
    assert (weights >= 0).all()
    assert weights.sum(axis=1) == pytest.approx(np.ones(size), abs=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (10, 20), (200, 100)])
def test_the_patch_hides_the_square_of_its_side_wholly_inside(size: tuple[int, int]) -> None:
    images = np.zeros((100, *size, 3), np.uint8)
    places = set()
    for severity, side in enumerate((0.2, 0.3, 0.4, 0.5, 0.6), 1):
        hidden = Occlusion().apply(images, "patch", severity) == 128
        share = hidden.mean(axis=(1, 2, 3))
        assert (share == share[0]).all()
        # whole pixels: each side is off by half a pixel at most
        low, high = (np.prod([side + sign * 0.5 / pixels for pixels in size]) for sign in (-1, 1))
        assert low <= share[0] <= high
        places |= {tuple(np.argwhere(one)[0]) for one in hidden}
    assert len(places) > 20


def test_the_rim_is_blended_with_another_picture_and_the_middle_is_not() -> None:
    # each picture is of one grey level, so that a blend tells which other picture it is with
    levels = np.arange(0, 200, 10)
    images = np.broadcast_to(levels[:, None, None, None], (20, 16, 24, 3)).astype(np.uint8)
    changed = Clutter().apply(images, "rim", 5, seed=2)
    assert np.array_equal(changed[:, 6:10, 8:16], images[:, 6:10, 8:16])
    corner = changed[:, 0, 0, 0]
    assert set(corner) <= set(levels)
    assert (corner != levels).all()
    half = Clutter().apply(images, "rim", 3, seed=2)[:, 0, 0, 0]
    assert half == pytest.approx(levels + 0.6 * (corner.astype(float) - levels), abs=0.51)


def test_a_single_picture_has_no_clutter_to_come_from() -> None:
    image = noise(1, 6, 6, 3)
    assert np.array_equal(Clutter().apply(image, "rim", 5), image)


def test_every_other_picture_is_drawn_equally_often() -> None:
    n, seeds = 5, 3000
    drawn = np.concatenate([uniforms(seed, "rim", np.array([2]), 1)[:, 0] for seed in range(seeds)])
    counts = np.bincount(np.floor(drawn * (n - 1)).astype(int), minlength=n - 1)
    assert counts == pytest.approx(seeds / (n - 1), rel=0.2)  # 0.032 is one deviation
