"""Inverted dropout: which inputs of an image are kept, from a key alone; the oracle of the core's masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linprobe.shapes import Floats

__all__ = ["Dropout"]

GOLDEN = 0x9E3779B9
"""2**32 over the golden ratio: distance of the numbers of two features that lie side by side. Knuth's choice."""


@dataclass(frozen=True)
class Dropout:
    """Masks that set each input of each image to 0 with probability `share`, and divide the others by 1 - share.

    A mask depends on the key, the image and the feature alone, so that its bits are the same for any number of threads
    and wherever an epoch is cut into parts. The mean of a masked input is the input.

    Args:
        share: probability that an input is dropped, 0 < share < 1.
        key: of the epoch, 0..2**64 - 1.
    Source:
        Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout", 2014. The hash is `lowbias32` by Chris
        Wellons, 2018, run twice.
    """

    share: float
    key: int

    @classmethod
    def of_epoch(cls, share: float, seed: int, epoch: int) -> Dropout:
        """The masks of an epoch."""
        # a second word apart from the order of the images, which is drawn from [seed, epoch]
        state = np.random.SeedSequence([seed, epoch, 1]).generate_state(1, np.uint64)
        return cls(share, int(state[0]))

    @property
    def threshold(self) -> int:
        """An input is kept where its hash, 0..2**32 - 1, is below this number."""
        return min(round((1.0 - self.share) * 2**32), 2**32 - 1)

    @property
    def factor(self) -> float:
        """What kept inputs are multiplied by."""
        return 1.0 / (1.0 - self.share)

    def keys(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """(n,) the key of each image, by its position among the images; the finisher of SplitMix64."""
        with np.errstate(over="ignore"):
            z = np.uint64(self.key) + (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            keys: npt.NDArray[np.uint64] = z ^ (z >> np.uint64(31))
        return keys

    def masks(self, positions: npt.NDArray[np.int64], n_features: int) -> Floats:
        """(n, D) float64: `factor` where an input is kept, else 0."""
        keys = self.keys(positions)
        low, high = keys.astype(np.uint32), (keys >> np.uint64(32)).astype(np.uint32)
        with np.errstate(over="ignore"):
            numbers = np.arange(n_features, dtype=np.uint32) * np.uint32(GOLDEN)
            hashed = _mixed(_mixed(numbers + low[:, None]) ^ high[:, None])
        masks: Floats = np.where(hashed < np.uint32(self.threshold), self.factor, 0.0)
        return masks


def _mixed(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """`lowbias32`: a permutation of the numbers of 32 bits, of which each bit of x changes about half."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))
