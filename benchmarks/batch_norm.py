"""Whether batch normalization of the inputs of a linear classifier gains anything over fixed statistics.

    python -m benchmarks.batch_norm [SOURCE] [--epochs E] [--seeds S] [--batch B] [--out FILE]

A linear softmax classifier on the inputs x, whose training normalises them by one of

    standardize    the mean and deviation of all training images
    batch          the mean and deviation of the batch; running averages of both when predicting

gamma and beta are left out: with the weights they are affine maps of the same scores. The inputs are not learnt, so no
gradient passes through the statistics. SGD with momentum 0.9 and L2; the rate falls linearly to 0, and its start is
chosen on validation images, for each way and seed. Plain NumPy in float32: nothing is timed here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.network import interval
from benchmarks.record import Watch, arguments, deliver, say, text_table

WAYS = ("standardize", "batch")

RATES = (0.0003, 0.001, 0.003, 0.01, 0.03)
REG = 1e-3
MOMENTUM = 0.9
RUNNING = 0.1
"""Share of a batch in the running averages; PyTorch's default."""

FLOOR = 1e-5
"""Added to the variances; PyTorch's default."""

Floats = npt.NDArray[np.float32]


def trained(
    X: npt.NDArray[Any], y: npt.NDArray[np.int64], n_classes: int, way: str, rate: float, given: Any, seed: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """(W, b, mean, deviation) after the last epoch."""
    random = np.random.default_rng(seed)
    mean, variance = _statistics(X)
    if way == "batch":
        mean, variance = np.zeros_like(mean), np.ones_like(variance)
    W, b = np.zeros((n_classes, X.shape[1]), np.float32), np.zeros(n_classes, np.float32)
    W_velocity, b_velocity = np.zeros_like(W), np.zeros_like(b)
    steps = max(1, len(X) // given.batch)
    for epoch in range(given.epochs):
        order = random.permutation(len(X))
        for step in range(steps):
            rows = order[step * given.batch : (step + 1) * given.batch]
            part = X[rows].astype(np.float32)
            if way == "batch":
                own_mean, own_variance = part.mean(0), part.var(0)
                mean += RUNNING * (own_mean - mean)
                variance += RUNNING * (own_variance - variance)
                part = (part - own_mean) / np.sqrt(own_variance + FLOOR)
            else:
                part = (part - mean) / np.sqrt(variance + FLOOR)
            scores = part @ W.T + b
            scores -= scores.max(1, keepdims=True)
            delta = np.exp(scores)
            delta /= delta.sum(1, keepdims=True)
            delta[np.arange(len(rows)), y[rows]] -= 1
            delta /= len(rows)
            now = rate * (1 - (epoch * steps + step) / (given.epochs * steps))
            W_velocity = MOMENTUM * W_velocity + delta.T @ part + 2 * REG * W
            b_velocity = MOMENTUM * b_velocity + delta.sum(0)
            W -= np.float32(now) * W_velocity
            b -= np.float32(now) * b_velocity
    return W, b, mean, np.sqrt(variance + FLOOR)


def _statistics(X: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean and variance of each feature."""
    total, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for start in range(0, len(X), 4096):
        part = X[start : start + 4096].astype(np.float64)
        total += part.sum(0)
        squares += np.square(part).sum(0)
    mean = total / len(X)
    return mean.astype(np.float32), np.maximum(squares / len(X) - mean**2, 0).astype(np.float32)


def accuracy(model: tuple[Floats, Floats, Floats, Floats], X: npt.NDArray[Any], y: npt.NDArray[np.int64]) -> float:
    """Share of the images that are classified correctly."""
    W, b, mean, deviation = model
    right = 0
    for start in range(0, len(X), 4096):
        scores = ((X[start : start + 4096].astype(np.float32) - mean) / deviation) @ W.T + b
        right += int((scores.argmax(1) == y[start : start + 4096]).sum())
    return right / len(X)


def measure(source: str, given: Any) -> list[dict[str, Any]]:
    """A line for each way: the rate chosen with each seed, and the accuracies there."""
    from linprobe.data import open_dataset
    from linprobe.data.splits import train_validation_test

    dataset = open_dataset(source)
    lines: list[dict[str, Any]] = [{"name": name, "rates": [], "validation": [], "test": []} for name in WAYS]
    for seed in range(given.seeds):
        split = train_validation_test(dataset, 0.1, seed)
        (X, y), validation, test = (_rows(part) for part in (split.train, split.validation, split.test))
        for line in lines:
            tried = []
            for rate in RATES:
                model = trained(X, y, len(dataset.class_names), line["name"], rate, given, seed)
                tried.append((accuracy(model, *validation), rate, accuracy(model, *test)))
            found, rate, tested = max(tried, key=lambda one: (one[0], -one[1]))
            line["rates"].append(rate)
            line["validation"].append(found)
            line["test"].append(tested)
            say(f"seed {seed}, {line['name']}: rate {rate:g}, validation {found:.4f}, test {tested:.4f}")
    return lines


def _rows(part: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    return (part.X if part.rows is None else part.X[part.rows]), part.y.astype(np.int64)


def main() -> None:
    """Train all, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "batch_norm")
    parser.add_argument("source", nargs="?", default="digits", metavar="SOURCE")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    given = parser.parse_args()
    watch = Watch()
    lines = measure(given.source, given)
    rows = []
    for line in lines:
        mean, half = interval(line["test"])
        other = interval([own - base for own, base in zip(line["test"], lines[0]["test"], strict=True)])
        difference = f"{100 * other[0]:+.2f} ± {100 * other[1]:.2f}" if line is not lines[0] else ""
        rows.append((line["name"], f"{100 * mean:.2f} ± {100 * half:.2f}", difference))
    say(text_table(("statistics", "test, %", "difference"), rows))
    facts = watch.facts(["numpy", "linprobe"])
    deliver({"benchmark": "batch_norm", **facts, "source": Path(given.source).name, "lines": lines}, given.out)


if __name__ == "__main__":
    main()
