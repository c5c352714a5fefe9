"""Patches: the responses to a dictionary of whitened patches, pooled over the regions of a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from linprobe.errors import IncompatibleError, ParameterError, ShapeError
from linprobe.features.base import FeatureMap
from linprobe.features.fractional_pooling import POOLINGS, regions_of
from linprobe.features.patch_responses import Dictionary, pooled_responses
from linprobe.parameters import Parameter
from linprobe.shapes import Floats, Pixels

__all__ = ["PatchesMap"]

SAMPLE, SHARE = 100_000, 100
"""Patches that the whitening and k-means are fitted to: their maximum, and their number per filter. Not tuned."""

FEWEST = 10_000
"""Patches that the whitening and k-means are fitted to, at least. Not tuned."""

ROUNDS = 10
"""Iterations of k-means. Not tuned."""

ATTEMPTS = 8
"""Draws of a patch, at most, until it is not flat; the last draw keeps flat patches."""

FLAT = 1e-6
"""Variance of a flat patch, in squared intensities (0..255), at most."""

Singles = npt.NDArray[np.float32]


@final
@dataclass
class PatchesMap(FeatureMap):
    """Responses to a dictionary of patches, thresholded, of both signs, pooled over a grid of regions.

        z = whitened((p - mean p) / sqrt(var p + epsilon)), to unit length     for every patch p of the picture
        max(0, z·f_k - threshold) and max(0, -z·f_k - threshold), pooled       for every patch f_k of the dictionary

    D = grid² * 2 * patches, or half of that with `mirror`.

    With `mirror` the dictionary contains the mirror image of each of its patches, and every feature is averaged with
    that of the mirrored picture. The objective over the pictures and their mirror images is convex and invariant under
    the exchange of the two features, so an optimum gives them the same weight. Training on their mean therefore equals
    training on flipped pictures too, without the cost.

    Args:
        patches: P, filters of the dictionary, >= 2; even with `mirror`.
        size: of a patch, in pixels.
        stride: from one patch to the next, in pixels.
        grid: regions along each side.
        pooling: "average", "max", "fractional" (regions by Graham's pseudo-random sequences, averaged), or
            "fractional-random".
        overlapping: whether neighbouring fractional regions share a line.
        dictionary: "patches", drawn from the training pictures, or "k-means" of them (spherical).
        mirror: see above; not with fractional regions, which are not symmetric.
        threshold: >= 0, the smallest cosine with a response.
        whitening: added to the eigenvalues of the covariance of the normalised patches.
        epsilon: added to the variance of a patch, in squared intensities.
    Source:
        Coates and Ng, "The importance of encoding versus training with sparse coding and vector quantization", 2011;
        Thiry, Arbel, Belilovsky and Oyallon, "The unreasonable effectiveness of patches", 2021.
    """

    name = "patches"
    title = "patches"
    meaning = "responses to a learned dictionary of patches"
    parameter_info = (Parameter("patches", 2000, "patches of the dictionary", "whole", low=2),)
    LEARNT: ClassVar[tuple[str, ...]] = ("centre", "whiten", "filters", "pooling_seed")

    patches: int = 2000
    size: int = 6
    stride: int = 1
    grid: int = 3
    pooling: str = "average"
    overlapping: bool = True
    dictionary: str = "patches"
    mirror: bool = False
    threshold: float = 0.25
    whitening: float = 0.1
    epsilon: float = 10.0
    centre: Singles = field(init=False, repr=False, compare=False)
    whiten: Singles = field(init=False, repr=False, compare=False)
    filters: Singles = field(init=False, repr=False, compare=False)
    pooling_seed: npt.NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, least in (("patches", 2), ("size", 1), ("stride", 1), ("grid", 1)):
            if getattr(self, name) < least:
                raise ParameterError(f"{name} = {getattr(self, name)}; expected at least {least}.")
        for name, choices in (("pooling", POOLINGS), ("dictionary", ("patches", "k-means"))):
            if getattr(self, name) not in choices:
                raise ParameterError(f"{name} = {getattr(self, name)!r}; expected one of {', '.join(choices)}.")
        for name in ("threshold", "whitening", "epsilon"):
            if not getattr(self, name) >= 0.0:
                raise ParameterError(f"{name} = {getattr(self, name)}; expected a number >= 0.")
        if self.mirror and self.patches % 2:
            raise ParameterError(f"patches = {self.patches}; with flips they come in pairs: expected an even number.")
        if self.mirror and self.pooling.startswith("fractional"):
            raise IncompatibleError(
                f"pooling = {self.pooling!r} has regions that are not symmetric, but flips require symmetric ones; "
                "use pooling='average' or pooling='max', or leave out the flips."
            )

    @property
    def n_features(self) -> int:
        """D, once fitted."""
        _ = self.fitted_shape
        return self.grid**2 * 2 * (self.patches // (2 if self.mirror else 1))

    def _fit(self, images: Pixels, seed: int) -> None:
        height, width, channels = self.fitted_shape
        if self.size > min(height, width):
            raise ParameterError(
                f"size = {self.size}; the pictures are {height}x{width}: a patch must fit into them, "
                "use a smaller size, or larger pictures (image_size)."
            )
        if self.size**2 * channels > 1024:
            raise ParameterError(f"size = {self.size}; expected patches of at most 1,024 numbers.")
        self._regions()
        random = np.random.Generator(np.random.PCG64(seed))
        n_sample = min(max(SHARE * self.patches, FEWEST), SAMPLE)
        sample = self._normalised(self._drawn(images, n_sample, random))
        both = np.concatenate([sample, self._mirrored(sample)]) if self.mirror else sample
        centre = both.mean(axis=0, dtype=np.float64)
        moment = (both.T.astype(np.float64) @ both) / len(both) - np.outer(centre, centre)
        values, vectors = np.linalg.eigh(moment)
        scale = 1.0 / np.sqrt(np.maximum(values, 0.0) + max(self.whitening, 1e-9))
        whiten = (vectors * scale) @ vectors.T
        self.centre, self.whiten = centre.astype(np.float32), whiten.astype(np.float32)
        wanted = self.patches // (2 if self.mirror else 1)
        if self.dictionary == "patches":
            filters = self._whitened(self._normalised(self._drawn(images, wanted, random)))
        else:
            filters = _spherical_k_means(self._whitened(sample), wanted, random)
        self.filters = np.concatenate([filters, self._mirrored(filters)]) if self.mirror else filters
        self.pooling_seed = np.array([seed], np.int64)

    def check_learnt(self) -> None:
        """Raise ShapeError unless centre, whiten and filters are finite float32 of the shapes that `fit` makes."""
        d = self.size**2 * self.fitted_shape[2]
        for name, shape in (("centre", (d,)), ("whiten", (d, d)), ("filters", (self.patches, d))):
            found = getattr(self, name)
            if found.shape != shape or found.dtype != np.float32 or not np.isfinite(found).all():
                raise ShapeError(
                    f"{name} has shape {found.shape} and dtype {found.dtype}; expected {shape} of finite float32."
                )
        seed = self.pooling_seed
        if seed.shape != (1,) or seed.dtype != np.int64 or seed[0] < 0:
            raise ShapeError(f"pooling_seed has shape {seed.shape} and dtype {seed.dtype}; expected one int64, >= 0.")

    def _transform(self, images: Pixels) -> Singles:
        dictionary = Dictionary(
            self.size, self.stride, self.centre, self.whiten, self.filters, self.epsilon, self.threshold
        )
        regions, mirrored = self._regions()
        return pooled_responses(images, dictionary, regions, mirrored, maximum=self.pooling == "max")

    def spread(self, values: Floats) -> npt.NDArray[np.float64]:
        """Each over the pixels of the patches of its region; half of it over the mirror image with `mirror`."""
        height, width, _ = self.fitted_shape
        columns = (width - self.size) // self.stride + 1
        regions, mirrored = self._regions()
        covered = np.zeros((len(regions), height, width))
        for cover, region in zip(covered, regions, strict=True):
            for place in region:
                y, x = (int(n) * self.stride for n in divmod(place, columns))
                cover[y : y + self.size, x : x + self.size] += 1.0
            cover /= cover.sum()
        if mirrored is not None:
            covered = 0.5 * (covered + covered[mirrored])
        sums = values.reshape(len(values), len(regions), -1).sum(axis=2, dtype=np.float64)
        shared: npt.NDArray[np.float64] = np.einsum("ng,ghw->nhw", sums, covered)
        return shared

    def patch_pictures(self) -> npt.NDArray[np.float64]:
        """(P', size, size, channels): the patch of each filter without the whitening, minus its mean.

        P' is the number of filters that have features of their own: half of P with `mirror`.
        """
        size, channels = self.size, self.fitted_shape[2]
        wanted = self.patches // (2 if self.mirror else 1)
        unwhitened = np.linalg.solve(self.whiten.astype(np.float64).T, self.filters[:wanted].astype(np.float64).T).T
        pictures: npt.NDArray[np.float64] = unwhitened.astype(np.float64)
        return pictures.reshape(wanted, size, size, channels)

    def _regions(self) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64] | None]:
        """The regions, and with `mirror` the mirror image of each, by position; else None."""
        height, width, _ = self.fitted_shape
        rows, columns = ((n - self.size) // self.stride + 1 for n in (height, width))
        seed = int(self.pooling_seed[0]) if hasattr(self, "pooling_seed") else 0
        regions = regions_of(rows, columns, self.grid, self.pooling, seed=seed, overlapping=self.overlapping)
        if not self.mirror:
            return regions, None
        if (width - self.size) % self.stride:
            raise ParameterError(
                f"stride = {self.stride}; pictures {width} wide leave a margin on one side: with flips the stride "
                f"must divide {width - self.size}."
            )
        return regions, np.arange(self.grid**2).reshape(self.grid, self.grid)[:, ::-1].ravel()

    def _drawn(self, images: Pixels, wanted: int, random: np.random.Generator) -> npt.NDArray[np.float32]:
        """`wanted` patches (n, d) at random places of random pictures; flat ones are drawn again."""
        height, width, channels = self.fitted_shape
        kept: list[npt.NDArray[np.float32]] = []
        left = wanted
        for attempt in range(ATTEMPTS):
            which = np.sort(random.integers(0, len(images), left))
            top = random.integers(0, height - self.size + 1, left)
            side = random.integers(0, width - self.size + 1, left)
            within = np.arange(self.size)
            rows, columns = top[:, None, None] + within[:, None], side[:, None, None] + within
            found = (
                images[which[:, None, None], rows, columns].astype(np.float32).reshape(left, self.size**2 * channels)
            )
            if attempt < ATTEMPTS - 1:
                found = found[found.var(axis=1) > FLAT]
            kept.append(found)
            left -= len(found)
            if left == 0:
                break
        drawn = np.concatenate(kept)
        return drawn[random.permutation(len(drawn))]

    def _normalised(self, patches: Singles) -> Singles:
        patches = patches - patches.mean(axis=1, keepdims=True)
        scaled: Singles = patches / np.sqrt(np.square(patches).mean(axis=1, keepdims=True) + self.epsilon + 1e-12)
        return scaled

    def _whitened(self, patches: Singles) -> Singles:
        Z = (patches - self.centre) @ self.whiten
        length = np.sqrt(np.square(Z).sum(axis=1, keepdims=True))
        unit: Singles = np.divide(Z, length, out=np.zeros_like(Z), where=length > 0.0)
        return unit

    def _mirrored(self, patches: Singles) -> Singles:
        channels = self.fitted_shape[2]
        flipped = patches.reshape(len(patches), self.size, self.size, channels)[:, :, ::-1]
        return np.ascontiguousarray(flipped).reshape(len(patches), -1)


def _spherical_k_means(Z: Singles, k: int, random: np.random.Generator) -> Singles:
    """k centres (k, d) of the rows of Z, all of unit length; an empty centre is replaced by a random row."""
    centres = Z[random.choice(len(Z), k, replace=k > len(Z))].copy()
    for _ in range(ROUNDS):
        sums, counts = np.zeros_like(centres, dtype=np.float64), np.zeros(k)
        for start in range(0, len(Z), 4096):
            rows = Z[start : start + 4096]
            nearest = (rows @ centres.T).argmax(axis=1)
            order = np.argsort(nearest, kind="stable")
            present, first = np.unique(nearest[order], return_index=True)
            sums[present] += np.add.reduceat(rows[order], first, axis=0, dtype=np.float64)
            counts += np.bincount(nearest, minlength=k)
        empty = counts == 0
        sums[empty] = Z[random.integers(0, len(Z), int(empty.sum()))]
        length = np.sqrt(np.square(sums).sum(axis=1, keepdims=True))
        centres = (sums / np.where(length > 0.0, length, 1.0)).astype(np.float32)
    return centres
