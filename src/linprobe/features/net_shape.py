"""The shape of the network of `NetMap`: which convolutions it has, and how often each branch stays in training."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Shape"]


@dataclass(frozen=True)
class Shape:
    """What decides the layers.

    Args:
        channels: of the pictures.
        widths: channels of each stage.
        depth: residual branches of each stage, >= 0.
        pooling: "average", "max" or "fractional".
        batch_norm: whether each convolution is followed by batch normalization; else by its bias alone.
        dropout, stochastic_depth: probabilities of training.
    """

    channels: int
    widths: tuple[int, ...]
    depth: int
    pooling: str
    batch_norm: bool
    dropout: float = 0.0
    stochastic_depth: float = 0.0

    @property
    def convolutions(self) -> list[tuple[str, int, int]]:
        """(name, channels in, channels out) of each, in order."""
        found, before = [], 8 * self.channels
        for stage, width in enumerate(self.widths):
            found += [(f"{stage}.{i}", width if i else before, width) for i in range(self.depth + 1)]
            before = width
        return found

    def survival(self, stage: int, branch: int) -> float:
        """The probability that a branch stays: it falls linearly with the depth, to 1 - `stochastic_depth`."""
        place = stage * self.depth + branch + 1
        return 1.0 - self.stochastic_depth * place / (len(self.widths) * self.depth)
