"""Seeded data sets that the benchmarks make themselves, so that no file is needed to repeat them.

spectrum    Gaussian vectors whose covariance has the eigenvalues k^-0.6, a teacher's labels
digits      scikit-learn's digits enlarged to 28 x 28 and shifted
pictures    hog+color of CIFAR-10's training pictures, standardised or not, with its classes cut by k-means
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe import open_dataset
from linprobe.features import feature_map

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]

SPECTRUM = 0.6
"""Power by which the eigenvalues of the covariance fall: embeddings of trained networks have 0.5 to 1."""

BY_LOT = 0.1
"""Share of the labels of `teacher_argmax` that are drawn uniformly from all classes."""

SHIFT = 3
"""Pixels by which a digit is shifted at most, in both directions."""

BLOCK = 5000
"""Rows that are made at a time: it bounds memory."""


def spectrum_vectors(n_images: int, n_features: int, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """(N, D) Gaussian vectors in random directions; the covariance has the eigenvalues k^-0.6, k = 1..D."""
    deviations = np.arange(1, n_features + 1, dtype=np.float64) ** (-0.5 * SPECTRUM)
    directions, _ = np.linalg.qr(random.standard_normal((n_features, n_features)))
    mixed = (deviations[:, None] * directions).astype(np.float32)
    X = np.empty((n_images, n_features), np.float32)
    for start in range(0, n_images, BLOCK):
        n = min(BLOCK, n_images - start)
        X[start : start + n] = random.standard_normal((n, n_features), dtype=np.float32) @ mixed
    return X


def teacher_scores(X: Array, n_classes: int, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """(N, K) scores of unit variance by a teacher with Gaussian weights."""
    S = X @ random.standard_normal((X.shape[1], n_classes), dtype=np.float32)
    return np.asarray(S / S.std(), np.float32)


def by_lot(n_images: int, n_features: int, n_classes: int, seed: int = 0) -> tuple[Array, Labels]:
    """(X float16, y): labels are the teacher's argmax, but one in ten is drawn uniformly from all classes."""
    random = np.random.default_rng(seed)
    X = spectrum_vectors(n_images, n_features, random)
    y = teacher_scores(X, n_classes, random).argmax(axis=1)
    drawn = random.random(n_images) < BY_LOT
    y[drawn] = random.integers(0, n_classes, int(drawn.sum()))
    return X.astype(np.float16), y


def drawn_by_teacher(
    n_images: int, n_features: int, n_classes: int, accuracy: float = 0.9, seed: int = 0
) -> tuple[npt.NDArray[np.float32], Labels, float]:
    """(X float32, y, accuracy of the teacher): labels are drawn from the softmax of a teacher's scores.

    The scores are scaled until the class drawn is expected to be the one of the largest score for a share `accuracy`
    of the images.
    """
    random = np.random.default_rng(seed)
    X = spectrum_vectors(n_images, n_features, random)
    S = teacher_scores(X, n_classes, random).astype(np.float64)
    S -= S.max(axis=1, keepdims=True)
    low, high = 0.0, 1e4
    for _ in range(60):
        scale = 0.5 * (low + high)
        expected = float((1.0 / np.exp(scale * S).sum(axis=1)).mean())
        low, high = (scale, high) if expected < accuracy else (low, scale)
    gumbel = -np.log(-np.log(random.random(S.shape)))
    y = (scale * S + gumbel).argmax(axis=1)
    return X, y, float((y == S.argmax(axis=1)).mean())


def shifted_digits(n_images: int, seed: int = 0) -> tuple[npt.NDArray[np.uint8], Labels]:
    """(X (N, 784) uint8, y): scikit-learn's 1,797 digits enlarged to 28 x 28 and shifted by up to three pixels.

    Enlarged by bilinear interpolation to 22 x 22 in a frame of three pixels, so that no shift cuts one off.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    random = np.random.default_rng(seed)
    digits = load_digits()
    side, inner = 28, 28 - 2 * SHIFT
    small = np.rint(digits.images * (255.0 / 16.0)).astype(np.uint8)
    large = np.stack([np.asarray(Image.fromarray(d).resize((inner, inner), Image.Resampling.BILINEAR)) for d in small])
    picked = random.integers(0, len(large), n_images)
    across, down = random.integers(0, 2 * SHIFT + 1, (2, n_images))
    X = np.zeros((n_images, side, side), np.uint8)
    for i, (digit, x, y) in enumerate(zip(picked, across, down, strict=True)):
        X[i, y : y + inner, x : x + inner] = large[digit]
    return X.reshape(n_images, -1), digits.target[picked].astype(np.int64)


def hog_color(archive: Path, n_images: int | None = None) -> tuple[Array, Array, Labels]:
    """(features (N, D) float32, pictures (N, 32, 32, 3) uint8, labels) of training pictures of CIFAR-10.

    Of all of them, or of `n_images`, drawn with seed 0.
    """
    train = open_dataset(archive).train
    picked = np.sort(np.random.default_rng(0).permutation(len(train.y))[:n_images])
    images = train.images[picked if train.rows is None else train.rows[picked]]
    maps = feature_map("hog+color").fit(images)
    blocks = [maps.transform(images[start : start + BLOCK]) for start in range(0, len(images), BLOCK)]
    return np.concatenate(blocks).astype(np.float32), images, train.y[picked]


def clustered_pictures(
    archive: Path, n_images: int | None = None, n_features: int = 768, clusters: int = 10
) -> tuple[npt.NDArray[np.float16], Labels]:
    """(X float16, y): pictures of CIFAR-10 whose ten classes are cut into `clusters` each.

    X: hog+color of each training picture, standardised, its first principal components. y: each class is cut by k-means
    of thumbnails of 8 x 4 pixels, so that neighbours among the classes are hard to tell apart.
    """
    from sklearn.cluster import KMeans

    F, images, labels = hog_color(archive, n_images)
    F -= F.mean(axis=0)
    F /= F.std(axis=0) + 1e-6
    _, V = np.linalg.eigh(F.T @ F / len(F))
    X = (F @ V[:, ::-1][:, :n_features]).astype(np.float16)
    thumbnails = images.reshape(-1, 4, 8, 4, 8, 3).mean((2, 4)).reshape(len(images), -1).astype(np.float32)
    y = np.zeros(len(images), np.int64)
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        found = KMeans(min(clusters, len(rows)), n_init=1, random_state=0).fit_predict(thumbnails[rows])
        y[rows] = clusters * c + found
    return X, np.unique(y, return_inverse=True)[1]


def regs_of(C: Array, n_images: int) -> list[float]:
    """reg of our objective for the C of scikit-learn, which minimises C sum L_i + sum W² / 2: 1/(2 C N)."""
    return [1.0 / (2.0 * value * n_images) for value in np.asarray(C, np.float64).tolist()]
