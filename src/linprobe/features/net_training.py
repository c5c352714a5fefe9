"""How the network of `NetMap` is trained; this file imports PyTorch.

SGD with Nesterov momentum on the softmax loss with smoothed labels, in batches of random crops and, if asked, mirror
images. The learning rate rises and falls in straight lines. The slow weights of lookahead follow, and are what the
training ends with. On processors that multiply bfloat16 the convolutions do so; weights, statistics and sums
stay float32.

Everything random comes from the seed and the number of the epoch, so a training that is resumed after any epoch gives
the bits of one that was not stopped. The bits depend on the version of PyTorch, the processor, and the number of
threads.

Source:
    Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024; Zhang et al., "Lookahead optimizer", 2019.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits
from torch.nn import functional

from linprobe.errors import IncompatibleError
from linprobe.features.base import Supervision
from linprobe.features.net_layers import Weights, features_of, folded, initial_weights
from linprobe.features.net_shape import Shape
from linprobe.shapes import Pixels

__all__ = ["Trained", "Training", "mapped", "trained"]

MOMENTUM = 0.85
"""Share of the step before that each step of SGD repeats (Jordan 2024)."""

RATE = 0.003
"""Learning rate at its peak, for each image of a batch. Twice that of Jordan 2024, whose batches are four times as
large: on CIFAR-10, 12,000 pictures and 5 epochs, the validation accuracy is 0.77 against 0.75. 0.006 gains no more.
With 45,000 pictures and 14 epochs it is 0.880 for both, and 0.877 for 0.00075."""

BIAS_RATE = 64
"""The rate of the biases after batch normalization, in units of that of the weights (Jordan 2024)."""

DECAY = 0.00133
"""Weight decay, relative to the mean loss (Jordan 2024, for any size of the batch)."""

SMOOTHING = 0.2
"""Share of the probability that smoothed labels divide among all classes (Jordan 2024)."""

BEGIN, PEAK, END = 0.2, 0.23, 0.07
"""The rate of the first batch, the part of the training at which it is highest, and the rate of the last batch; rates
in units of the highest (Jordan 2024)."""

SLOW_EVERY, SLOW_STEPS, SLOW = 5120, 96, 0.95**5
"""Lookahead: images between two steps of the slow weights, such steps of a training at least, and the share of them
that stays in the last step (Jordan 2024: every 5 batches of 1,024 of 480 batches)."""

LARGEST_BATCH, BATCHES = 256, 24
"""Images in a batch at most, and batches of an epoch at least where there are fewer images. The first keeps what a
layer returns for pictures of 32 x 32 below 32 MB, above which glibc gives memory back to the system after each use."""

SCORE_DIVISOR = 9.0
"""What the scores of the classifier that the training puts on top are divided by (Jordan 2024)."""

STATISTICS_STAY, STATISTICS_BATCH = 0.6, 1024
"""Share of the running statistics of batch normalization that stays after a batch of that many images (Jordan 2024)."""

CROP = 1 / 16
"""Pixels by which a picture is moved at most in training, of its side (Jordan 2024: 2 of 32)."""

WARM, TIMED = 2, 4
"""Batches that are run, and then timed, where the number of epochs follows from minutes. Chosen by argument."""

BLOCK = 128
"""Pictures that are mapped at once, at most."""

PIXELS, BLOCK_PIXELS = 2**22, 2**19
"""Pixels of a batch in training, and of a block that is mapped, at most. With 64 channels the largest array of a layer
then has 540 MB (bfloat16), and 130 MB (float32); pictures of 32 x 32 are bounded by their number instead."""


@dataclass
class Trained:
    """A training, between two epochs.

    Attributes:
        weights, slow, momentum: the weights, those of lookahead, and the momentum of SGD, by name.
        best: the weights of the epoch with the least validation loss; the last ones without validation images.
        epoch, n_epochs: how many have ended, of how many.
        history: (epoch, 3) float64: training loss, validation loss and accuracy (NaN without validation images).
    """

    weights: Weights
    slow: Weights
    momentum: Weights
    best: Weights
    epoch: int
    n_epochs: int
    history: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))

    @classmethod
    def begun(cls, weights: Weights, n_epochs: int) -> Trained:
        """A training before its first epoch, which changes `weights` in place."""
        zeros = {name: torch.zeros_like(part) for name, part in weights.items()}
        return cls(weights, _copy(weights), zeros, _copy(weights), 0, n_epochs)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Everything, as arrays for a file."""
        groups = {"weights": self.weights, "slow": self.slow, "momentum": self.momentum, "best": self.best}
        found = {f"{group}.{name}": _array(part) for group, parts in groups.items() for name, part in parts.items()}
        return found | {"history": self.history, "epochs": np.array([self.epoch, self.n_epochs], np.int64)}

    @classmethod
    def restored(cls, tensors: Mapping[str, npt.NDArray[Any]], like: Weights) -> Trained | None:
        """The training in the arrays of a file; None where they are not those of a network with the weights `like`."""
        groups: dict[str, Weights] = {}
        for group in ("weights", "slow", "momentum", "best"):
            groups[group] = {}
            for name, expected in like.items():
                found = tensors.get(f"{group}.{name}")
                if found is None or found.shape != tuple(expected.shape) or found.dtype != np.float32:
                    return None
                groups[group][name] = torch.from_numpy(found.copy()).contiguous(memory_format=_format(expected))
        epochs, history = tensors.get("epochs"), tensors.get("history")
        if epochs is None or epochs.shape != (2,) or epochs.dtype != np.int64 or not 0 < epochs[0] <= epochs[1]:
            return None
        if history is None or history.shape != (epochs[0], 3) or history.dtype != np.float64:
            return None
        return cls(**groups, epoch=int(epochs[0]), n_epochs=int(epochs[1]), history=history)


