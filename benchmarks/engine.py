"""One loss-and-gradient pass, and one SGD epoch, of the native engine against NumPy and PyTorch, in one process.

    python -m benchmarks.engine [--out FILE] [--images N] [--repeats R] [--threads T ...]

Two shapes: CIFAR-10 (50,000 x 3,072, K = 10), of which linprobe reads the uint8 pixels as well as float32 rows, and
embeddings (20,000 x 768, K = 1,000), of which it reads float16 as well as float32. NumPy and PyTorch always get what
they ask for, float32 rows that are scaled and centred already, and their conversion is not timed. All compute loss and
gradient (dW and db) of the same weights; PyTorch by its own losses and autograd.

The SGD epoch has batches of 32: PyTorch's is a loop over in-memory tensors that picks the rows of each batch by index.

What is compared is first shown to be the same: the gradients, and the weights after the epoch. Repetitions are
interleaved, and ratios are taken pair by pair.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmarks.record import (
    Watch,
    arguments,
    compared,
    deliver,
    interleaved,
    say,
    skip,
    spoken,
    text_table,
    usable_cores,
)
from linprobe.engines.base import Engine, EpochPlan, Examples, open_engine
from linprobe.features.base import Affine
from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.losses.base import Loss

BATCH, RATE, REG = 32, 1e-3, 1e-3
PAUSE = 0.3
"""Seconds between two implementations: OpenMP threads may spin for 200 ms after their last work."""

LOSSES: dict[str, Loss] = {
    "softmax": SoftmaxCrossEntropy(),
    "hinge": MulticlassHinge(),
    "squared-hinge": SquaredHinge(),
}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Shape:
    """Rows to run over, made once: `rows` by dtype, as linprobe reads them, and `floats`, as its peers do."""

    name: str
    n_classes: int
    rows: dict[str, Array]
    affines: dict[str, Affine | None]
    floats: Array
    y: npt.NDArray[np.int64]
    W: Array

    def engine(self, dtype: str, threads: int) -> Engine:
        """The native engine over the rows of `dtype`."""
        examples = Examples(self.rows[dtype], self.y, self.n_classes, affine=self.affines[dtype])
        return open_engine("threads", examples, threads)

    def facts(self) -> dict[str, Any]:
        """Name, N, D, K."""
        n, d = self.floats.shape
        return {"shape": self.name, "n_images": n, "n_features": d, "n_classes": self.n_classes}


def pixels(n_images: int) -> Shape:
    """Random pixels of CIFAR-10's shape, scaled to -0.5..0.5 for the peers."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (n_images, 3072), dtype=np.uint8)
    floats = X.astype(np.float32)
    floats *= np.float32(1 / 255)
    floats -= np.float32(0.5)
    affine = Affine(np.full(3072, 1 / 255), np.full(3072, -0.5))
    return Shape(
        "CIFAR-10",
        10,
        {"uint8": X, "float32": floats},
        {"uint8": affine, "float32": None},
        floats,
        rng.integers(0, 10, n_images),
        rng.normal(size=(10, 3072)) * 0.01,
    )


