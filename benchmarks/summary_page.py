"""The first table and the first figure of docs/benchmarks.md: one row for each comparison, taken from the records.

Nothing is measured here. A row picks what most readers would run: softmax, both threads, and the defaults of the peer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.optimum_page import table
from benchmarks.plots import NAMES, plural
from benchmarks.record import digits

Record = dict[str, Any]

FAMILIES = ("PyTorch", "scikit-learn", "Cyanure")
"""Peers of the optimum, by the first word of a solver's name: the fastest solver of each is shown."""


@dataclass(frozen=True)
class Comparison:
    """One row.

    Attributes:
        task: what both do.
        peer: the other tool.
        ours, theirs: median seconds; `theirs` is None where the peer did not arrive within `budget` seconds.
        ratio: seconds of the peer over those of linprobe, None where `theirs` is.
        budget: seconds that a solver had, 0 where there was no limit.
        remark: what the reader must know of this row, or nothing.
    """

    task: str
    peer: str
    ours: float
    theirs: float | None
    ratio: float | None
    budget: float = 0.0
    remark: str = ""

    @property
    def label(self) -> str:
        """The other tool, with the remark in brackets."""
        return f"{self.peer} ({self.remark})" if self.remark else self.peer


def comparisons(records: dict[str, Record]) -> list[Comparison]:
    """The rows that the records allow, in the order of the table."""
    parts = {
        "optimum": _optima,
        "path": _path,
        "engine": _passes,
        "reading": _reading,
        "neighbors": _neighbors,
    }
    found = [
        row
        for name, make in parts.items()
        if "skipped" not in records.get(name, {"skipped": ""})
        for row in make(records[name])
    ]
    return sorted(found, key=lambda row: row.ratio is not None and row.ratio < 1)


def _optima(record: Record) -> Iterator[Comparison]:
    """The fastest solver of each family on each problem that linprobe solves to the last target."""
    target = f"{record['targets'][-1]:g}"
    for about in record["problems"]:
        seconds = {line["solver"]: (line["targets"][target] or {}).get("seconds") for line in about["results"]}
        ours = seconds["linprobe"]
        if ours is None:
            continue
        task = f"fit {about['problem']}, to {target} above the minimum"
        missed = []
        for family in FAMILIES:
            done = {name: s["median"] for name, s in seconds.items() if s and name.startswith(family)}
            if done:
                best = min(done, key=lambda name: done[name])
                yield Comparison(task, best, ours["median"], done[best], done[best] / ours["median"])
            elif any(name.startswith(family) for name in seconds):
                missed.append(family)
        if missed:
            yield Comparison(task, ", ".join(missed), ours["median"], None, None, record["budget"])


def _path(record: Record) -> Iterator[Comparison]:
    """The path against scikit-learn's."""
    ours, cv = record["seconds"]["path"]["median"], record["logistic_regression_cv"]
    theirs = cv["extrapolated_seconds"]
    task = f"sweep of {len(record['members'])} reg values, each certified to {record['tol']:g}"
    remark = f"extrapolated from {cv['extrapolated_from']} values"
    yield Comparison(task, "scikit-learn LogisticRegressionCV", ours, theirs, theirs / ours, remark=remark)


def _passes(record: Record) -> Iterator[Comparison]:
    """An epoch of SGD, and a pass over pixels and one over embeddings, of softmax, with the most threads."""
    for kind, name in (("sgd_epoch", "an epoch of SGD"), ("pass", "loss and gradient")):
        cases = [case for case in record[kind] if case["loss"] == "softmax"]
        most = max((case["threads"] for case in cases), default=0)
        shown = {"uint8", "float16"}
        for case in (case for case in cases if case["threads"] == most and case["rows"] in shown):
            size = f"{case['n_images']:,} x {case['n_features']:,} {case['rows']}, {case['n_classes']:,} classes"
            for peer, ratio in case["ratios"].items():
                ours, theirs = (case["seconds"][who]["median"] for who in ("linprobe", peer))
                yield Comparison(f"{name}, {size}", NAMES[peer], ours, theirs, ratio["median"])


def _reading(record: Record) -> Iterator[Comparison]:
    """The first reading against Pillow."""
    ours, theirs = (record["seconds"][who]["median"] for who in ("linprobe", "pillow"))
    task = f"read {record['n_images']:,} JPEGs from a zip"
    yield Comparison(task, "zipfile and Pillow", ours, theirs, record["ratios"]["pillow"]["median"])


def _neighbors(record: Record) -> Iterator[Comparison]:
    """The search against each peer."""
    ours = record["seconds"]["linprobe"]["median"]
    task = f"{record['k']} nearest of {record['n_images']:,} pictures, {record['n_queries']:,} queries"
    for peer, ratio in record["ratios"].items():
        theirs = record["seconds"][peer]["median"]
        yield Comparison(task, peer, ours, theirs, ratio["median"], remark=record["machine"]["processor"])


def summary_block(records: dict[str, Record]) -> str:
    """The figure, and a row for each comparison."""
    found = comparisons(records)
    if not found:
        return "Not measured yet: run `make bench`."
    rows = []
    for row in found:
        theirs = digits(row.theirs) if row.theirs is not None else f"not reached in {row.budget:g}"
        times = f"**{digits(row.ratio)}**" if row.ratio is not None else ""
        rows.append([row.task, row.label, digits(row.ours), theirs, times])
    head = ["task", "compared with", "linprobe, s", "the other, s", "times as fast"]
    figure = "![How many times as fast as other tools](images/benchmarks-summary.png)"
    return "\n\n".join((figure, _machine(records), table(head, rows, 2)))


def _machine(records: dict[str, Record]) -> str:
    """The machine of most rows in one sentence."""
    names = ("engine", "optimum", "path", "reading", "neighbors")
    record = next(records[name] for name in names if "skipped" not in records.get(name, {"skipped": ""}))
    machine = record["machine"]
    cores = plural(machine["cores"], "core")
    passes = records.get("engine", {}).get("pass", [])
    vectors = "".join(f", {case['engine'].split(',')[0].removeprefix('threads: ')}" for case in passes[:1])
    memory = f"{machine['memory'] / 1e9:.0f} GB"
    return f"Measured on {machine['processor']}, {cores}, {memory}{vectors}, unless the row names another processor."
