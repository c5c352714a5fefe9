"""`linprobe sweep`: the grid as a table or as JSON, and one line for what it cannot use."""

from __future__ import annotations

import re

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


SGD = ("--optimizer", "sgd", "--epochs", 3)


def test_the_runs_of_sgd_come_as_a_table(linprobe):
    rates = ("--learning-rate-grid", "1e-2,0.1,1e9", "--reg-grid", "1e-3,1e-2", "--update", "momentum,adam")
    answer = linprobe("sweep", "digits", *SGD, *rates, "--schedule", "cosine,1/t", "--momentum", 0.8)
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    columns = ["rate", "reg", "schedule", "update", "validation accuracy", "validation loss", "above the optimum"]
    assert re.split(r"\s{2,}", lines[0].strip()) == [*columns, "status"]
    rows = [line.split() for line in lines[2:26]]
    assert rows[0][:4] == ["0.01", "0.001", "cosine", "momentum"]
    assert rows[1][:4] == ["0.01", "0.001", "cosine", "adam"]
    assert {row[2] for row in rows} == {"cosine", "inverse"}
    assert rows[16][4:] == ["-", "-", "-", "diverged"]
    assert sum("<- chosen" in line for line in lines) == 1
    assert "chosen by validation images" in answer.out
    assert "runs/digits-sweep-softmax-1" in answer.out


def test_the_runs_of_sgd_come_as_one_json_object(linprobe):
    grid = ("--learning-rate-grid", "1e-2:1e-1:4", "--halving", "--json")
    answer = linprobe("sweep", "digits", *SGD, *grid)
    assert answer.code == 0, answer.err
    record = answer.record
    assert record["kind"] == "sweep"
    assert [row["reg"] for row in record["grid"]] == [1e-3]
    assert [row["epochs"] for row in record["cells"]].count(1) == 2  # rungs after 1 and 3 epochs
    assert {row["status"] for row in record["cells"]} == {"stopped", "completed"}
    assert sum(row["chosen"] for row in record["cells"]) == 1
    assert all(row["above_optimum"] > 0 for row in record["cells"])
    assert linprobe("info", record["run"]).code == 0
    assert linprobe("evaluate", record["run"], "digits").code == 0
    table = linprobe("sweep", "digits", *SGD, *grid[:-1])
    assert table.out.count("dropped after 1 epoch\n") == 2


def test_a_finished_sweep_over_rates_is_described(linprobe):
    for penalty in ("l2", "none"):
        grid = ("--learning-rate-grid", "1e-2,1e-1", "--penalty", penalty, "--out", penalty)
        answer = linprobe("sweep", "digits", *SGD, *grid)
        assert ("with reg" in answer.out) == (penalty == "l2")
        answer = linprobe("info", penalty)
        assert answer.code == 0, answer.err
        assert "2 runs of SGD; --json has their figures" in answer.out


