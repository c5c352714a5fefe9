"""The blocks of docs/benchmarks.md on features and nearest neighbours."""

from __future__ import annotations

from typing import Any

from benchmarks.optimum_page import table
from benchmarks.record import spoken

Record = dict[str, Any]


def features_block(record: Record) -> str:
    """Accuracy against seconds."""
    rows = [
        [
            line["name"],
            f"{line['n_features']:,}",
            f"**{100 * line['test_accuracy']:.2f}%**",
            f"{100 * line['train_accuracy']:.1f}%",
            f"{line['feature_seconds']:.0f}",
            f"{line['seconds']:.0f}",
            f"{line['relative_gap']:.0e}",
            f"{line['wall_seconds']:.0f}",
            f"{line['peak_resident'] / 1e9:.2f}",
        ]
        for line in record["lines"]
    ]
    head = ["features", "numbers", "test", "training"]
    head += ["features, s", "optimum, s", "proved gap", "total, s", "peak, GB"]
    sizes = (f"{record[name]:,}" for name in ("n_train", "n_test"))
    parts = "{} training and {} test pictures of `{}`, softmax with L2.".format(*sizes, record["source"])
    return parts + "\n\n" + table(head, rows)


def network_block(record: Record) -> str:
    """What each switch of the trained network gains, with intervals."""
    rows = [
        [
            line["name"],
            _with_interval(line["test_accuracy"], line["half_interval"], ""),
            _with_interval(line["difference"], line["half_interval_of_difference"], "+") if at else "",
            f"{line['seconds']:.0f}",
        ]
        for at, line in enumerate(record["lines"])
    ]
    seeds, options = record["n_seeds"], " ".join(record["lines"][0]["options"])
    parts = f"`linprobe train {record['source']} {options} --seed S`, {seeds} seeds."
    if record.get("jobs", 1) > 1:
        parts += f" {record['jobs']} trainings ran side by side."
    return parts + "\n\n" + table(["network", "test, %", "difference", "s each"], rows)


def _with_interval(value: float, half: float, sign: str) -> str:
    """A share and half of its 95% interval, in percent."""
    return f"{100 * value:{sign}.2f} ± {100 * half:.2f}"


def neighbors_block(record: Record) -> str:
    """Seconds and ratios, the neighbours compared, memory and accuracy."""
    rows = [
        [name, spoken(about), spoken(record["ratios"][name]) if name in record["ratios"] else ""]
        for name, about in record["seconds"].items()
    ]
    memory = record["memory"]
    parts = [
        f"{record['n_queries']:,} queries, {record['n_images']:,} pictures, k = {record['k']}; {record['engine']}.\n"
    ]
    for name, about in record["neighbours"].items():
        ties = ", the others up to ties" if about["identical"] < about["queries"] else ""
        parts.append(f"- {name} finds the same neighbours for {about['identical']:,} of {about['queries']:,}{ties}.")
    parts += [f"- {name} was not measured: {reason}." for name, reason in record["absent"].items()]
    for metric, about in record["one_neighbour"].items():
        parts.append(
            f"- One neighbour by {metric.upper()}: {100 * about['accuracy']:.1f}% in {about['seconds']:.1f} s."
        )
    peak, limit = (memory[name] / 1e6 for name in ("peak_resident", "limit"))
    parts.append(f"- Peak memory of `linprobe knn`: {peak:.0f} MB; the limit is {limit:.0f} MB.")
    return table(["search", "seconds", "theirs / ours"], rows) + "\n\n" + "\n".join(parts)
