"""One loss-and-gradient pass, and one SGD epoch, of the native engine against NumPy and PyTorch, in one process.

    python -m benchmarks.engine [--images N] [--repeats R]

The rows have the shape of CIFAR-10 (N x 3,072, K = 10). linprobe reads uint8; NumPy and PyTorch get what they ask for,
float32 rows that are scaled and centred already, and their conversion is not timed. All compute the softmax loss of the
same weights; their gradients are compared before anything is timed. Repetitions are interleaved.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from linprobe.engines.base import Examples, open_engine
from linprobe.features.base import Affine
from linprobe.losses import SoftmaxCrossEntropy

N_FEATURES, N_CLASSES, BATCH = 3072, 10, 32


def interleaved(contestants: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """Median, least and greatest milliseconds of each, after one run that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if repeat:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {n: {"median_ms": statistics.median(t), "min_ms": min(t), "max_ms": max(t)} for n, t in times.items()}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)
    n = arguments.images
    X = rng.integers(0, 256, (n, N_FEATURES), dtype=np.uint8)
    y = rng.integers(0, N_CLASSES, n)
    W, b = rng.normal(size=(N_CLASSES, N_FEATURES)) * 0.01, np.zeros(N_CLASSES)
    affine = Affine(np.full(N_FEATURES, 1 / 255), np.full(N_FEATURES, -0.5))
    engine = open_engine("threads", Examples(X, y, N_CLASSES, affine=affine), arguments.threads)
    loss = SoftmaxCrossEntropy()

    floats = X.astype(np.float32) / np.float32(255) - np.float32(0.5)
    W32 = W.astype(np.float32)
    tensors, labels = torch.from_numpy(floats), torch.from_numpy(y)

    def numpy_pass() -> Any:
        S = floats @ W32.T
        S -= S.max(axis=1, keepdims=True)
        np.exp(S, out=S)
        S /= S.sum(axis=1, keepdims=True)
        S[np.arange(n), y] -= 1
        return S.T @ floats

    def torch_pass() -> Any:
        weights = torch.from_numpy(W32).requires_grad_()
        torch.nn.functional.cross_entropy(tensors @ weights.T, labels, reduction="sum").backward()
        return weights.grad.numpy()

    def our_pass() -> Any:
        return engine.loss_and_gradient(W, b, loss).dW

    wanted = our_pass()
    for other in (numpy_pass(), torch_pass()):
        error = np.abs(other - wanted).max() / np.abs(wanted).max()
        if error > 1e-3:
            raise SystemExit(f"the gradients differ by {error:.1e} of their size: nothing to compare")

    order = rng.permutation(n)
    n_batches = -(-n // BATCH)
    plan = {
        "momentum": 0.9,
        "rho": 0.99,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "l2": 1e-3,
        "l1": 0.0,
        "step": 0,
        "averaged": -1,
    }

    def our_epoch() -> None:
        arrays = {"W": np.zeros((N_CLASSES, N_FEATURES), np.float32), "b": np.zeros(N_CLASSES, np.float32)}
        rates = np.full(n_batches, 1e-3)
        engine.sgd_epoch(arrays, loss, order=order, batch_size=BATCH, rates=rates, update="plain", **plan)

    def torch_epoch() -> None:
        model = torch.nn.Linear(N_FEATURES, N_CLASSES)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, weight_decay=2e-3)
        for batch in torch.from_numpy(order).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(tensors[batch]), labels[batch]).backward()
            optimizer.step()

    passes = interleaved({"linprobe": our_pass, "numpy": numpy_pass, "torch": torch_pass}, arguments.repeats)
    epochs = interleaved({"linprobe": our_epoch, "torch": torch_epoch}, max(3, arguments.repeats // 2))
    record = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "engine": engine.describe(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "images": n,
        "pass": passes,
        "sgd_epoch": epochs,
    }
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
