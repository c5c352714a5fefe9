"""Small labelled pictures of any shape, and models of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from linprobe.classifiers.linear import LinearClassifier
from linprobe.data.base import EmbeddingSet, ImageSet
from linprobe.features import feature_map

NAMES = ("hen", "fox", "$cow$", "dog", "犬", "a name that is far too long to be drawn", "g", "h", "i", "j")


def draw_images(shape: tuple[int, int, int], n_classes: int, per_class: int = 12, seed: int = 0) -> ImageSet:
    """Noise, with a bright block at a place of its own for each class; the last class has one image only."""
    random = np.random.default_rng(seed)
    y = np.concatenate([np.repeat(np.arange(n_classes - 1), per_class), [n_classes - 1]])
    images = random.integers(0, 120, (len(y), *shape)).astype(np.uint8)
    flat = images.reshape(len(y), -1)
    size = max(1, flat.shape[1] // n_classes)
    for i, label in enumerate(y):
        flat[i, label * size : (label + 1) * size] += 100
    return ImageSet(images, y, tuple(NAMES[k % 10] + str(k // 10 or "") for k in range(n_classes)), "drawn")


MakeModel = Callable[..., tuple[LinearClassifier, ImageSet]]


@pytest.fixture
def make_model() -> MakeModel:
    """A function that trains a model on pictures of a shape: (model, pictures)."""

    def make(
        shape: tuple[int, int, int] = (8, 8, 1),
        n_classes: int = 3,
        features: str | None = None,
        options: dict[str, object] | None = None,
        **parameters: object,
    ) -> tuple[LinearClassifier, ImageSet]:
        images = draw_images(shape, n_classes)
        model = LinearClassifier(tol=1e-3, reg=1e-2, **parameters)
        if features is None:
            return model.fit_sets(images), images
        maps = feature_map(features, **(options or {})).fit(images.images)
        rows = maps.transform(images.images).astype(np.float16)
        model.fit_sets(EmbeddingSet(rows, images.y, images.class_names, "drawn"))
        model.features_ = maps
        return model, images

    return make
