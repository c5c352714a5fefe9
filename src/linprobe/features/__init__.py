"""Features: pictures to the rows of X, by an affine map that an engine applies to pixels, or as new numbers.

feature_map(spec)                              "hog+color" -> a FeatureMap: fit(images), transform(images)
Pixels                                         the affine map of the pixels
Supervision                                    what a map that learns from labels is given beside the pictures
HOG, ColorHistogram, Patches, Net, OnnxEmbedding    the same maps for scikit-learn, imported when they are first used
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from linprobe.features.base import Affine, FeatureMap, Supervision
from linprobe.features.parse import feature_map
from linprobe.features.pixels import Pixels

if TYPE_CHECKING:
    from linprobe.features.transformers import HOG, ColorHistogram, Net, OnnxEmbedding, Patches

__all__ = [
    "HOG",
    "Affine",
    "ColorHistogram",
    "FeatureMap",
    "Net",
    "OnnxEmbedding",
    "Patches",
    "Pixels",
    "Supervision",
    "feature_map",
]

_TRANSFORMERS = ("HOG", "ColorHistogram", "Net", "OnnxEmbedding", "Patches")
"""Names that are imported on first use."""


def __getattr__(name: str) -> Any:
    """The transformer `name`; imported on first use, since importing scikit-learn is slow."""
    if name not in _TRANSFORMERS:
        raise AttributeError(f"module 'linprobe.features' has no attribute {name!r}")
    value = getattr(importlib.import_module("linprobe.features.transformers"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
