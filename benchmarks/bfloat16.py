"""Passes over float16 and float32 rows in bfloat16 and without it, in units of the products by NumPy's BLAS.

    python -m benchmarks.bfloat16 [--out FILE] [--images N] [--repeats R] [--threads T]

Rows of 768 features, K = 10, 30, 100 and 1,000, softmax. The unit is a pass time: X Wᵀ and Sᵀ X in float32, rows
widened before, the same number of threads. A process chooses once what it uses (LINPROBE_BFLOAT16). So processes with
and without it alternate, each measures its own unit, and the median over the repetitions is reported. Seconds are those
of the processor, which other processes disturb less than those of the clock.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.record import Watch, arguments, deliver, say, text_table
from linprobe import _core
from linprobe.engines.base import Examples, Precision, open_engine
from linprobe.losses import SoftmaxCrossEntropy

FEATURES, CLASSES, TIMED = 768, (10, 30, 100, 1000), 3
"""D; every K; how often each is timed in a process, of which the least counts."""


def measured(n_images: int, n_classes: int, dtype: str, threads: int) -> dict[str, float]:
    """Processor seconds of the unit, of a coarse pass and of one in single precision, in this process."""
    random = np.random.default_rng(0)
    floats = random.standard_normal((n_images, FEATURES), dtype=np.float32)
    y, b = random.integers(0, n_classes, n_images), np.zeros(n_classes)
    W = random.normal(size=(n_classes, FEATURES)) * 0.05
    engine = open_engine("threads", Examples(floats.astype(dtype), y, n_classes), threads)
    single = W.astype(np.float32)
    S = floats @ single.T

    def products() -> None:
        floats @ single.T
        S.T @ floats

    def a_pass(precision: Precision) -> Callable[[], Any]:
        return lambda: engine.loss_and_gradient(W, b, SoftmaxCrossEntropy(), precision=precision)

    with threadpool_limits(threads):
        unit = _least(products)
    return {"unit": unit} | {p.name: _least(a_pass(p)) for p in (Precision.COARSE, Precision.SINGLE)}


def _least(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(TIMED + 1):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times[1:])


def in_a_process(bfloat16: str | None, *setting: Any) -> dict[str, float]:
    """`measured` with LINPROBE_BFLOAT16 set so; None leaves it as it is."""
    environment = os.environ | ({} if bfloat16 is None else {"LINPROBE_BFLOAT16": bfloat16})
    command = [sys.executable, "-m", "benchmarks.bfloat16", "--child", json.dumps(setting)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure, print a table, and write the record."""
    parser = arguments(__doc__, "bfloat16")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", help="for the processes that this one starts")
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(measured(*json.loads(options.child))))
        return
    watch, rows, results = Watch(), [], []
    for n_classes in CLASSES:
        for dtype in ("float16", "float32"):
            setting = (options.images, n_classes, dtype, options.threads)
            pairs = [(in_a_process(None, *setting), in_a_process("off", *setting)) for _ in range(options.repeats)]
            units = {
                name: statistics.median(found[side][key] / found[side]["unit"] for found in pairs)
                for name, side, key in (("coarse", 0, "COARSE"), ("single", 0, "SINGLE"), ("float32", 1, "SINGLE"))
            }
            unit = statistics.median(one["unit"] for found in pairs for one in found)
            results.append({"n_classes": n_classes, "dtype": dtype, "unit_seconds": unit, "pass_times": units})
            gains = [f"{units['float32'] / units[name]:.2f}" for name in ("coarse", "single")]
            rows.append([f"K = {n_classes}, {dtype}", *(f"{value:.2f}" for value in units.values()), *gains])
            say(f"{rows[-1]}")
    head = ["pass times of a pass", "coarse", "single", "without bfloat16", "times as fast: coarse", "single"]
    say(text_table(head, rows))
    facts = {
        "benchmark": "bfloat16",
        "n_images": options.images,
        "threads": options.threads,
        "bfloat16": _core.bfloat16(),
    }
    deliver(facts | {"results": results} | watch.facts(("numpy", "threadpoolctl")), options.out)


if __name__ == "__main__":
    main()