def embeddings(n_images: int) -> Shape:
    """Random float16 vectors of a common length of embeddings, and the same numbers in float32."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_images, 768), dtype=np.float32).astype(np.float16)
    floats = X.astype(np.float32)
    return Shape(
        "embeddings",
        1000,
        {"float16": X, "float32": floats},
        {"float16": None, "float32": None},
        floats,
        rng.integers(0, 1000, n_images),
        rng.normal(size=(1000, 768)) * 0.01,
    )


def numpy_pass(loss: str, X: Array, y: Array, W: Array, b: Array) -> tuple[float, Array, Array]:
    """Loss, dW and db, summed over the rows, in the dtype of X; the (N, K) scores are changed in place."""
    picked = np.arange(len(y)), y
    S = X @ W.T
    S += b
    if loss == "softmax":
        S -= S.max(axis=1, keepdims=True)
        of_labels = S[picked]
        np.exp(S, out=S)
        sums = S.sum(axis=1, keepdims=True)
        total = float(np.log(sums).sum() - of_labels.sum())
        S /= sums
        S[picked] -= 1
    else:
        S -= S[picked][:, np.newaxis] - 1
        S[picked] = 0
        np.maximum(S, 0, out=S)
        if loss == "hinge":
            total = float(S.sum())
            np.sign(S, out=S)
        else:
            total = float(np.vdot(S, S))
            S *= 2
        S[picked] = -S.sum(axis=1)
    return total, S.T @ X, S.sum(axis=0)


def torch_loss(loss: str, n_classes: int) -> Callable[..., Any]:
    """PyTorch's own loss, scaled to ours: its MultiMarginLoss is divided by K. Args: scores, labels, reduction."""
    from torch.nn import functional

    if loss == "softmax":
        return functional.cross_entropy
    power = 1 if loss == "hinge" else 2

    def margins(scores: Any, labels: Any, reduction: str = "mean") -> Any:
        return n_classes * functional.multi_margin_loss(scores, labels, p=power, reduction=reduction)

    return margins


def pass_cases(shape: Shape, threads: list[int], repeats: int) -> Iterator[dict[str, Any]]:
    """The records of one shape: every dtype, number of threads and loss."""
    import torch

    b = np.zeros(shape.n_classes)
    W32, b32 = shape.W.astype(np.float32), b.astype(np.float32)
    tensors, labels = torch.from_numpy(shape.floats), torch.from_numpy(shape.y)
    for dtype in shape.rows:
        for n_threads in threads:
            torch.set_num_threads(n_threads)
            engine = shape.engine(dtype, n_threads)
            for name, loss in LOSSES.items():
                of_torch = torch_loss(name, shape.n_classes)

                def ours(engine: Engine = engine, loss: Loss = loss) -> Array:
                    return engine.loss_and_gradient(shape.W, b, loss).dW  # type: ignore[return-value]

                def with_numpy(name: str = name) -> Array:
                    return numpy_pass(name, shape.floats, shape.y, W32, b32)[1]

                def with_torch(of_torch: Callable[..., Any] = of_torch) -> Array:
                    W, bias = (torch.from_numpy(array.copy()).requires_grad_() for array in (W32, b32))
                    of_torch(torch.nn.functional.linear(tensors, W, bias), labels, reduction="sum").backward()
                    return W.grad.numpy()

                implementations = {"linprobe": ours, "numpy": with_numpy, "torch": with_torch}
                with threadpool_limits(n_threads, user_api="blas"):
                    check_same(ours(), {"numpy": with_numpy(), "torch": with_torch()}, "gradients", 1e-3)
                    times = interleaved(implementations, repeats, pause=PAUSE)
                yield {
                    **shape.facts(),
                    "rows": dtype,
                    "loss": name,
                    "threads": n_threads,
                    "engine": engine.describe(),
                    **compared(times, "linprobe"),
                }