@dataclass(frozen=True)
class Training:
    """What decides a training.

    Args:
        shape: of the network.
        stem: (2 P, channels, 2, 2) float32.
        mean, deviation: (channels,) float32 of the pixels of the training pictures.
        mirror: whether the mirror image takes turns with the picture.
        n_epochs: passes over the training pictures; None where `minutes` decides.
        minutes: that the training may take, about.
        patience: epochs without a smaller validation loss after which the training ends.
        seed: of everything random.
    """

    shape: Shape
    stem: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    deviation: npt.NDArray[np.float32]
    mirror: bool
    n_epochs: int | None
    minutes: float | None
    patience: int
    seed: int


def trained(images: Pixels, supervision: Supervision, training: Training, description: str) -> Trained:
    """The trained network: an earlier result, an unfinished training that is resumed, or a new training.

    Args:
        images: (N, height, width, channels) uint8.
        supervision: labels, validation images, and where the training is kept.
        training: what decides it.
        description: the key under which it is kept.
    Raises:
        IncompatibleError: the loss is no longer finite.
        KeyboardInterrupt: Ctrl-C; the message says which epoch is kept, if one is.
    """
    kept = None if supervision.store is None else supervision.store(description)
    with _reproducible(supervision.n_threads, training.seed):
        like = initial_weights(training.shape, supervision.n_classes, torch.Generator().manual_seed(training.seed))
        found = None if kept is None else kept.read()
        state = None if found is None else Trained.restored(found, like)
        loop = _Loop(images, supervision, training)
        if state is None:
            n_epochs = training.n_epochs or loop.epochs_within(training.minutes or 1.0, like)
            state = Trained.begun(like, n_epochs)
        n_kept = state.epoch
        try:
            while state.epoch < state.n_epochs and not _ends_early(state, training.patience):
                loop.epoch(state)
                if kept is not None:
                    kept.write(state.tensors())
                    n_kept = state.epoch
        except KeyboardInterrupt as stop:
            if kept is None or not n_kept:
                raise
            reached = f"stopped while the network was trained; epoch {n_kept} of {state.n_epochs} is kept"
            raise KeyboardInterrupt(f"{reached}, and the same command goes on after it") from stop
    return state


def mapped(weights: Mapping[str, npt.NDArray[np.float32]], training: Training, images: Pixels) -> npt.NDArray[Any]:
    """The features (N, D) float32 of pictures, computed in float32 by one thread, the one that calls.

    Args:
        weights: `folded`, as arrays.
        training: for the shape, the stem and the scaling; with `mirror` the mean with those of the mirror image.
        images: (N, height, width, channels) uint8.
    """
    torch.get_num_threads()  # PyTorch sets those of a new thread on its first call, which would undo the limit below
    parts = {name: torch.from_numpy(part) for name, part in weights.items()}
    stem = torch.from_numpy(training.stem)
    found = np.empty((len(images), training.shape.widths[-1]), np.float32)
    # PyTorch's own setting is one of the process; this one is of the thread, and the callers work side by side
    with threadpool_limits(1, user_api="openmp"), torch.inference_mode():
        size = _block_size(images, BLOCK, BLOCK_PIXELS)
        for start in range(0, len(images), size):
            x = _normalised(images[start : start + size], training)
            values = features_of(parts, stem, x, training.shape)
            if training.mirror:
                values = 0.5 * (values + features_of(parts, stem, x.flip(3), training.shape))
            found[start : start + size] = values.numpy()
    return found


