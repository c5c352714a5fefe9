"""`linprobe sweep`: the grid as a table or as JSON, and one line for what it cannot use."""

from __future__ import annotations

import pytest


def test_the_grid_and_the_result_come_as_a_table(linprobe):
    answer = linprobe("sweep", "digits", "--reg-grid", "1e-4:1e-1:4", "--tol", "1e-3")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].split() == ["reg", "validation", "accuracy", "validation", "loss", "relative", "gap", "status"]
    assert sum("<- chosen" in line for line in lines) == 1
    assert [line.split()[0] for line in lines[2:6]] == ["0.0001", "0.001", "0.01", "0.1"]
    for word in ("chosen by validation images", "least possible", "test accuracy", "C = 1/(2 reg N)", "certified"):
        assert word in answer.out
    assert "runs/digits-sweep-softmax-1" in answer.out


def test_the_grid_comes_as_one_json_object(linprobe):
    answer = linprobe(
        "sweep", "digits", "--reg-grid", "0.1,0.01", "--folds", 2, "--loss", "hinge", "--tol", "1e-2", "--json"
    )
    assert answer.code == 0, answer.err
    record = answer.record
    assert record["kind"] == "sweep"
    assert [row["reg"] for row in record["grid"]] == [0.01, 0.1]
    assert len(record["grid"][0]["certificates"]) == 2
    assert record["loss"] == "hinge"
    assert linprobe("info", record["run"]).code == 0
    assert linprobe("evaluate", record["run"], "digits").code == 0


def test_the_end_of_the_grid_and_members_that_ended_early_are_warned_of(linprobe):
    answer = linprobe("sweep", "digits", "--reg-grid", "1e-2,1e-1", "--max-iter", "2", "--tol", "1e-9")
    assert answer.code == 0
    assert "2 of 2 reg values ended before tol" in answer.err
    assert "is at the end of the grid, and a better one may lie beyond: widen --reg-grid" in answer.err
    assert "the iterations ended before tol was reached" in answer.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reg-grid", "1:2"], "expected LOW:HIGH:COUNT, as in 1e-6:1e0:20, or values with commas"),
        (["--reg-grid", "-1"], "reg"),
        (["--folds", "1"], "--folds"),
        (["--folds", "3", "--validation", "0.2"], "--folds and --validation are two ways to choose reg"),
        (["--validation", "0"], "--validation"),
        (["--penalty", "none"], "a sweep over reg needs a penalty"),
        (["--reg", "1"], "--reg"),
    ],
)
def test_what_it_cannot_use_is_told_in_one_line(linprobe, options, message):
    answer = linprobe("sweep", "digits", *options)
    assert answer.code == 2
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_a_source_is_needed(linprobe):
    answer = linprobe("sweep")
    assert answer.code == 2
    assert "missing SOURCE; give one, or --resume RUN" in answer.err


def test_a_changed_option_is_refused_on_resuming(linprobe, tmp_path):
    linprobe("sweep", "digits", "--reg-grid", "1e-2,1e-1", "--out", "run", "--tol", "1e-2")
    (tmp_path / "run" / "metrics.json").unlink()
    answer = linprobe("sweep", "--resume", "run", "--tol", "1e-3")
    assert answer.code == 2
    assert "--tol 0.001 cannot be given to a run that is resumed, which has 0.01" in answer.err
    assert linprobe("sweep", "--resume", "run").code == 0
