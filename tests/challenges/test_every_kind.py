"""What every kind of change keeps: severity 0, the seed, the block, the shape; and that it grows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.challenges.conftest import smooth

from linprobe.challenges.base import Challenge, Kind, uniforms
from linprobe.challenges.table import CHALLENGES
from linprobe.errors import ParameterError, ShapeError
from linprobe.shapes import Pixels


def change(before: Pixels, after: Pixels) -> float:
    """Mean absolute change of an intensity, in grey levels."""
    return float(np.abs(after.astype(int) - before).mean())


def test_severity_0_changes_no_pixel_and_gives_a_copy(challenge: Challenge, kind: Kind, any_pictures: Pixels) -> None:
    same = challenge.apply(any_pictures, kind.name, 0)
    assert np.array_equal(same, any_pictures)
    assert not np.shares_memory(same, any_pictures)


def test_pictures_of_any_size_keep_shape_and_dtype_and_are_not_written_to(
    challenge: Challenge, kind: Kind, any_pictures: Pixels
) -> None:
    before = any_pictures.copy()
    any_pictures.setflags(write=False)
    for severity in (1, 5):
        changed = challenge.apply(any_pictures, kind.name, severity, seed=3)
        assert changed.shape == any_pictures.shape
        assert changed.dtype == np.uint8
        assert not np.shares_memory(changed, any_pictures)
    assert np.array_equal(any_pictures, before)


def test_the_same_seed_gives_the_same_pixels_whatever_the_block(challenge: Challenge, kind: Kind) -> None:
    images = smooth(23, 9, 12, 3)
    whole = challenge.apply(images, kind.name, 3, seed=7)
    assert np.array_equal(challenge.apply(images, kind.name, 3, seed=7), whole)
    picked = np.array([22, 3, 3, 11])
    assert np.array_equal(challenge.apply(images, kind.name, 3, seed=7, rows=picked), whole[picked])
    single = [challenge.apply(images, kind.name, 3, seed=7, rows=np.array([i])) for i in range(len(images))]
    assert np.array_equal(np.concatenate(single), whole)
    none = challenge.apply(images, kind.name, 3, seed=7, rows=np.array([], np.int64))
    assert none.shape == (0, 9, 12, 3)


def test_threads_give_the_same_pixels(challenge: Challenge, kind: Kind) -> None:
    images = smooth(64, 16, 16, 3)
    blocks = np.split(np.arange(64), 16)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda rows: challenge.apply(images, kind.name, 4, rows=rows), blocks))
    assert np.array_equal(np.concatenate(made), challenge.apply(images, kind.name, 4))


def test_another_seed_gives_other_pixels(challenge: Challenge, kind: Kind) -> None:
    if kind.name == "contrast":
        pytest.skip("nothing of it is drawn")
    images = smooth(40, 12, 12, 3)
    assert not np.array_equal(
        challenge.apply(images, kind.name, 2, seed=0), challenge.apply(images, kind.name, 2, seed=1)
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("shape", [(32, 32, 3), (48, 20, 1)], ids=str)
def test_the_mean_change_of_smooth_pictures_grows_with_the_severity(
    challenge: Challenge, kind: Kind, seed: int, shape: tuple[int, int, int]
) -> None:
    images = smooth(100, *shape)
    changes = [change(images, challenge.apply(images, kind.name, severity, seed)) for severity in range(6)]
    assert changes[0] == 0
    assert (np.diff(changes) > 0).all(), changes


def test_a_severity_means_nearly_the_same_for_pictures_twice_as_large(challenge: Challenge, kind: Kind) -> None:
    # the same waves, sampled twice as densely: only the sampling differs, by some parts of a hundred
    small, large = smooth(200, 24, 24, 1), smooth(200, 48, 48, 1)
    for severity in (2, 5):
        found = [change(images, challenge.apply(images, kind.name, severity)) for images in (small, large)]
        assert found[1] == pytest.approx(found[0], rel=0.12)


def test_the_pictures_may_be_a_memory_map(challenge: Challenge, kind: Kind, tmp_path) -> None:  # type: ignore[no-untyped-def]
    images = smooth(10, 8, 8, 3)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert np.array_equal(challenge.apply(mapped, kind.name, 3), challenge.apply(images, kind.name, 3))


def test_the_amounts_have_five_steps_and_the_names_are_unique() -> None:
    kinds = [kind for challenge in CHALLENGES for kind in challenge.kinds]
    assert len({kind.name for kind in kinds}) == len(kinds) == 11
    for kind in kinds:
        steps = np.diff(kind.amounts)
        assert len(kind.amounts) == 5
        assert (steps > 0).all() or (steps < 0).all()


@pytest.mark.parametrize(
    ("images", "kind", "severity", "seed", "error", "message"),
    [
        (np.zeros((2, 4, 4, 3)), "patch", 1, 0, ShapeError, "dtype float64"),
        (np.zeros((4, 4, 3), np.uint8), "patch", 1, 0, ShapeError, r"shape \(4, 4, 3\)"),
        (np.zeros((2, 0, 4, 3), np.uint8), "patch", 1, 0, ShapeError, "at least one pixel"),
        (np.zeros((2, 4, 4, 3), np.uint8), "patch", 6, 0, ParameterError, "severity = 6; expected one of 0, 1"),
        (np.zeros((2, 4, 4, 3), np.uint8), "patch", 1, -1, ParameterError, "seed = -1"),
        (np.zeros((2, 4, 4, 3), np.uint8), "rim", 1, 0, ParameterError, "expected one of patch, the kinds of occl"),
    ],
)
def test_bad_input_is_told(
    images: Pixels, kind: str, severity: int, seed: int, error: type[Exception], message: str
) -> None:
    occlusion = next(challenge for challenge in CHALLENGES if challenge.name == "occlusion")
    with pytest.raises(error, match=message):
        occlusion.apply(images, kind, severity, seed)


@pytest.mark.parametrize("rows", [[-1], [0, 5]])
def test_rows_outside_the_pictures_are_told(rows: list[int]) -> None:
    with pytest.raises(ParameterError, match=r"expected positions in 0\.\.4"):
        CHALLENGES[0].apply(smooth(5, 4, 4, 1), "mirror", 1, rows=np.array(rows))


@settings(max_examples=25)
@given(st.integers(0, 2**40), st.integers(1, 9))
def test_draws_are_uniform_and_of_each_picture_alone(seed: int, count: int) -> None:
    numbers = np.arange(4000)
    drawn = uniforms(seed, "patch", numbers, count)
    assert drawn.shape == (4000, count)
    assert ((drawn >= 0) & (drawn < 1)).all()
    assert np.array_equal(uniforms(seed, "patch", numbers[[17, 5]], count), drawn[[17, 5]])
    # the mean of 4000 uniforms has deviation 0.0046: six of them, for some hundred means
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 6 * 0.0046
    assert np.abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 6 / np.sqrt(4000)


def test_kinds_draw_differently() -> None:
    numbers = np.arange(100)
    assert not np.array_equal(uniforms(0, "patch", numbers, 1), uniforms(0, "rim", numbers, 1))


def test_pictures_given_beside_their_numbers_change_as_those_that_stand_there(challenge: Challenge, kind: Kind) -> None:
    images = smooth(11, 9, 12, 3)
    picked = np.array([7, 2])
    again = challenge.apply_again(images[picked], kind.name, 4, 7, numbers=picked, source=images)
    assert np.array_equal(again, challenge.apply(images, kind.name, 4, 7, rows=picked))
    with pytest.raises(ShapeError, match="those of the source"):
        challenge.apply_again(images[picked, :5], kind.name, 4, 7, numbers=picked, source=images)
