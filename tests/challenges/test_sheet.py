"""The sheet of example pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tests.challenges.conftest import smooth

from linprobe.challenges.sheet import CAPTION, GAP, HEAD, LABEL, MARGIN, SIDE, contact_sheet, to_png


def size_of(n_kinds: int, width: int, height: int) -> tuple[int, int]:
    """(width, height) of a sheet of pictures shown at that size."""
    return (
        2 * MARGIN + LABEL + 6 * width + 5 * GAP,
        2 * MARGIN + HEAD + n_kinds * (height + CAPTION) + (n_kinds - 1) * GAP,
    )


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((32, 32, 3), (96, 96)),
        ((8, 8, 1), (96, 96)),
        ((5, 7, 1), (91, 65)),
        ((1, 1, 1), (96, 96)),
        ((300, 150, 3), (48, 96)),
    ],
    ids=str,
)
def test_the_sheet_opens_and_has_a_place_for_every_kind_and_severity(
    shape: tuple[int, int, int], shown: tuple[int, int]
) -> None:
    assert max(shown) <= SIDE
    images = smooth(6, *shape)
    sheet = contact_sheet(images, np.array([0, 1, 2, 0, 1, 2]), ("a", "b", "c"))
    opened = Image.open(io.BytesIO(to_png(sheet)))
    assert opened.format == "PNG"
    assert opened.size == size_of(11, *shown)


def test_severity_0_is_the_picture_itself_enlarged_pixel_by_pixel() -> None:
    images = smooth(4, 32, 32, 3)
    sheet = contact_sheet(images, np.array([1, 1, 0, 0]), ("a", "b"), names=["patch"], rows=np.array([3, 2, 1, 0]))
    left, top = MARGIN + LABEL, MARGIN + HEAD
    shown = np.asarray(sheet)[top : top + 96, left : left + 96]
    # the first picture of the class "a" is the third of the rows, number 1
    assert np.array_equal(shown, images[1].repeat(3, axis=0).repeat(3, axis=1))


def test_an_example_is_one_that_is_classified_correctly_and_the_class_found_is_told() -> None:
    images = smooth(6, 32, 32, 3)
    y = np.array([0, 0, 1, 1, 1, 1])

    def classify(pictures):  # type: ignore[no-untyped-def]
        """Right about number 1 alone, whatever happens to it; class 0 else."""
        return np.zeros(len(pictures), np.int64) if len(pictures) > 1 else np.array([1])

    told = contact_sheet(images, y, ("a", "a name far too long for its place"), names=["patch"], classify=classify)
    plain = contact_sheet(images, y, ("a", "b"), names=["patch"])
    assert told.size == plain.size
    below = MARGIN + HEAD + 96
    captions = [np.asarray(sheet)[below : below + CAPTION, MARGIN + LABEL :] for sheet in (told, plain)]
    assert not np.array_equal(*captions)
    # nothing of a caption reaches into the margin on the right
    assert (captions[0][:, -MARGIN:] == 255).all()