def sgd_cases(shape: Shape, threads: list[int], repeats: int) -> Iterator[dict[str, Any]]:
    """The records of SGD epochs over the uint8 rows: every number of threads and loss."""
    import torch

    n, d, k = len(shape.y), shape.floats.shape[1], shape.n_classes
    order = np.random.default_rng(1).permutation(n)
    rates = np.full(-(-n // BATCH), RATE)
    unused = {"momentum": 0.0, "rho": 0.99, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    plan = EpochPlan(order=order, batch_size=BATCH, rates=rates, update="plain", l2=REG, **unused)
    tensors, labels, batches = torch.from_numpy(shape.floats), torch.from_numpy(shape.y), torch.from_numpy(order)
    for n_threads in threads:
        torch.set_num_threads(n_threads)
        engine = shape.engine("uint8", n_threads)
        for name, loss in LOSSES.items():
            of_torch = torch_loss(name, k)

            def ours(engine: Engine = engine, loss: Loss = loss) -> Array:
                arrays = {"W": np.zeros((k, d), np.float32), "b": np.zeros(k, np.float32)}
                engine.sgd_epoch(arrays, loss, plan)
                return arrays["W"]

            def with_torch(of_torch: Callable[..., Any] = of_torch) -> Array:
                model = torch.nn.Linear(d, k)
                for parameter in model.parameters():
                    torch.nn.init.zeros_(parameter)
                # R = sum W² has the gradient 2 reg W, and the bias is not penalised
                groups = [{"params": [model.weight], "weight_decay": 2 * REG}, {"params": [model.bias]}]
                optimizer = torch.optim.SGD(groups, lr=RATE)
                for batch in batches.split(BATCH):
                    optimizer.zero_grad()
                    of_torch(model(tensors[batch]), labels[batch]).backward()
                    optimizer.step()
                return model.weight.detach().numpy()

            with threadpool_limits(n_threads, user_api="blas"):
                check_same(ours(), {"torch": with_torch()}, "weights after an epoch", 1e-2)
                times = interleaved({"linprobe": ours, "torch": with_torch}, repeats, pause=PAUSE)
            yield {
                **shape.facts(),
                "rows": "uint8",
                "loss": name,
                "threads": n_threads,
                "batch_size": BATCH,
                **compared(times, "linprobe"),
            }


def check_same(wanted: Array, others: dict[str, Array], what: str, tolerance: float) -> None:
    """Raise SystemExit where another's array differs by more than `tolerance` of the greatest entry of ours."""
    for name, other in others.items():
        error = float(np.abs(other - wanted).max() / np.abs(wanted).max())
        if not error <= tolerance:
            raise SystemExit(f"error: the {what} of linprobe and {name} differ by {error:.1e}: nothing to compare")


HEAD = ("case", "linprobe ms", "numpy ms", "torch ms", "numpy/linprobe", "torch/linprobe")


def table_row(case: dict[str, Any]) -> tuple[str, ...]:
    """A case as a row under HEAD; "" for a peer that did not take part."""
    seconds, ratios = case["seconds"], case["ratios"]
    return (
        f"{case['shape']} {case['rows']} {case['loss']} x{case['threads']}",
        *(spoken(seconds[who], scale=1e3) if who in seconds else "" for who in ("linprobe", "numpy", "torch")),
        *(spoken(ratios[who]) if who in ratios else "" for who in ("numpy", "torch")),
    )


def main() -> None:
    """Time all cases, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "engine")
    parser.add_argument("--images", type=int, metavar="N", help="rows of each shape  [default: 50000 and 20000]")
    parser.add_argument("--repeats", type=int, default=7, metavar="R", help="counted repetitions of a pass")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="T")
    given = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        return skip("engine", "PyTorch is not installed (pip install 'linprobe[bench]')", given.out)
    watch = Watch()
    threads = sorted({t for t in given.threads if t <= usable_cores()} or {1})
    passes, epochs = [], []
    shape = pixels(given.images or 50_000)
    for case in pass_cases(shape, threads, given.repeats):
        passes.append(case)
        say("  ".join(table_row(case)))
    for case in sgd_cases(shape, threads, max(3, given.repeats // 2)):
        epochs.append(case)
        say("  ".join(table_row(case)))
    for case in pass_cases(embeddings(given.images or 20_000), threads, given.repeats):
        passes.append(case)
        say("  ".join(table_row(case)))
    say("\nmedian (min–max); a ratio above 1 says that linprobe is faster")
    say("loss and gradient, one pass\n" + text_table(HEAD, [table_row(case) for case in passes]))
    say(f"SGD, one epoch in batches of {BATCH}\n" + text_table(HEAD, [table_row(case) for case in epochs]))
    facts = watch.facts(("numpy", "torch", "threadpoolctl"))
    deliver({"benchmark": "engine", **facts, "pass": passes, "sgd_epoch": epochs}, given.out)


if __name__ == "__main__":
    main()
