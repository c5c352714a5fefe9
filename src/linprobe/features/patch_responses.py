"""Responses of a dictionary to the patches of pictures, pooled: the native loop, and its oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linprobe import _core
from linprobe.shapes import Pixels

__all__ = ["Dictionary", "pooled_responses", "pooled_responses_reference"]

Singles = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dictionary:
    """How a patch of size x size pixels becomes responses, d = size * size * channels.

        z = ((p - mean p) / sqrt(var p + epsilon) - centre) whiten, to unit length
        s_k = z·filters_k, and of it  max(0, s_k - threshold)  and  max(0, -s_k - threshold)

    Args:
        size, stride: of the patches, in pixels.
        centre: (d,) float32.
        whiten: (d, d) float32.
        filters: (P, d) float32, of unit length; where pictures are mirrored, filter k + P/2 is the mirror image of k.
        epsilon: added to the variance of a patch, in squared intensities.
        threshold: >= 0.
    """

    size: int
    stride: int
    centre: Singles
    whiten: Singles
    filters: Singles
    epsilon: float
    threshold: float


def pooled_responses(
    images: Pixels,
    dictionary: Dictionary,
    regions: list[Places],
    mirrored: Places | None = None,
    *,
    maximum: bool = False,
    n_threads: int = 1,
) -> Singles:
    """(N, G * 2 * P) float32: by region, sign and filter the mean, or the maximum, of the responses in the region.

    Args:
        images: (N, height, width, channels) uint8.
        dictionary: of filters.
        regions: G arrays of places, 0..rows * columns - 1 of the patches, row by row; they may overlap.
        mirrored: (G,) the region that takes the place of each when a picture is mirrored; every feature is then
            averaged with that of its mirror image, and there are G * 2 * (P / 2) of them. None for none.
        maximum: pool maxima.
        n_threads: which compute; the result does not depend on it.
    """
    n, height, width, channels = images.shape
    rows = np.ascontiguousarray(images).reshape(n, -1)
    kept = len(dictionary.filters) // (1 if mirrored is None else 2)
    out = np.empty((n, len(regions) * 2 * kept), np.float32)
    _core.patches(
        rows,
        None,
        height=height,
        width=width,
        channels=channels,
        size=dictionary.size,
        stride=dictionary.stride,
        centre=dictionary.centre,
        whiten=dictionary.whiten,
        filters=dictionary.filters,
        epsilon=dictionary.epsilon,
        threshold=dictionary.threshold,
        region_ends=np.cumsum([len(region) for region in regions], dtype=np.int64),
        places=np.concatenate(regions).astype(np.int64),
        mirrored=mirrored,
        maximum=maximum,
        out=out,
        threads=n_threads,
    )
    return out


def pooled_responses_reference(
    images: Pixels,
    dictionary: Dictionary,
    regions: list[Places],
    mirrored: Places | None = None,
    *,
    maximum: bool = False,
) -> npt.NDArray[np.float64]:
    """As `pooled_responses`, in float64 and as it is written down: the oracle."""
    size, stride = dictionary.size, dictionary.stride
    features = []
    for image in images.astype(np.float64):
        height, width, _ = image.shape
        patches = np.array(
            [
                image[y : y + size, x : x + size].ravel()
                for y in range(0, height - size + 1, stride)
                for x in range(0, width - size + 1, stride)
            ]
        )
        patches -= patches.mean(axis=1, keepdims=True)
        patches /= np.sqrt(np.square(patches).mean(axis=1, keepdims=True) + dictionary.epsilon)
        Z = (patches - dictionary.centre) @ dictionary.whiten
        length = np.sqrt(np.square(Z).sum(axis=1, keepdims=True))
        Z = np.divide(Z, length, out=np.zeros_like(Z), where=length > 0.0)
        S = Z @ dictionary.filters.T
        signs = [np.maximum(sign * S - dictionary.threshold, 0.0) for sign in (1.0, -1.0)]
        pool = np.max if maximum else np.mean
        pooled = np.array([[pool(part[region], axis=0) for part in signs] for region in regions])
        if mirrored is not None:
            half = len(dictionary.filters) // 2
            pooled = 0.5 * (pooled[:, :, :half] + pooled[mirrored][:, :, half:])
        features.append(pooled.ravel())
    return np.array(features)
