"""The layers of the residual network of `NetMap`, as functions of their weights; this file imports PyTorch.

    stem        whitening filters of 2 x 2 pixels and their negatives, fixed; GELU
    a stage     conv 3x3, pooling, norm, GELU; then `depth` residual branches: x + GELU(norm(conv 3x3 (x)))
    the end     the maximum or mean over the places left: the features

Each stage halves the sides. In training a branch is left out for an image with the probability of stochastic depth, and
a feature with that of dropout; what stays is divided by its probability to stay, so that nothing changes in prediction.

Source:
    Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024 (stem, initial weights, schedule); He et al. 2016;
    Ioffe and Szegedy 2015; Huang et al. 2016, "Deep networks with stochastic depth"; Graham 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from linprobe.features.net_shape import Shape

__all__ = ["Weights", "features_of", "folded", "initial_weights", "stem_of"]

Weights: TypeAlias = dict[str, Any]
"""Tensors of PyTorch by name: `1.0.weight` is of stage 1, convolution 0."""

STEM_FLOOR = 5e-4
"""Added to the eigenvalues of the covariance of the patches of the stem, in squared standard deviations of the pixels
(Jordan 2024). Without it, constant patches would be divided by 0."""

NORM_FLOOR = 1e-5
"""Added to the variance in batch normalization; PyTorch's own default."""


def stem_of(patches: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(2 P, P) filters that whiten patches (n, P), and their negatives, the largest variance first."""
    centred = patches.astype(np.float64) - patches.mean(axis=0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    filters = (vectors / np.sqrt(np.maximum(values, 0.0) + STEM_FLOOR)).T[::-1]
    return np.concatenate([filters, -filters]).astype(np.float32)


def initial_weights(shape: Shape, n_classes: int, generator: Any) -> Weights:
    """The weights before training: each convolution passes on the channels it can, and mixes them at random.

    Args:
        shape: of the network.
        n_classes: rows of the linear classifier that the training puts on top.
        generator: torch.Generator.
    """
    weights: Weights = {}
    for name, before, after in shape.convolutions:
        weight = torch.empty(after, before, 3, 3).contiguous(memory_format=torch.channels_last)
        torch.nn.init.kaiming_uniform_(weight, a=5.0**0.5, generator=generator)
        same = min(before, after)
        torch.nn.init.dirac_(weight[:same])
        weights[f"{name}.weight"], weights[f"{name}.bias"] = weight, torch.zeros(after)
        if shape.batch_norm:
            weights[f"{name}.mean"], weights[f"{name}.variance"] = torch.zeros(after), torch.ones(after)
    last = torch.empty(n_classes, shape.widths[-1])
    torch.nn.init.kaiming_uniform_(last, a=5.0**0.5, generator=generator)
    weights["last.weight"] = last
    return weights


def features_of(weights: Mapping[str, Any], stem: Any, x: Any, shape: Shape, momentum: float | None = None) -> Any:
    """The features (N, D) of normalised pictures x (N, channels, height, width).

    Args:
        weights: as `initial_weights`, or `folded`, which has no statistics.
        stem: (2 P, channels, 2, 2).
        x: floats, channels last in memory.
        shape: of the network.
        momentum: share of a batch's statistics in the running ones, which are changed in place; None for prediction.
    """
    training = momentum is not None
    x = functional.gelu(functional.conv2d(x, stem))
    for stage in range(len(shape.widths)):
        x = _pooled(_convolved(weights, f"{stage}.0", x), shape.pooling, training)
        x = functional.gelu(_normed(weights, f"{stage}.0", x, momentum))
        for branch in range(shape.depth):
            name = f"{stage}.{branch + 1}"
            y = functional.gelu(_normed(weights, name, _convolved(weights, name, x), momentum))
            if training and shape.stochastic_depth:
                stays = shape.survival(stage, branch)
                y = y * ((torch.rand(len(y), 1, 1, 1) < stays) / stays).to(y.dtype)
            x = x + y
    x = (x.mean((2, 3)) if shape.pooling == "average" else x.amax((2, 3))).float()
    return functional.dropout(x, shape.dropout) if training and shape.dropout else x


def folded(weights: Mapping[str, Any], shape: Shape) -> Weights:
    """The convolutions alone: batch normalization with running statistics is an affine map, folded into each.

    gamma = 1 / sqrt(variance + floor);  weight * gamma;  bias - gamma * mean
    """
    found: Weights = {}
    for name, _, _ in shape.convolutions:
        weight, bias = weights[f"{name}.weight"].detach(), weights[f"{name}.bias"].detach()
        if shape.batch_norm:
            scale = (weights[f"{name}.variance"] + NORM_FLOOR).rsqrt()
            weight, bias = weight * scale[:, None, None, None], bias - scale * weights[f"{name}.mean"]
        found[f"{name}.weight"], found[f"{name}.bias"] = weight, bias
    return found


def _convolved(weights: Mapping[str, Any], name: str, x: Any) -> Any:
    return functional.conv2d(x, weights[f"{name}.weight"], padding=1)


def _normed(weights: Mapping[str, Any], name: str, x: Any, momentum: float | None) -> Any:
    """Batch normalization with a bias and no scale; without statistics, the bias alone."""
    mean, bias = weights.get(f"{name}.mean"), weights[f"{name}.bias"]
    if mean is None:
        return x + bias.to(x.dtype)[:, None, None]
    kept = 0.0 if momentum is None else momentum
    variance = weights[f"{name}.variance"]
    return functional.batch_norm(x, mean, variance, None, bias, momentum is not None, kept, NORM_FLOOR)


def _pooled(x: Any, pooling: str, training: bool) -> Any:
    """x at half its sides, rounded down."""
    if pooling == "average":
        return functional.avg_pool2d(x, 2)
    if pooling == "max":
        return functional.max_pool2d(x, 2)
    sides = (x.shape[2] // 2, x.shape[3] // 2)
    # PyTorch draws the regions anew in prediction, too: there they are given
    draws = torch.rand(x.shape[0], x.shape[1], 2) if training else torch.full((x.shape[0], x.shape[1], 2), 0.5)
    return functional.fractional_max_pool2d(x.float(), 2, output_size=sides, _random_samples=draws).to(x.dtype)
