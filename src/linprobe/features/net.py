"""A learned feature map: what the last layer but one of a small residual network returns, trained on the pictures."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from linprobe.errors import IncompatibleError, ParameterError, ShapeError
from linprobe.extras import install_command
from linprobe.features.base import FeatureMap, Supervision
from linprobe.features.net_shape import Shape
from linprobe.features.parameters import count, flag
from linprobe.parameters import Parameter
from linprobe.shapes import Pixels

__all__ = ["NET_POOLINGS", "NetMap"]

VERSION = 1
"""Version of the layers, and of the tensors that a model file holds of them."""

NET_POOLINGS = ("average", "max", "fractional")
"""Values of `pooling`."""

STAGES = 3
"""Stages at most: a picture of 32 x 32 becomes 31, 15, 7 and then 3 places wide (Jordan 2024)."""

SMALLEST = 4
"""Pixels of a side at least: the stem leaves 3, and one stage halves them to 1."""

GROWTH = 4
"""Width of the last stage, in units of the first (Jordan 2024). The second of three is half as wide: on CIFAR-10 that
takes 0.7 of the time and costs 0.004 of validation accuracy after 5 epochs over 12,000 pictures."""

EPOCHS = 8
"""Passes over the training pictures where neither epochs nor minutes are given (Jordan 2024: 8 to 10)."""

SAMPLE, SAMPLE_PIXELS = 5000, 2**23
"""Training pictures that the scaling and the stem are fitted to, at most (Jordan 2024), and their pixels, at most: the
patches then take 0.8 GB as float64."""

LARGEST_WIDTH, LARGEST_DEPTH = 1024, 16
"""Bounds of the parameters, far above what two cores can train: a model file may name any number."""

WEIGHTS = "weights."
"""Prefix of the names of the tensors of the layers."""

Singles = npt.NDArray[np.float32]


@final
@dataclass
class NetMap(FeatureMap):
    """The last layer but one of a residual network that is trained on the training pictures and their labels.

    The exact linear classifier is then fitted to these D = 4 * width numbers. Its certificate is of that classifier,
    given the features; nothing is proved of the network. Training and mapping need PyTorch.

    Args:
        width: channels of the first stage; the second has twice as many, and the last 4 times.
        depth: residual branches of each stage, >= 0.
        epochs: passes over the training pictures; None for 8, or as many as fit into `minutes`.
        minutes: that the training of the network may take, about; None where epochs decide.
        dropout: probability with which each feature is left out in training, >= 0 and < 1.
        stochastic_depth: probability with which the last residual branch is left out in training; those before it are
            left out less often, in proportion to their place. >= 0 and < 1.
        pooling: "max", "average" or "fractional" (Graham's regions, drawn anew for each batch).
        batch_norm: whether convolutions are followed by batch normalization.
        patience: epochs without a smaller validation loss after which the training ends.
        mirror: train on mirror images, too, and average the features of a picture and its mirror image.
    Source:
        As `net_layers` and `net_training` name them.
    """

    name = "net"
    title = "network"
    meaning = "a residual network, trained on the training images"
    parameter_info = (
        Parameter("width", 64, "channels of the network's first stage", "whole", low=1, high=LARGEST_WIDTH),
        Parameter("depth", 1, "residual branches of each stage", "whole", low=0, high=LARGEST_DEPTH),
        Parameter("epochs", None, f"passes over the training images; {EPOCHS} unless minutes decide", "whole", low=1),
        Parameter("minutes", None, "that the network may train, about", low=0.0, open_low=True),
        Parameter("dropout", 0.0, "probability that a feature is left out in training", low=0.0, high=0.99),
        Parameter("stochastic_depth", 0.0, "probability that the last residual branch is left out in training", low=0.0,
                  high=0.99),
        Parameter("pooling", "max", f"of each stage: {', '.join(NET_POOLINGS)}", "text"),
        Parameter("batch_norm", True, "batch normalization after each convolution", "flag"),
        Parameter("patience", 5, "epochs without a smaller validation loss that end the training", "whole", low=1),
    )  # fmt: skip
    LEARNT: ClassVar[tuple[str, ...]] = ("version", "mean", "deviation", "stem", "history")

    width: int = 64
    depth: int = 1
    epochs: int | None = None
    minutes: float | None = None
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    pooling: str = "max"
    batch_norm: bool = True
    patience: int = 5
    mirror: bool = False
    version: npt.NDArray[np.int64] = field(init=False, repr=False, compare=False)
    mean: Singles = field(init=False, repr=False, compare=False)
    deviation: Singles = field(init=False, repr=False, compare=False)
    stem: Singles = field(init=False, repr=False, compare=False)
    history: npt.NDArray[np.float64] = field(init=False, repr=False, compare=False)
    weights: dict[str, Singles] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for declared in self.parameter_info:
            value = getattr(self, declared.name)
            if value is not None:
                declared.check(value)
        if self.pooling not in NET_POOLINGS:
            raise ParameterError(f"net: pooling = {self.pooling!r}; expected one of {', '.join(NET_POOLINGS)}.")
        if self.epochs is not None and self.minutes is not None:
            raise IncompatibleError(
                f"net: epochs = {self.epochs} and minutes = {self.minutes:g}: both decide how long the network trains; "
                "give one of them."
            )
        if self.stochastic_depth and not self.depth:
            raise IncompatibleError(
                f"net: stochastic_depth = {self.stochastic_depth:g} leaves out residual branches, and depth = 0 has "
                "none; use depth >= 1, or stochastic_depth = 0."
            )
        self.batch_norm, self.mirror = flag("batch_norm", self.batch_norm), flag("mirror", self.mirror)
        self.width, self.patience = count("width", self.width), count("patience", self.patience)

    @property
    def supervised(self) -> bool:
        """True."""
        return True

    @property
    def n_features(self) -> int:
        """D = 4 * width, once fitted."""
        _ = self.fitted_shape
        return GROWTH * self.width

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage: as many stages as can halve the sides, three at most."""
        side, n_stages = min(self.fitted_shape[:2]) - 1, 0
        while side >= 2 and n_stages < STAGES:
            side, n_stages = side // 2, n_stages + 1
        last = GROWTH * self.width
        return {1: (last,), 2: (self.width, last)}.get(n_stages, (self.width, last // 2, last))

    @property
    def shape(self) -> Shape:
        """What decides the layers, once fitted."""
        channels = self.fitted_shape[2]
        return Shape(
            channels, self.widths, self.depth, self.pooling, self.batch_norm, self.dropout, self.stochastic_depth
        )

    def _learn(self, images: Pixels, seed: int, supervision: Supervision | None) -> None:
        assert supervision is not None  # as `fit` has checked
        height, width, channels = self.fitted_shape
        if min(height, width) < SMALLEST:
            raise ParameterError(
                f"net: the pictures are {height}x{width}; the network needs {SMALLEST}x{SMALLEST} or more. Enlarge "
                "them (image_size), or use other features."
            )
        if len(images) < 2:
            raise ShapeError("net: images has one picture; the network needs two or more.")
        torch_training = _with_torch("linprobe.features.net_training")
        layers = _with_torch("linprobe.features.net_layers")
        random = np.random.Generator(np.random.PCG64(seed))
        n_sample = max(1, min(SAMPLE, SAMPLE_PIXELS // (height * width)))
        some = np.sort(random.permutation(len(images))[:n_sample])
        sample = images[some].astype(np.float32)
        mean = sample.mean((0, 1, 2), dtype=np.float64)
        deviation = np.sqrt(np.square(sample - mean).mean((0, 1, 2), dtype=np.float64))
        self.mean, self.deviation = mean.astype(np.float32), np.maximum(deviation, 1.0).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view((sample - self.mean) / self.deviation, (2, 2), (1, 2))
        filters = layers.stem_of(windows.reshape(-1, 4 * channels))
        self.stem = filters.reshape(-1, channels, 2, 2)
        training = self._training(seed)
        described = json.dumps([VERSION, self.name, self.settings(), self.fitted_shape, seed, supervision.n_threads])
        state = torch_training.trained(images, supervision, training, described)
        flat = layers.folded(state.best, self.shape)
        self.weights = {name: np.ascontiguousarray(part.numpy()) for name, part in flat.items()}
        self.version, self.history = np.array([VERSION], np.int64), state.history

    def _transform(self, images: Pixels) -> Singles:
        found: Singles = _with_torch("linprobe.features.net_training").mapped(self.weights, self._training(0), images)
        return found

    def _training(self, seed: int) -> Any:
        """What `net_training` takes: the layers, the scaling, and how they are trained."""
        n_epochs = self.epochs or (EPOCHS if self.minutes is None else None)
        return _with_torch("linprobe.features.net_training").Training(
            self.shape, self.stem, self.mean, self.deviation, self.mirror, n_epochs, self.minutes, self.patience, seed
        )

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The learned arrays: the weights and biases of each convolution, the stem, the scaling, and the history."""
        return super().tensors() | {WEIGHTS + name: part for name, part in self.weights.items()}

    @classmethod
    def restored(
        cls, settings: Mapping[str, object], image_shape: tuple[int, int, int], tensors: Mapping[str, npt.NDArray[Any]]
    ) -> Self:
        """The fitted map with these `settings()`, `image_shape` and `tensors()`."""
        version = tensors["version"]
        if version.shape != (1,) or version.dtype != np.int64 or version[0] != VERSION:
            raise ParameterError(
                f"net: the network is of version {', '.join(map(str, version.ravel()[:3]))}; this linprobe reads "
                f"version {VERSION}. Read it with the linprobe that wrote it, or train again."
            )
        weights = {name.removeprefix(WEIGHTS): part for name, part in tensors.items() if name.startswith(WEIGHTS)}
        made = super().restored(settings, image_shape, tensors)
        made.weights = weights
        made._check_weights()
        return made

    def check_learnt(self) -> None:
        """Raise ShapeError unless the scaling and the stem have the shapes that `fit` makes."""
        if min(self.fitted_shape[:2]) < SMALLEST:
            raise ShapeError(f"image_shape is {self.fitted_shape}; expected sides of {SMALLEST} or more.")
        channels = self.fitted_shape[2]
        expected = {"mean": (channels,), "deviation": (channels,), "stem": (8 * channels, channels, 2, 2)}
        for name, shape in expected.items():
            _check_floats(name, getattr(self, name), shape)
        if not (self.deviation > 0).all():
            raise ShapeError("deviation holds numbers <= 0; expected numbers > 0.")
        if self.history.ndim != 2 or self.history.shape[1] != 3 or self.history.dtype != np.float64:
            raise ShapeError(f"history has shape {self.history.shape}; expected (epochs, 3) float64.")

    def _check_weights(self) -> None:
        """Raise ShapeError unless each convolution has its weight and its bias, and there is nothing else."""
        expected: dict[str, tuple[int, ...]] = {}
        for name, before, after in self.shape.convolutions:
            expected |= {f"{name}.weight": (after, before, 3, 3), f"{name}.bias": (after,)}
        if set(expected) != set(self.weights):
            odd = sorted(set(expected) ^ set(self.weights))[0]
            raise ShapeError(
                f"the tensor {WEIGHTS}{odd} is {'missing' if odd in expected else 'not one of the network'}."
            )
        for name, shape in expected.items():
            _check_floats(WEIGHTS + name, self.weights[name], shape)


def _check_floats(name: str, found: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise ShapeError unless `found` is finite float32 of that shape."""
    if found.shape != shape or found.dtype != np.float32 or not np.isfinite(found).all():
        raise ShapeError(f"{name} has shape {found.shape} and dtype {found.dtype}; expected {shape} of finite float32.")


def _with_torch(module: str) -> Any:
    """The module, which imports PyTorch.

    Raises:
        IncompatibleError: PyTorch is missing.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        raise IncompatibleError(f"net: needs PyTorch, which is not installed; run: {install_command('net')}") from error
