"""The tables of docs/challenges.md are those of the records."""

from __future__ import annotations

import json
import sys

import pytest
from benchmarks.challenges_page import FOLDER, PAGE, blocks, kept, read_records
from benchmarks.page import fill

from benchmarks import challenges_page


def test_the_page_is_filled_from_the_records_that_are_there():
    page = PAGE.read_text()
    assert fill(page, blocks(read_records(FOLDER))) == page, "run `python -m benchmarks.challenges_page`"


def rate(accuracy):
    return {"n_images": 100, "accuracy": accuracy, "low": accuracy - 0.05, "high": accuracy + 0.04}


RECORD = {
    "model": "/home/somebody/run",
    "source": "/home/somebody/cifar10.zip",
    "corrupted": None,
    "n_images": 100,
    "seed": 0,
    "clean": rate(0.5),
    "cells": [
        {"challenge": "occlusion", "kind": "patch", "severity": s, "amount": 0.1 * s, **rate(0.5 - 0.05 * s)}
        for s in (1, 5)
    ],
    "intraclass": {"worst": rate(0.1), "best": rate(0.9), "gap": 0.8, "gap_by_chance": 0.2, "clusters": [rate(0.1)]},
    "sheet": "/home/somebody/run/challenges.png",
}


def test_a_record_is_kept_without_the_paths_of_the_machine():
    record = kept(RECORD)
    assert "somebody" not in json.dumps(record)
    assert record["source"] == "cifar10.zip"
    assert "clusters" not in record["intraclass"]


def test_models_that_were_not_measured_have_a_dash():
    found = blocks({"patches": kept(RECORD), "5-nn": {**kept(RECORD), "intraclass": None}})
    lines = found["summary"].splitlines()
    assert lines[0] == "|  | pixels | hog+color | patches | 5-NN |"
    assert lines[2] == "| as they are | – | – | 0.500 (0.450 to 0.540) | 0.500 (0.450 to 0.540) |"
    assert lines[3] == "| occlusion: patch | – | – | 0.350, 0.250 | 0.350, 0.250 |"
    assert lines[4] == "| intraclass: best cluster | – | – | 0.900 (0.850 to 0.940) | – |"
    assert "| occlusion | patch | 0.450 (0.400 to 0.490) | 0.250 (0.200 to 0.290) |" in found["severities"]


def test_an_interval_is_rounded_outwards():
    found = blocks({"pixels": {**kept(RECORD), "clean": {"accuracy": 1.0, "low": 0.88341, "high": 1.0}}})
    assert "as they are 1.000 (0.883 to 1.000):" in found["severities"]


def test_the_script_keeps_the_record_of_a_run_and_writes_the_page(tmp_path, monkeypatch):
    run, page = tmp_path / "run", tmp_path / "page.md"
    run.mkdir()
    (run / "challenges.json").write_text(json.dumps(RECORD))
    page.write_text(
        "Words.\n<!-- begin summary -->\n<!-- end summary -->\n<!-- begin severities -->\n<!-- end severities -->\n"
    )
    monkeypatch.setattr(challenges_page, "FOLDER", tmp_path / "records")
    monkeypatch.setattr(sys, "argv", ["challenges_page", "--page", str(page), "--add", "pixels", str(run)])
    challenges_page.main()
    assert json.loads((tmp_path / "records" / "pixels.json").read_text()) == kept(RECORD)
    assert "| as they are | 0.500 (0.450 to 0.540) | – | – | – |" in page.read_text()
    monkeypatch.setattr(sys, "argv", ["challenges_page", "--page", str(page), "--add", "pixel", str(run)])
    with pytest.raises(SystemExit):
        challenges_page.main()
