"""The pictures at half their size, and the maps of them."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.errors import ParameterError, SourceError
from linprobe.features import feature_map
from linprobe.features.halved import halved
from linprobe.features.parse import map_class

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (9, 16, 12, 3), dtype=np.uint8)


def test_each_pixel_is_the_mean_of_four_halves_rounded_up() -> None:
    pictures = RANDOM.integers(0, 256, (1025, 4, 6, 1), dtype=np.uint8)
    expected = np.floor(pictures.reshape(-1, 2, 2, 3, 2, 1).astype(float).mean(axis=(2, 4)) + 0.5)
    assert (halved(pictures) == expected).all()
    assert (halved(np.full((1, 2, 2, 1), 255, np.uint8)) == 255).all()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("name", ["pixels", "color", "patches"])
def test_a_half_is_the_map_of_the_halved_pictures(name: str, mirror: bool) -> None:
    options = {"patches": 6, "size": 3} if name == "patches" else {}
    grid = {} if name == "pixels" else {"grid": 2}
    found = feature_map(f"{name}/2", mirror=mirror, **options, **({"grid": 3} if grid else {})).fit(PICTURES, seed=3)
    wanted = feature_map(name, mirror=mirror, **options, **grid).fit(halved(PICTURES), seed=3)
    assert found.spec == f"{name}/2"
    assert found.n_features == wanted.n_features
    assert (found.transform(PICTURES) == wanted.transform(halved(PICTURES))).all()


def test_both_scales_come_back_from_their_settings_and_tensors() -> None:
    made = feature_map("patches+patches/2", patches=4, size=3, mirror=True).fit(PICTURES)
    again = map_class(made.name).restored(made.settings(), (16, 12, 3), made.tensors())
    assert again.spec == "patches+patches/2"
    assert (again.transform(PICTURES) == made.transform(PICTURES)).all()


def test_an_odd_size_cannot_be_halved() -> None:
    with pytest.raises(ParameterError, match=r"'hog/2': the pictures are 15x12, .* resize them"):
        feature_map("hog/2").fit(PICTURES[:, :15])


def test_a_half_too_small_for_a_patch_names_the_half() -> None:
    with pytest.raises(ParameterError, match="size = 7; the pictures are 8x6"):
        feature_map("patches/2", size=7).fit(PICTURES)


def test_other_fractions_are_refused() -> None:
    with pytest.raises(ParameterError, match="features = 'hog/4'"):
        feature_map("hog/4")


def test_a_slash_in_the_name_of_a_network_is_no_half(tmp_path) -> None:
    with pytest.raises(SourceError, match="nets/2' cannot be read"):
        feature_map(f"onnx:{tmp_path}/nets/2").fit(PICTURES)