class _Loop:
    """The epochs of one training."""

    def __init__(self, images: Pixels, supervision: Supervision, training: Training) -> None:
        self.images, self.supervision, self.training = images, supervision, training
        n_images = len(images)
        self.batch = min(_block_size(images, LARGEST_BATCH, PIXELS), max(16, n_images // BATCHES), n_images)
        self.steps = max(1, n_images // self.batch)
        self.stem = torch.from_numpy(training.stem)
        self.bfloat = _multiplies_bfloat16()
        flips = np.random.Generator(np.random.PCG64([training.seed, 1]))
        self.flipped_first = flips.integers(0, 2, n_images).astype(bool)

    def epoch(self, state: Trained) -> None:
        """One pass over the training pictures; `state` is the one after it."""
        random = np.random.Generator(np.random.PCG64([self.training.seed, 2, state.epoch]))
        torch.manual_seed(int(random.integers(2**62)))
        order = random.permutation(len(self.images))
        steps, total = self.steps, state.n_epochs * self.steps
        losses = 0.0
        for step in range(steps):
            rows = order[step * self.batch : (step + 1) * self.batch]
            losses += self.step(state, rows, state.epoch, random, state.epoch * steps + step, total)
            self._report(state, state.epoch * steps + step + 1, total)
        if not math.isfinite(losses):
            raise IncompatibleError(
                "net: the training of the network diverged: its loss is no longer finite. Use batch normalization "
                "(batch_norm), or more training pictures."
            )
        state.epoch += 1
        if state.epoch == state.n_epochs:
            state.weights = _copy(state.slow)
        validated = self._validated(state.weights)
        state.history = np.vstack([state.history, [losses / steps, *validated]])
        earlier = state.history[:-1, 1]
        if not len(earlier) or math.isnan(validated[0]) or validated[0] < earlier.min():
            state.best = _copy(state.weights)

    def step(
        self, state: Trained, rows: npt.NDArray[np.int64], epoch: int, random: np.random.Generator, at: int, total: int
    ) -> float:
        """One batch; returns its loss."""
        shape = self.training.shape
        x = self._batch(rows, epoch, random)
        y = torch.from_numpy(self.supervision.y[rows])
        learnt = {name: part for name, part in state.weights.items() if name.endswith(("weight", "bias"))}
        for part in learnt.values():
            part.requires_grad_()
        momentum = 1.0 - STATISTICS_STAY ** (len(rows) / STATISTICS_BATCH)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat):
            values = features_of(state.weights, self.stem, x, shape, momentum)
            scores = functional.linear(values, state.weights["last.weight"]) / SCORE_DIVISOR
        loss = functional.cross_entropy(scores.float(), y, label_smoothing=SMOOTHING)
        gradients = torch.autograd.grad(loss, list(learnt.values()))
        rate = RATE * len(rows) * _part_of_peak(at / total)
        with torch.no_grad():
            for (name, part), gradient in zip(learnt.items(), gradients, strict=True):
                part.requires_grad_(False)
                own = BIAS_RATE if shape.batch_norm and name.endswith("bias") else 1
                gradient = gradient + (DECAY / own) * part
                velocity = state.momentum[name].mul_(MOMENTUM).add_(gradient)
                part.sub_(rate * own * (gradient + MOMENTUM * velocity))
            every = max(1, min(SLOW_EVERY // self.batch, total // SLOW_STEPS))
            if (total - at - 1) % every == 0:  # the last batch of all, and those before it
                stays = SLOW * ((at + 1) / total) ** 3
                for name, slow in state.slow.items():
                    slow.lerp_(state.weights[name], 1.0 - stays)
                    state.weights[name].copy_(slow)
        return float(loss.detach())

    def epochs_within(self, minutes: float, like: Weights) -> int:
        """How many epochs fit into the minutes, at least one: some batches are timed, on copies of the weights."""
        trial = Trained.begun(_copy(like), 1)
        random = np.random.Generator(np.random.PCG64(0))
        begun = 0.0
        for step in range(WARM + TIMED):
            if step == WARM:
                begun = time.perf_counter()
            self.step(trial, random.integers(0, len(self.images), self.batch), 0, random, step, 10**6)
        of_epoch = (time.perf_counter() - begun) / TIMED * self.steps
        if self.supervision.validation is not None:
            of_epoch *= 1.0 + len(self.supervision.validation[0]) / (3.0 * len(self.images))  # forward alone: a third
        return max(1, int(60.0 * minutes / of_epoch))

    def _batch(self, rows: npt.NDArray[np.int64], epoch: int, random: np.random.Generator) -> Any:
        """Random crops (n, channels, height, width) of the pictures, normalised; where asked, some are mirrored."""
        images = self.images[rows]
        height, width = images.shape[1:3]
        margins = [max(1, round(CROP * side)) for side in (height, width)]
        padded = np.pad(images, ((0, 0), (margins[0],) * 2, (margins[1],) * 2, (0, 0)), mode="reflect")
        tops, lefts = (random.integers(0, 2 * margin + 1, len(rows)) for margin in margins)
        across = lefts[:, None] + np.arange(width)
        if self.training.mirror:
            mirrored = self.flipped_first[rows] ^ bool(epoch % 2)
            across[mirrored] = across[mirrored, ::-1]
        down = tops[:, None] + np.arange(height)
        crops = padded[np.arange(len(rows))[:, None, None], down[:, :, None], across[:, None, :]]
        return self._input(crops)

    def _input(self, images: Pixels) -> Any:
        """The pictures, normalised, as bfloat16 where the convolutions multiply it."""
        x = _normalised(images, self.training)
        return x.bfloat16() if self.bfloat else x

    def _validated(self, weights: Weights) -> tuple[float, float]:
        """(loss, accuracy) of the validation images; NaN where there are none."""
        if self.supervision.validation is None:
            return math.nan, math.nan
        images, y = self.supervision.validation
        loss, right = 0.0, 0
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat):
            flat = folded(weights, self.training.shape)
            size = _block_size(images, LARGEST_BATCH, PIXELS)
            for start in range(0, len(images), size):
                x = self._input(images[start : start + size])
                values = features_of(flat, self.stem, x, self.training.shape)
                scores = functional.linear(values, weights["last.weight"]).float() / SCORE_DIVISOR
                of_block = torch.from_numpy(y[start : start + size])
                loss += float(functional.cross_entropy(scores, of_block, reduction="sum"))
                right += int((scores.argmax(1) == of_block).sum())
        return loss / len(y), right / len(y)

    def _report(self, state: Trained, done: int, total: int) -> None:
        if self.supervision.progress is not None:
            what = f"training the network: epoch {state.epoch + 1} of {state.n_epochs}"
            if state.epoch and not math.isnan(state.history[-1, 2]):
                what += f", validation accuracy {state.history[-1, 2]:.3f}"
            self.supervision.progress(what, done, total)


def _part_of_peak(t: float) -> float:
    """The learning rate in units of its peak, at the part t of the training, 0..1."""
    return BEGIN + (1.0 - BEGIN) * t / PEAK if t < PEAK else 1.0 - (1.0 - END) * (t - PEAK) / (1.0 - PEAK)


def _ends_early(state: Trained, patience: int) -> bool:
    """Whether the last `patience` epochs all had a larger validation loss than one before them."""
    losses = state.history[:, 1]
    return len(losses) > patience and losses[-patience:].min() > losses[:-patience].min()


def _block_size(images: Pixels, most: int, most_pixels: int) -> int:
    """How many pictures are computed at once: `most`, or fewer where they have many pixels."""
    height, width = images.shape[1:3]
    return max(1, min(most, most_pixels // int(height * width)))


def _normalised(images: Pixels, training: Training) -> Any:
    """(n, channels, height, width) float32, channels last in memory: mean 0, variance 1 over the training pictures."""
    x = torch.from_numpy(images.astype(np.float32))  # a copy: PyTorch warns of a read-only memory map
    return ((x - torch.from_numpy(training.mean)) / torch.from_numpy(training.deviation)).permute(0, 3, 1, 2)


def _copy(weights: Weights) -> Weights:
    return {name: part.detach().clone() for name, part in weights.items()}


def _array(tensor: Any) -> npt.NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().numpy())


def _format(tensor: Any) -> Any:
    return torch.channels_last if tensor.dim() == 4 else torch.contiguous_format


def _multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for products of bfloat16; elsewhere they are slower than float32."""
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(asked is not None and asked())


@contextmanager
def _reproducible(n_threads: int | None, seed: int) -> Iterator[None]:
    """PyTorch with that many threads and a seed of its own; both are as before afterwards."""
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