def test_the_end_of_the_grid_of_rates_is_warned_of(linprobe):
    answer = linprobe("sweep", "digits", *SGD, "--learning-rate-grid", "1e-4,1e-1")
    assert "the best learning rate, 0.1, is at the end of the grid" in answer.err
    assert "widen --learning-rate-grid" in answer.err
    assert "the best reg" not in answer.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*SGD,), "--optimizer sgd needs --learning-rate-grid LOW:HIGH:COUNT, as in 1e-3:1e0:7"),
        ((*SGD, "--learning-rate-grid", "0,0.1"), "learning_rate = 0.0; expected a finite number > 0"),
        ((*SGD, "--learning-rate-grid", "0:1:3"), "learning rate grid '0:1:3'; expected LOW:HIGH:COUNT"),
        ((*SGD, "--learning-rate-grid", "1e-3:1:0"), "learning rate grid '1e-3:1:0'; expected LOW:HIGH:COUNT"),
        ((*SGD, "--learning-rate-grid", "-1"), "learning_rate = -1.0; expected a finite number > 0"),
        ((*SGD, "--learning-rate-grid", "nan"), "learning_rate = nan; expected a finite number > 0"),
        ((*SGD, "--learning-rate-grid", "1,", "--quiet"), "learning rate grid '1,'; expected LOW:HIGH:COUNT"),
        ((*SGD, "--learning-rate-grid", "1", "--halving"), "halving needs at least 2 cells, but the grid has 1"),
        ((*SGD, "--learning-rate-grid", "1,2", "--schedule", "cosine,warm"), "'warm' is not one of"),
        ((*SGD, "--learning-rate-grid", "1,2", "--schedule", "1/t,inverse"), "'inverse' is given twice"),
        ((*SGD, "--learning-rate-grid", "1,2", "--update", "lion"), "'lion' is not one of"),
        ((*SGD, "--learning-rate-grid", "1,2", "--update", "adam,adam"), "'adam' is given twice"),
        ((*SGD, "--learning-rate-grid", "1,2", "--epochs", "0"), "epochs = 0"),
        ((*SGD, "--learning-rate-grid", "1,2", "--validation", "0"), "--validation"),
        ((*SGD, "--learning-rate-grid", "1,2", "--folds", "3"), "--folds only applies to --optimizer exact (got sgd)"),
        ((*SGD, "--learning-rate-grid", "1,2", "--tol", "0.1"), "--tol only applies to --optimizer exact or gd"),
        ((*SGD, "--learning-rate-grid", "1,2", "--learning-rate", "1"), "--learning-rate"),
        (
            (*SGD, "--learning-rate-grid", "1,2", "--penalty", "none", "--reg-grid", "1e-3"),
            "--reg-grid needs a penalty (got none)",
        ),
        (
            (*SGD, "--learning-rate-grid", "1,2", "--update", "plain,adam", "--momentum", "0.5"),
            "--momentum only applies to --update momentum or nesterov (got plain)",
        ),
        (("--learning-rate-grid", "1,2"), "--learning-rate-grid only applies to --optimizer sgd (got exact)"),
        (("--halving",), "--halving only applies to --optimizer sgd (got exact)"),
        (("--epochs", "3"), "--epochs only applies to --optimizer sgd (got exact)"),
        (("--schedule", "step"), "--schedule only applies to --optimizer sgd (got exact)"),
        (("--update", "adam"), "--update only applies to --optimizer sgd (got exact)"),
        (("--optimizer", "gd"), "--optimizer"),
    ],
)
def test_what_a_grid_of_rates_cannot_use_is_named_in_one_line(linprobe, options, message):
    answer = linprobe("sweep", "digits", *options)
    assert answer.code == 2
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_runs_that_all_diverge_are_named_with_the_next_step(linprobe):
    answer = linprobe("sweep", "digits", *SGD, "--learning-rate-grid", "1e8,1e9")
    assert answer.code == 2
    assert "all 2 runs diverged; give lower learning rates (the lowest is 1e+08)" in answer.err


def test_a_sweep_over_rates_is_resumed_with_its_own_options(linprobe, tmp_path):
    options = (*SGD, "--learning-rate-grid", "0.01,0.1", "--schedule", "step", "--batch-size", 16)
    linprobe("sweep", "digits", *options, "--out", "run")
    (tmp_path / "run" / "metrics.json").unlink()
    for changed, message in (
        (("--learning-rate-grid", "0.2"), "--learning-rate-grid (0.2,) cannot be given to a run that is resumed"),
        (("--schedule", "cosine"), "--schedule ('cosine',) cannot be given"),
        (("--halving",), "--halving True cannot be given"),
        (("--batch-size", "8"), "--batch-size 8 cannot be given to a run that is resumed, which has 16"),
        (("--optimizer", "exact"), "--optimizer exact cannot be given"),
    ):
        answer = linprobe("sweep", "--resume", "run", *changed)
        assert (answer.code, message in answer.err) == (2, True), answer.err
    assert linprobe("info", "run").code == 0
    assert linprobe("sweep", "--resume", "run", *options).code == 0
