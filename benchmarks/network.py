"""What each regularizer of the trained network gains: test accuracy over several seeds, with intervals.

    python -m benchmarks.network SOURCE [--epochs E] [--width W] [--seeds S] [--flips] [--jobs J] [--threads T]
                                        [--reg R] [--out FILE]

Every row trains `--features net` with one switch changed, on the same pictures: `linprobe train SOURCE --features net`,
softmax with L2, the exact optimizer. A seed decides the initial weights, the order, the crops, and of a source without
a test split the split. The interval is that of the mean over the seeds, by Student's t, at 95%. `difference` is the
mean over the seeds of the difference from the first row at the same seed, with its interval: the seeds are pairs.

Nothing is chosen here: the rates of each switch are the usual ones, not tuned. With `--jobs 2 --threads 1` two
trainings run side by side, of one core each, which takes less time than one after the other on both.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.record import Watch, arguments, deliver, say, text_table
from benchmarks.train import train

SWITCHES: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "without batch normalization": ("--no-net-batch-norm",),
    "dropout 0.2": ("--net-dropout", "0.2"),
    "stochastic depth 0.2": ("--net-stochastic-depth", "0.2"),
    "average pooling": ("--net-pooling", "average"),
    "fractional pooling": ("--net-pooling", "fractional"),
    "dropout 0.2, stochastic depth 0.2": ("--net-dropout", "0.2", "--net-stochastic-depth", "0.2"),
}
"""What each row changes; max pooling and batch normalization are as it is."""


def interval(values: Sequence[float]) -> tuple[float, float]:
    """(mean, half the 95% interval of the mean) of independent values, by Student's t; half is NaN of one value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan
    from scipy.stats import t

    return mean, float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))


def measure(source: str, options: Sequence[str], seeds: Sequence[int], cache: Path, jobs: int) -> list[dict[str, Any]]:
    """A line for each switch; that many trainings run side by side."""

    def trained(work: tuple[str, int]) -> dict[str, Any]:
        name, seed = work
        run = train(source, *options, *SWITCHES[name], "--seed", str(seed), cache=cache)
        say(f"{name}, seed {seed}: {100 * run['metrics']['test_accuracy']:.2f}% in {run['wall_seconds']:.0f} s")
        return run

    train(source, "--max-iter", "0", cache=cache)  # fills the cache of pixels
    with ThreadPoolExecutor(jobs) as pool:
        runs = list(pool.map(trained, product(SWITCHES, seeds)))
    lines: list[dict[str, Any]] = []
    for at, (name, switch) in enumerate(SWITCHES.items()):
        own = runs[at * len(seeds) : (at + 1) * len(seeds)]
        accuracies = [run["metrics"]["test_accuracy"] for run in own]
        mean, half = interval(accuracies)
        base = lines[0]["test_accuracies"] if lines else accuracies
        difference = interval([one - other for one, other in zip(accuracies, base, strict=True)])
        lines.append(
            {
                "name": name,
                "options": [*options, *switch],
                "test_accuracies": accuracies,
                "test_accuracy": mean,
                "half_interval": half,
                "difference": difference[0],
                "half_interval_of_difference": difference[1],
                "seconds": statistics.median(run["wall_seconds"] for run in own),
            }
        )
    return lines


def main() -> None:
    """Train each, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "network")
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--reg")
    given = parser.parse_args()
    options = ["--features", "net", "--net-epochs", str(given.epochs), "--net-width", str(given.width)]
    options += ["--flips"] if given.flips else []
    options += ["--threads", str(given.threads)] if given.threads else []
    options += ["--reg", given.reg] if given.reg else []
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="linprobe-network-") as cache:
        lines = measure(given.source, options, range(given.seeds), Path(cache), given.jobs)
    rows = [
        (
            line["name"],
            f"{100 * line['test_accuracy']:.2f} ± {100 * line['half_interval']:.2f}",
            f"{100 * line['difference']:+.2f} ± {100 * line['half_interval_of_difference']:.2f}" if at else "",
            f"{line['seconds']:.0f}",
        )
        for at, line in enumerate(lines)
    ]
    say(text_table(("network", "test, %", "difference", "seconds"), rows))
    facts = watch.facts(["numpy", "linprobe", "torch"])
    source = Path(given.source).name
    deliver(
        {"benchmark": "network", **facts, "source": source, "n_seeds": given.seeds, "jobs": given.jobs, "lines": lines},
        given.out,
    )


if __name__ == "__main__":
    main()
