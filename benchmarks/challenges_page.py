"""The tables of docs/challenges.md, made of the records in benchmarks/results/challenges/.

    linprobe challenges RUN cifar10.zip                        # writes RUN/challenges.json
    python -m benchmarks.challenges_page --add pixels RUN      # keeps that record, and writes the tables anew
    python -m benchmarks.challenges_page                       # writes them from the records that are there

The page keeps its own words; what stands between `<!-- begin NAME -->` and `<!-- end NAME -->` is written anew.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from benchmarks.page import fill
from benchmarks.record import RESULTS, ROOT, write_aside

Record = dict[str, Any]

PAGE = ROOT / "docs" / "challenges.md"
FOLDER = RESULTS / "challenges"

MODELS = {"pixels": "pixels", "hog-color": "hog+color", "patches": "patches", "5-nn": "5-NN"}
"""Name of the record of each model, in the order of the page, and what the page calls it."""

MISSING = "–"

NOISE = 1e-6
"""Rounding of 1,000 times an end of an interval: 0.45 may be stored as 0.45000000000000007."""


def read_records(folder: Path) -> dict[str, Record]:
    """The records that are there, by model, in the order of the page."""
    paths = {name: folder / f"{name}.json" for name in MODELS}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def kept(record: Record) -> Record:
    """`record` without the paths of the machine that wrote it, and with the clusters' extremes only."""
    record = {key: value for key, value in record.items() if key not in ("model", "corrupted", "sheet")}
    record["source"] = Path(record["source"]).name
    if record["intraclass"] is not None:
        record["intraclass"] = {key: value for key, value in record["intraclass"].items() if key != "clusters"}
    return record


def blocks(records: dict[str, Record]) -> dict[str, str]:
    """The text of each block of the page."""
    return {
        "summary": _summary(records),
        "severities": "\n".join(_severities(MODELS[name], record) for name, record in records.items()),
    }


def _summary(records: dict[str, Record]) -> str:
    """A row for each kind, a column for each model: the mean over severities 1..5, and severity 5."""
    kinds = list(dict.fromkeys((cell["challenge"], cell["kind"]) for r in records.values() for cell in r["cells"]))
    rows = [("as they are", [_rate(r["clean"]) for r in _each(records)])]
    for challenge, kind in kinds:
        cells = []
        for record in _each(records):
            found = {c["severity"]: c["accuracy"] for c in record["cells"] if c["kind"] == kind} if record else {}
            mean = sum(found.values()) / len(found) if found else None
            cells.append(MISSING if mean is None else f"{mean:.3f}, {found[max(found)]:.3f}")
        rows.append((f"{challenge}: {kind}", cells))
    for key, name in (("best", "intraclass: best cluster"), ("worst", "intraclass: worst cluster")):
        rows.append((name, [_rate((r.get("intraclass") or {}).get(key)) for r in _each(records)]))
    for key, name in (("gap", "best less worst in a class"), ("gap_by_chance", "the same by chance")):
        values = [(r.get("intraclass") or {}).get(key) for r in _each(records)]
        rows.append((f"intraclass: {name}", [MISSING if value is None else f"{value:.3f}" for value in values]))
    return _table(["", *MODELS.values()], [[name, *cells] for name, cells in rows])


def _each(records: dict[str, Record]) -> list[Record]:
    """The record of every model of the page, an empty one where there is none."""
    return [records.get(name, {"clean": None, "cells": []}) for name in MODELS]


def _severities(name: str, record: Record) -> str:
    """The table of one model: a row for each kind, a column for each severity."""
    severities = sorted({cell["severity"] for cell in record["cells"]})
    rates: dict[tuple[str, str], dict[int, Record]] = {}
    for cell in record["cells"]:
        rates.setdefault((cell["challenge"], cell["kind"]), {})[cell["severity"]] = cell
    rows = [[challenge, kind, *(_rate(by[s]) for s in severities)] for (challenge, kind), by in rates.items()]
    head = f"**{name}**, {record['n_images']} test images, seed {record['seed']}; as they are {_rate(record['clean'])}:"
    return f"{head}\n\n{_table(['challenge', 'kind', *map(str, severities)], rows)}"


def _rate(rate: Record | None) -> str:
    """An accuracy and its 95% interval, rounded outwards so that it still holds."""
    if rate is None:
        return MISSING
    low, high = math.floor(rate["low"] * 1000 + NOISE) / 1000, math.ceil(rate["high"] * 1000 - NOISE) / 1000
    return f"{rate['accuracy']:.3f} ({low:.3f} to {high:.3f})"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Keep a record if one is given, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", nargs=2, metavar=("MODEL", "RUN"), help=f"MODEL is one of {', '.join(MODELS)}")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.add:
        name, run = arguments.add
        if name not in MODELS:
            parser.error(f"MODEL is {name!r}; expected one of {', '.join(MODELS)}")
        record = kept(json.loads((Path(run) / "challenges.json").read_text()))
        FOLDER.mkdir(parents=True, exist_ok=True)
        write_aside(FOLDER / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())
    write_aside(arguments.page, fill(arguments.page.read_text(), blocks(read_records(FOLDER))).encode())


if __name__ == "__main__":
    main()
