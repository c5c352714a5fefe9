"""Which figures of several runs are comparable, and whether one run is significantly better on the same images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from linprobe.challenges.wilson import Change
from linprobe.report.record import Record
from linprobe.report.words import counted

__all__ = ["Comparable", "Duel", "alike", "comparable", "duels"]

MOST_DUELS = 10
"""Pairs of runs, at most, that are compared image by image."""


@dataclass(frozen=True)
class Comparable:
    """Whether a figure measures the same thing in all runs.

    Attributes:
        what: the figure.
        whole: whether it does.
        text: why, or why not.
    """

    what: str
    whole: bool
    text: str


@dataclass(frozen=True)
class Duel:
    """Two runs on the same test images, image by image.

    Attributes:
        better, worse: their names.
        difference: of their accuracies, 0..1.
        interval: of 95%, of the difference.
        only_better, only_worse: images on which one of them alone is right.
        verdict: whether the difference says which is the better one.
    """

    better: str
    worse: str
    difference: float
    interval: tuple[float, float]
    only_better: int
    only_worse: int
    verdict: str


def comparable(records: Sequence[Record]) -> list[Comparable]:
    """Which figures of several runs are comparable, and why."""
    n_test = counted(records[0].metrics.n_test, "test image")
    tested, lost, held_out, minimised = (
        alike(records, key)
        for key in (
            lambda record: record.test_key,
            lambda record: (record.test_key, record.loss_key),
            lambda record: record.held_out_key,
            lambda record: record.objective_key,
        )
    )
    same_data = alike(records, lambda record: record.settings.fingerprint)
    other = "the seeds differ, and the seed draws them" if same_data else "the data are not the same"
    rows = [
        Comparable(
            "test accuracy",
            tested,
            f"All were tested on the same {n_test} (same data, by fingerprint, and same split)."
            if tested
            else f"They were not tested on the same images: {other}.{_groups(records, lambda r: r.test_key)}",
        ),
        Comparable(
            "loss on test images",
            lost,
            "It is the same loss of the same images."
            if lost
            else "It is not the same loss." + _groups(records, lambda r: (r.test_key, r.loss_key))
            if tested
            else "They were not tested on the same images.",
        ),
    ]
    if all(record.metrics.n_validation for record in records):
        chosen = " That of a sweep is the best of its grid, so slightly too high." * any(r.swept for r in records)
        rows.append(
            Comparable(
                "validation accuracy",
                held_out,
                ("The same images were held out." if held_out else "Not the same images were held out.") + chosen,
            )
        )
    differences = [] if minimised else _differences(records)
    rows += [
        Comparable(
            "objective, gap",
            minimised,
            "All minimise the same function of the same training images: a lower objective is a better solution."
            if minimised
            else f"They do not minimise the same function; they differ in {', '.join(differences)}. A lower objective "
            f"says nothing.{_groups(records, lambda r: r.objective_key)}",
        ),
        Comparable(
            "seconds",
            False,
            "Only if they were trained on the same idle machine, which a run does not record. "
            "Passes over the images do not depend on the machine.",
        ),
    ]
    return rows


def alike(records: Sequence[Record], key: Callable[[Record], Hashable]) -> bool:
    """Whether the key is equal for all runs."""
    return len({key(record) for record in records}) == 1


def _groups(records: Sequence[Record], key: Callable[[Record], Hashable]) -> str:
    """Which groups of the runs are comparable all the same."""
    found: dict[Hashable, list[str]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record.name)
    groups = [" with ".join(names) for names in found.values() if len(names) > 1]
    return f" Compare only {'; '.join(groups)}." if groups else ""


def _differences(records: Sequence[Record]) -> list[str]:
    """The parts of the objective that differ between the runs."""
    parts = [record.objective_parts for record in records]
    names = dict.fromkeys(name for part in parts for name in part)
    return [name for name in names if len({part.get(name) for part in parts}) > 1]


def duels(records: Sequence[Record]) -> list[Duel]:
    """Each two of the runs that were tested on the same images, the more accurate one first."""
    found = []
    for pair in itertools.islice(itertools.combinations(records, 2), MOST_DUELS):
        hits = [record.tested.hits() for record in pair if record.tested is not None and record.tested.whole]
        if len(hits) < 2 or pair[0].test_key != pair[1].test_key:
            continue
        better, worse = (0, 1) if hits[0].sum() >= hits[1].sum() else (1, 0)
        gained, lost = (int((hits[i] & ~hits[j]).sum()) for i, j in ((better, worse), (worse, better)))
        change = Change(lost, gained, len(hits[0]))
        low, high = change.interval
        verdict = (
            "none" if gained == lost else "may be chance" if low <= 0.0 <= high else f"{pair[better].name} is better"
        )
        names = (pair[better].name, pair[worse].name)
        found.append(Duel(*names, change.value, (low, high), gained, lost, verdict))
    return found
