"""A round of dual ascent: a sweep over all coordinates, then sweeps over those that are not 0."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from linprobe.algebra.dual import DualModel, DualPairs
from linprobe.cores import by_threads, threads_for
from linprobe.objective import Objective
from linprobe.optimizers.dual_images import DualImages
from linprobe.shapes import Floats, slices

__all__ = ["NONZERO_SWEEPS", "DualSweeps", "soft_weights"]

NONZERO_SWEEPS = 10
"""Sweeps over the nonzero coordinates after each sweep over all. On the problems of benchmarks/few_shot.py 2, 5 and 10
take as many row additions, and 10 the fewest sweeps over all. On 20,000 of the digits (reg 1e-5) 132 passes leave a gap
of 1.9e-4 with 10; 106 leave 5.5e-4 with 5."""

SKIP_BELOW_GAIN = 0.5
"""An image is skipped if its predicted gain is at most this share of the mean gain in the sweep before. On the same
problems 0.5 takes half as many row additions as 0; 2 takes as many as 0.5, in five times as many sweeps."""

CHUNK_IMAGES = 16
"""Images of a chunk: neighbours in memory, visited one after the other. The order of the chunks is random. With single
images in random order, a sweep over 50,000 rows of 768 float32 takes 1.6 times as long."""

MAX_LISTED_PAIRS, MIN_LISTED_CLASSES = 2**23, 16
"""Bound on the pairs listed for a round, on average (20 bytes each); and the number of classes of an image that may be
listed in any case. In the first rounds all margins are violated; with 1,000 classes the largest are enough. Chosen by
argument."""

BLOCK_SCORES = 2**18
"""Scores that a thread searches for violated margins at a time: 1 MB of float32."""


def soft_weights(V: Floats, size: float, ridge: float) -> Floats:
    """soft(V, size) / ridge: the weights of a dual point."""
    weights: Floats = (V - np.clip(V, -size, size)) / ridge
    return weights


class DualSweeps:
    """The rounds of a search.

    Args:
        objective: whose engine runs them.
        images: that are visited.
        seed: of their order.
        pass_products: multiplications of a pass over the images.
        gain: predicted for the sweep before.
    Attributes:
        gain: predicted for the last sweep.
    """

    def __init__(self, objective: Objective, images: DualImages, seed: int, pass_products: float, gain: float) -> None:
        self._objective, self._images, self._seed = objective, images, seed
        self._pass_products, self.gain = pass_products, gain

    def round(self, model: DualModel, rounds: int) -> Iterator[float]:
        """One round, number `rounds`, of NONZERO_SWEEPS sweeps over the coordinates that are not 0: passes of each."""
        n = len(self._images.y)
        random = np.random.Generator(np.random.PCG64([self._seed, rounds]))
        for sweep in range(1 + NONZERO_SWEEPS):
            self.gain, products = self._objective.engine.algebra.ascend(
                model, random.permutation(n), everything=sweep == 0, threshold=SKIP_BELOW_GAIN * self.gain / n
            )
            yield products * model.rows.shape[1] / self._pass_products

    def listed_round(self, model: DualModel, rounds: int, nonzero_sweeps: int, shift: Floats) -> float:
        """One round over lists of pairs: one matrix product finds the margins that are violated at the present weights.

        A coordinate that is 0 and whose margin is met is not visited in this round. The sweeps update float32 weights.
        After them the weights are computed again from the dual point, in float64.

        Args:
            shift: (K', D) what acceleration adds to the sums of the dual point.
        Returns:
            passes over the images.
        """
        algebra, n = self._objective.engine.algebra, len(self._images.y)
        pairs = self._listed_pairs(model)
        assert model.W is not None
        random = np.random.Generator(np.random.PCG64([self._seed, rounds]))
        products = 0
        for sweep in range(1 + nonzero_sweeps):
            order, threshold = _random_chunks(random, n), SKIP_BELOW_GAIN * self.gain / n
            self.gain, made = algebra.ascend_pairs(model, pairs, order, everything=sweep == 0, threshold=threshold)
            products += made
        model.A[pairs.images(), pairs.classes] = pairs.A
        model.V[:] = algebra.dual_sums(model, pairs) + shift
        model.W[:] = soft_weights(model.V, model.size, model.ridge)
        return 0.5 + float((products + len(pairs.A)) * model.rows.shape[1]) / self._pass_products

    def _listed_pairs(self, model: DualModel) -> DualPairs:
        """The pairs whose coordinate is not 0, or whose margin is violated at the weights of the model.

        For an image with very many violated margins, only the largest are listed.
        """
        y = self._images.y
        assert model.W is not None
        W, b, K = model.W.astype(np.float32), model.b.astype(np.float32), len(model.b)
        most = max(MIN_LISTED_CLASSES, MAX_LISTED_PAIRS // len(y))

        def list_block(block: slice) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Floats]:
            A, n = model.A[block], np.arange(block.stop - block.start)
            S = model.rows[block] @ W.T
            S += b
            met = S[n, y[block]][:, None] - np.float32(model.delta)
            nonzero = A != 0.0
            listed = (met < S) & ~nonzero
            listed[n, y[block]] = False
            if most < K and len(many := np.flatnonzero(listed.sum(axis=1) > most)):
                largest, violated = np.zeros((len(many), K), bool), np.where(listed[many], S[many], -np.inf)
                np.put_along_axis(largest, np.argpartition(-violated, most, axis=1)[:, :most], True, axis=1)
                listed[many] &= largest
            listed |= nonzero
            image, k = np.nonzero(listed)
            return np.bincount(image, minlength=len(n)), k.astype(np.int32), A[image, k]

        blocks = slices(len(y), max(1, BLOCK_SCORES // K))
        parts = list(by_threads(list_block, blocks, threads_for(self._objective.engine.n_threads)))
        counts, classes, A = (np.concatenate([part[i] for part in parts]) for i in range(3))
        ends = np.concatenate([[0], np.cumsum(counts)])
        return DualPairs(ends, classes, A, model.V.astype(np.float32), W if model.size > 0.0 else None)


def _random_chunks(random: np.random.Generator, n: int) -> npt.NDArray[np.int64]:
    """(n,) the numbers below n, in chunks that follow in a random order."""
    order = random.permutation(-(-n // CHUNK_IMAGES))[:, None] * CHUNK_IMAGES + np.arange(CHUNK_IMAGES)
    return order[order < n]
