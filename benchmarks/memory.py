"""Peak memory of `linprobe train` from the warm cache, against the uint8 training pixels + 250 MB.

    python -m benchmarks.memory [ARCHIVE] [--out FILE] [--repeats R]

Softmax with every default, in a process of its own each time; `train.py` says how it is measured. A first run, not
counted, fills the cache. 1 MB is 1,000,000 bytes.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import (
    Watch,
    arguments,
    deliver,
    image_archive,
    say,
    skip,
    spoken,
    spread,
    text_table,
    usable_cores,
    why_absent,
)
from benchmarks.train import RESIDENT, train

ALLOWANCE = 250_000_000
"""Bytes that a training may take on top of its pixels."""


def measure(source: str, repeats: int, cache: Path) -> dict[str, Any]:
    """The record, all but the facts of the machine."""
    train(source, "--max-iter", "0", cache=cache)
    runs = [train(source, "--seed", str(seed), cache=cache) for seed in range(repeats)]
    metrics = runs[0]["metrics"]
    pixels = metrics["n_train"] * math.prod(metrics["image_shape"])
    return {
        "n_train": metrics["n_train"],
        "n_test": metrics["n_test"],
        "image_shape": metrics["image_shape"],
        "threads": usable_cores(),
        "training_pixels": pixels,
        "limit": pixels + ALLOWANCE,
        "peak_resident": spread([run["peak_resident"] for run in runs]),
        **{name: spread([run["peaks"][name] for run in runs]) for name in RESIDENT},
        "runs": [
            {
                "seed": seed,
                "peak_resident": run["peak_resident"],
                **run["peaks"],
                "test_accuracy": run["metrics"]["test_accuracy"],
                "epochs": run["metrics"]["epochs"],
                "wall_seconds": run["wall_seconds"],
            }
            for seed, run in enumerate(runs)
        ],
    }


def main() -> None:
    """Train a few times, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "memory")
    parser.add_argument("archive", type=Path, nargs="?", default=image_archive(), metavar="ARCHIVE")
    parser.add_argument("--repeats", type=int, default=3, metavar="R")
    given = parser.parse_args()
    reason = why_absent(given.archive)
    if reason:
        return skip("memory", reason, given.out)
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="linprobe-memory-") as cache:
        record = measure(str(given.archive.resolve()), given.repeats, Path(cache))
    columns = ("peak_resident", *RESIDENT)
    rows = [
        (f"seed {run['seed']}", *(f"{run[name] / 1e6:.0f}" for name in columns), f"{100 * run['test_accuracy']:.2f}%")
        for run in record["runs"]
    ]
    say(text_table(("MB", "peak resident", *RESIDENT, "test accuracy"), rows))
    say(
        f"peak {spoken(record['peak_resident'], 'MB', 1e-6)}; training pixels + {ALLOWANCE / 1e6:.0f} MB = "
        f"{record['limit'] / 1e6:.0f} MB: {'within' if record['peak_resident']['max'] <= record['limit'] else 'ABOVE'}"
    )
    record = {"source": given.archive.name, **record}
    deliver({"benchmark": "memory", **watch.facts(("numpy",)), **record}, given.out)


if __name__ == "__main__":
    main()
