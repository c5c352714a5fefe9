"""The feature maps as scikit-learn transformers, for pipelines; the one file of this room that imports scikit-learn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from linprobe.cores import threads_for
from linprobe.errors import ShapeError
from linprobe.features.base import FeatureMap, Supervision
from linprobe.features.color import ColorMap
from linprobe.features.hog import HogMap
from linprobe.features.net import NetMap
from linprobe.features.onnx import OnnxMap
from linprobe.features.parameters import count
from linprobe.features.patches import PatchesMap

__all__ = ["HOG", "ColorHistogram", "ImageTransformer", "Net", "OnnxEmbedding", "Patches"]

BLOCK = 256
"""Pictures per task of a thread."""


class ImageTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A feature map for scikit-learn: pictures X (N, height, width, channels) or (N, height, width) uint8.

    Every parameter of the constructor but `n_threads` and `random_state` is one of the map.

    Attributes:
        kind: the class of the map.
        map_: the fitted FeatureMap.
    """

    kind: ClassVar[type[FeatureMap]]
    n_threads: int | None

    def fit(self, X: npt.ArrayLike, y: Any = None) -> Self:
        """The transformer itself; `y` is ignored.

        Raises:
            ShapeError: X is not uint8 pictures, or is empty.
            ParameterError: a parameter out of range, or one that does not suit the size of the pictures.
        """
        parameters = self.get_params(deep=False)
        if parameters.pop("n_threads") is not None:
            count("n_threads", self.n_threads)
        seed = parameters.pop("random_state", 0)
        self.map_ = self.kind(**parameters).fit(np.asarray(X), seed=seed, supervision=self._supervision(y))
        return self

    def _supervision(self, y: Any) -> Supervision | None:
        """What a map that learns from labels is given; None for the others."""
        return None

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The features (N, D) float32.

        Raises:
            ShapeError: X is not uint8 pictures of the size of `fit`.
            NotFittedError: scikit-learn's, `fit` was not called.
        """
        check_is_fitted(self)
        images = np.asarray(X)
        blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
        if len(blocks) < 2:
            return self.map_.transform(images)
        rows = np.empty((len(images), self.map_.n_features), dtype=np.float32)
        parts = [rows[start : start + BLOCK] for start in range(0, len(images), BLOCK)]

        def fill(block: npt.NDArray[Any], part: npt.NDArray[np.float32]) -> None:
            part[:] = self.map_.transform(block)

        with ThreadPoolExecutor(threads_for(self.n_threads)) as threads:
            for done in [threads.submit(fill, *pair) for pair in zip(blocks, parts, strict=True)]:
                done.result()
        return rows

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """(D,) names, that of the map and a number: hog0, hog1, ..."""
        check_is_fitted(self)
        return np.array([f"{self.map_.name}{i}" for i in range(self.map_.n_features)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        """scikit-learn's description of the input: pictures, not tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


@final
class HOG(ImageTransformer):
    """Histograms of oriented gradients: `HogMap` for scikit-learn.

    Args:
        cell_size, block_size, orientations, signed, scales, root, clip: as in `HogMap`.
        n_threads: threads that compute; None for one per core.
    Example:
        >>> HOG(scales=1).fit_transform(np.zeros((1, 16, 16), dtype=np.uint8)).shape
        (1, 432)
    """

    kind = HogMap

    def __init__(
        self,
        cell_size: int = 4,
        block_size: int = 2,
        orientations: int = 12,
        signed: bool = True,
        *,
        scales: int = 2,
        root: bool = True,
        clip: float = 0.3,
        n_threads: int | None = None,
    ) -> None:
        self.cell_size = cell_size
        self.block_size = block_size
        self.orientations = orientations
        self.signed = signed
        self.scales = scales
        self.root = root
        self.clip = clip
        self.n_threads = n_threads


@final
class ColorHistogram(ImageTransformer):
    """Histograms of hue and saturation: `ColorMap` for scikit-learn.

    Args:
        hue_bins, saturation_bins, grid, soft, root: as in `ColorMap`.
        n_threads: threads that compute; None for one per core.
    """

    kind = ColorMap

    def __init__(
        self,
        hue_bins: int = 10,
        saturation_bins: int = 5,
        grid: int = 4,
        *,
        soft: bool = True,
        root: bool = True,
        n_threads: int | None = None,
    ) -> None:
        self.hue_bins = hue_bins
        self.saturation_bins = saturation_bins
        self.grid = grid
        self.soft = soft
        self.root = root
        self.n_threads = n_threads


@final
class Patches(ImageTransformer):
    """Responses to a dictionary of patches: `PatchesMap` for scikit-learn.

    Args:
        patches, size, stride, grid, pooling, overlapping, dictionary, mirror, threshold, whitening, epsilon: as in
            `PatchesMap`.
        random_state: seed of what is drawn, an int >= 0.
        n_threads: threads that compute; None for one per core.
    """

    kind = PatchesMap

    def __init__(
        self,
        patches: int = 2000,
        size: int = 6,
        *,
        stride: int = 1,
        grid: int = 3,
        pooling: str = "average",
        overlapping: bool = True,
        dictionary: str = "patches",
        mirror: bool = False,
        threshold: float = 0.25,
        whitening: float = 0.1,
        epsilon: float = 10.0,
        random_state: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.patches = patches
        self.size = size
        self.stride = stride
        self.grid = grid
        self.pooling = pooling
        self.overlapping = overlapping
        self.dictionary = dictionary
        self.mirror = mirror
        self.threshold = threshold
        self.whitening = whitening
        self.epsilon = epsilon
        self.random_state = random_state
        self.n_threads = n_threads


@final
class Net(ImageTransformer):
    """What a residual network has learnt from the pictures and their labels: `NetMap` for scikit-learn.

    Args:
        width, depth, epochs, minutes, dropout, stochastic_depth, pooling, batch_norm, patience, mirror: as in `NetMap`;
            without validation pictures, `patience` has no effect.
        random_state: seed of what is drawn, an int >= 0.
        n_threads: threads that train and map; None for one per core. The bits of the network depend on it.
    """

    kind = NetMap

    def __init__(
        self,
        width: int = 64,
        depth: int = 1,
        *,
        epochs: int | None = None,
        minutes: float | None = None,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        pooling: str = "max",
        batch_norm: bool = True,
        patience: int = 5,
        mirror: bool = False,
        random_state: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.width = width
        self.depth = depth
        self.epochs = epochs
        self.minutes = minutes
        self.dropout = dropout
        self.stochastic_depth = stochastic_depth
        self.pooling = pooling
        self.batch_norm = batch_norm
        self.patience = patience
        self.mirror = mirror
        self.random_state = random_state
        self.n_threads = n_threads

    def _supervision(self, y: Any) -> Supervision:
        if y is None:
            raise ShapeError("y is missing; the network learns from labels: call fit(X, y).")
        classes, labels = np.unique(np.asarray(y), return_inverse=True)
        if len(classes) < 2:
            raise ShapeError(f"y holds {len(classes)} class; expected at least 2.")
        return Supervision(labels.astype(np.int64), len(classes), n_threads=threads_for(self.n_threads))


@final
class OnnxEmbedding(ImageTransformer):
    """The output of an ONNX network for each picture: `OnnxMap` for scikit-learn.

    Args:
        file, output: as in `OnnxMap`.
        n_threads: pictures that are computed at once; None for one per core.
    """

    kind = OnnxMap

    def __init__(self, file: str, output: str | None = None, *, n_threads: int | None = None) -> None:
        self.file = file
        self.output = output
        self.n_threads = n_threads
