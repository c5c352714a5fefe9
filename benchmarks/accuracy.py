"""Test accuracy and seconds of `linprobe train` with no tuning: not one option but the loss and the seed.

    python -m benchmarks.accuracy [ARCHIVE] [--out FILE] [--seeds S]

CIFAR-10 with seed 0, softmax and hinge, the pixels read from the warm cache; digits with seeds 0..S-1, of which each
draws its own test images.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import Watch, arguments, deliver, image_archive, say, spoken, spread, text_table, why_absent
from benchmarks.train import train

LOSSES = ("softmax", "hinge")


def measure(name: str, source: str, loss: str, seeds: int, cache: Path) -> dict[str, Any]:
    """One line of the table: accuracies over `seeds` trainings, and their seconds."""
    runs = [train(source, "--loss", loss, "--seed", str(seed), cache=cache) for seed in range(seeds)]
    first = runs[0]["metrics"]
    accuracies = [run["metrics"]["test_accuracy"] for run in runs]
    return {
        "source": name,
        "loss": loss,
        "seeds": seeds,
        "n_train": first["n_train"],
        "n_test": first["n_test"],
        "epochs": first["epochs"],
        "test_accuracy": {**spread(accuracies), "mean": statistics.fmean(accuracies)},
        "deviation": statistics.stdev(accuracies) if seeds > 1 else None,
        "optimisation_seconds": spread([run["metrics"]["seconds"] for run in runs]),
        "wall_seconds": spread([run["wall_seconds"] for run in runs]),
    }


def main() -> None:
    """Train, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "accuracy")
    parser.add_argument("archive", type=Path, nargs="?", default=image_archive(), metavar="ARCHIVE")
    parser.add_argument("--seeds", type=int, default=20, metavar="S")
    given = parser.parse_args()
    reason = why_absent(given.archive)
    watch = Watch()
    lines = []
    with tempfile.TemporaryDirectory(prefix="linprobe-accuracy-") as folder:
        cache = Path(folder)
        if reason:
            say(f"accuracy on CIFAR-10: skipped: {reason}")
        else:
            archive = str(given.archive.resolve())
            train(archive, "--max-iter", "0", cache=cache)
            lines += [measure(given.archive.name, archive, loss, 1, cache) for loss in LOSSES]
        lines += [measure("digits", "digits", loss, given.seeds, cache) for loss in LOSSES]
    rows = [
        (
            f"{line['source']} {line['loss']}",
            f"{100 * line['test_accuracy']['mean']:.2f}%",
            "" if line["deviation"] is None else f"{100 * line['deviation']:.2f}%",
            spoken(line["optimisation_seconds"]),
            spoken(line["wall_seconds"]),
        )
        for line in lines
    ]
    say(text_table(("", "test accuracy", "deviation", "optimisation s", "whole command s"), rows))
    facts = watch.facts(("numpy", "scikit-learn"))
    deliver({"benchmark": "accuracy", **facts, "lines": lines, "not_measured": reason}, given.out)


if __name__ == "__main__":
    main()
