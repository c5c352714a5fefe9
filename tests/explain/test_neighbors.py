"""Images beside their nearest training images."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.neighbors import neighbors_picture

IMAGES = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
NEAREST = np.stack([IMAGES[::-1], IMAGES, IMAGES], axis=1)


def test_each_image_has_its_neighbours_beside_it_marked_by_their_class():
    labels = np.array([[1, 0, 0], [1, 1, 2]])
    picture = neighbors_picture(IMAGES, np.array([0, 1]), NEAREST, labels, ("a $x$", "b", "c"))
    drawn = [image.get_array() for image in picture.figure.axes[0].images]
    assert len(drawn) == 8
    np.testing.assert_array_equal(drawn[0], IMAGES[0])
    np.testing.assert_array_equal(drawn[1], IMAGES[1])
    np.testing.assert_array_equal(drawn[5], IMAGES[0])
    texts = [text.get_text() for text in picture.figure.texts[2:]]
    assert texts == [r"a \$x\$", "✗ b", r"✓ a \$x\$", r"✓ a \$x\$", "b", "✓ b", "✓ b", "✗ c"]
    assert "4 of these 6 have its class" in picture.alt


def test_neighbours_that_do_not_fit_are_refused():
    y, labels = np.array([0, 1]), np.zeros((2, 3), np.int64)
    with pytest.raises(ShapeError, match="expected n images and \\(n, k\\) neighbours"):
        neighbors_picture(IMAGES, y, NEAREST[:, :2], labels, ("a", "b"))
    with pytest.raises(ParameterError, match="1 names"):
        neighbors_picture(IMAGES, y, NEAREST, labels, ("a",))
