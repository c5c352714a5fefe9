"""The race to the optimum on problems of a few rows: constants, verdicts, and the shape of the record."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.optimum import child, chosen, joined, met_amounts, problems, race_all
from benchmarks.race import Enough, Problem, Race, between, met, thinned
from benchmarks.solvers import OURS, SOLVERS, measure, reference

from benchmarks import optimum

random = np.random.default_rng(0)
LABELS = np.arange(120) % 3
ROWS = random.standard_normal((120, 4)).astype(np.float32) + 1.5 * np.eye(3, 4, dtype=np.float32)[LABELS]
PROBLEMS = {p.name: replace(p, reg=0.02) for p in problems(ROWS, LABELS, None)}
SAME = [
    (solver.name, name)
    for solver in SOLVERS.values()
    for name, problem in PROBLEMS.items()
    if solver.same and solver.name != "PyTorch SGD" and solver.fits(problem) is None
]
"""Of the subgradient method only the direction is tested: it is not near a minimum in the time of a test."""


def at_once(task):
    """What a process of its own would do, in this one."""
    problem = PROBLEMS[task["problem"]]
    if task["solver"] is None:
        return reference(problem, 1, task["budget"])
    amounts = None if task["amounts"] is None else tuple(task["amounts"])
    race = Race(problem.objective(1), task["reference"], budget=task["budget"], amounts=amounts)
    return json.loads(json.dumps(measure(SOLVERS[task["solver"]], problem, race)))


@pytest.mark.parametrize(("name", "problem"), SAME)
def test_every_solver_minimises_our_objective(name, problem):
    if "not installed" in (SOLVERS[name].why_not(PROBLEMS[problem]) or ""):
        pytest.skip(SOLVERS[name].why_not(PROBLEMS[problem]))
    minimum = reference(PROBLEMS[problem], 1, 10.0, tol=1e-5)
    race = Race(PROBLEMS[problem].objective(1), minimum["value"], (1e-3,), budget=3.0)
    found = measure(SOLVERS[name], PROBLEMS[problem], race)
    gaps = [(value - minimum["value"]) / minimum["value"] for _, _, value in found["points"]]
    assert min(gaps) <= 1e-3
    assert min(gaps) >= -1e-5


@pytest.mark.parametrize("problem", ["hinge, L1, reg 0.001", "hinge, L2, reg 0.001"])
def test_the_subgradient_method_falls_towards_our_minimum_and_not_below(problem):
    pytest.importorskip("torch")
    minimum = reference(PROBLEMS[problem], 1, 10.0, tol=1e-5)
    race = Race(PROBLEMS[problem].objective(1), minimum["value"], (1e-9,), budget=1.0)
    values = [value for _, _, value in measure(SOLVERS["PyTorch SGD"], PROBLEMS[problem], race)["points"]]
    assert minimum["value"] * (1 - 1e-5) <= min(values) < 0.9 * values[0]


def test_a_record_has_every_solver_with_its_way_or_the_reason_why_not():
    problem = PROBLEMS["softmax, elastic net, reg 0.001"]
    names = [OURS, "scikit-learn saga", "scikit-learn lbfgs", "LIBLINEAR one-vs-rest"]
    task = {"budget": 2.0, "amounts": None, "reference": None}
    record = json.loads(json.dumps(race_all(problem, names, task, 2, at_once)))
    assert record["skipped"] == {
        "scikit-learn lbfgs": "it has no elastic-net penalty",
        "LIBLINEAR one-vs-rest": "it has no softmax",
    }
    ours, saga = record["results"]
    assert (ours["solver"], saga["solver"]) == (OURS, "scikit-learn saga")
    for about in (ours, saga):
        assert about["targets"]["0.001"]["seconds"]["median"] > 0
        assert len(about["targets"]["0.001"]["seconds"]["all"]) == 2
        assert about["rows_bytes"] > 0
        assert all(seconds > 0 and value > 0 for seconds, _, value in about["points"])
    assert ours["certified"]["status"] == "CERTIFIED"
    assert ours["certified"]["relative_gap"] <= 1e-3
    assert 0 <= ours["certified"]["zeros"] < ours["certified"]["weights"] == 12
    assert record["minimum"]["lower_bound"] <= record["minimum"]["value"]


def test_a_solver_that_fails_is_left_out_and_said_so():
    def run(task):
        return {"failed": "it fell over"} if task["solver"] == "scikit-learn saga" else at_once(task)

    task = {"budget": 2.0, "amounts": None, "reference": None}
    record = race_all(PROBLEMS["softmax, L2, reg 0.01"], [OURS, "scikit-learn saga"], task, 1, run)
    assert record["skipped"] == {"scikit-learn saga": "it fell over"}
    assert [about["solver"] for about in record["results"]] == [OURS]


def test_a_solver_that_is_not_installed_is_skipped_with_the_reason():
    gone = replace(SOLVERS["Cyanure"], package="no_such_package")
    assert "not installed" in str(gone.why_not(PROBLEMS["softmax, L2, reg 0.01"]))


def test_newton_cholesky_is_not_asked_for_a_hessian_of_gigabytes():
    large = Problem("large", np.zeros((10, 3072), np.uint8), np.arange(10), None, "softmax", "l2", 1e-3)
    assert SOLVERS["scikit-learn newton-cholesky"].fits(large) == ("its Hessian of 30,730 unknowns would take 7.6 GB")


class Quadratic:
    """Judges a W (1, 1) by 1 + w²."""

    def data_gradient(self, W, b):
        assert W.dtype == np.float64
        self.loss = 1.0 + float(W[0, 0]) ** 2
        return self

    def penalty_value(self, W):
        return 0.0


def test_runs_that_cannot_be_watched_are_doubled_and_then_drawn_in():
    race = Race(Quadratic(), 1.0, (1e-2, 1e-6), budget=100.0)
    amounts = []
    for amount in race.ladder():
        amounts.append(amount)
        race.start()
        race.stop()
        race.done(amount, np.full((1, 1), 0.5**amount), np.zeros(1), float(amount))
    assert amounts[:5] == [1, 2, 4, 8, 16]
    assert min(a for a in amounts if 0.25**a <= 1e-2) == 4
    assert min(a for a in amounts if 0.25**a <= 1e-6) == 10
    assert len(amounts) <= 9


def test_runs_end_where_the_next_would_not_fit_into_the_budget():
    race = Race(Quadratic(), 1.0, budget=3.5)
    amounts = []
    for amount in race.ladder():
        amounts.append(amount)
        race.ran.append((amount, float(amount)))
        race.spent += amount
        race.points.append((float(amount), float(amount), 2.0))
    assert amounts == [1, 2]  # 1 + 2 s, and 4 more would be 7


def test_the_clock_stands_still_while_a_solver_is_judged_and_the_last_target_ends_it():
    race = Race(Quadratic(), 1.0, (1e-2,), budget=100.0)
    race.start()
    race.look(lambda: (np.ones((1, 1)), np.zeros(1)), 1.0)
    with pytest.raises(Enough):
        race.look(lambda: (np.zeros((1, 1)), np.zeros(1)), 2.0)
    assert race.spent < 0.5
    assert [point[2] for point in race.points] == [2.0, 1.0]


def test_a_look_far_from_a_target_and_soon_after_the_last_is_not_judged():
    race = Race(Quadratic(), 1.0, (1e-2,), budget=100.0)
    race.start()
    for passes in (100.0, 101.0, 102.0):
        race.look(lambda: (np.ones((1, 1)), np.zeros(1)), passes, rough=2.0)
    assert len(race.points) == 1


def test_the_quickest_point_that_meets_a_target_counts():
    points = [(1.0, 2.0, 1.5), (3.0, 4.0, 1.0001), (2.0, math.nan, 1.0005)]
    assert met(points, 1.0, (1e-3, 1e-6)) == {"0.001": {"seconds": 2.0, "passes": None}, "1e-06": None}
    run = {"amounts": [1, 4, 2], "points": points}
    assert met_amounts(run, 1.0) == [2]


def test_few_points_are_kept_and_those_at_the_targets_among_them():
    points = [(float(i), math.nan, 2.0) for i in range(1000)]
    kept = thinned(points, [503.0])
    assert len(kept) <= 41
    assert {0.0, 503.0, 999.0} <= {seconds for seconds, _, _ in kept}
    assert kept[0][1] is None


def test_a_guess_between_two_runs_is_neither_of_them():
    assert between(8, 1e-4, 16, 1e-8, 1e-6, 1) == 12
    assert between(5, 1e-4, 10, 1e-8, 1e-6, 5) is None


def test_names_are_chosen_by_words():
    assert chosen(["softmax, L2", "hinge, L2"], None) == ["softmax, L2", "hinge, L2"]
    assert chosen(["softmax, L2", "hinge, L2"], ["HINGE"]) == ["hinge, L2"]
    with pytest.raises(SystemExit, match="none of"):
        chosen(["softmax, L2"], ["square"])


def test_a_process_of_its_own_reads_the_source_again():
    task = {"source": "digits", "images": 60, "problem": "softmax, L2, reg 0.01", "threads": 1, "budget": 5.0}
    minimum = child({**task, "solver": None})
    assert minimum["status"] == "CERTIFIED"
    found = child({**task, "solver": OURS, "reference": minimum["value"], "amounts": None})
    assert found["points"][-1][2] == pytest.approx(minimum["value"], rel=1e-6)


def test_the_script_races_on_digits_in_its_quick_mode(tmp_path, monkeypatch, capsys):
    out = tmp_path / "record.json"
    words = ["--problems", "softmax, L2, reg 0.01", "--solvers", OURS, "--images", "200"]
    monkeypatch.setattr(sys, "argv", ["optimum", "--quick", *words, "--out", str(out)])
    optimum.main()
    record = json.loads(out.read_text())
    assert record["source"] == "digits"
    assert {"machine", "versions", "commit", "warning", "threads", "budget", "targets"} <= set(record)
    (problem,) = record["problems"]
    assert problem["repeats"] == 1
    (ours,) = problem["results"]
    assert ours["best_gap"] <= 1e-6
    assert "to 0.001, s" in capsys.readouterr().err


def test_a_run_that_goes_on_keeps_the_other_problems_of_the_same_settings_only():
    settings = dict.fromkeys(("benchmark", "machine", "commit", "versions", "source", "threads"), "1")
    facts = {**settings, "budget": 9.0, "targets": [1e-3], "seconds_in_all": 5.0, "share_used_by_others": 0.1}
    earlier = {**facts, "warning": "busy", "problems": [{"problem": "b"}, {"problem": "c", "old": True}]}
    now = {**facts, "warning": None, "share_used_by_others": 0.0, "problems": [{"problem": "c"}, {"problem": "a"}]}
    now["commit"] = "2"
    both = joined(earlier, now, ["a", "b", "c"])
    assert [(about["problem"], about["commit"]) for about in both["problems"]] == [("a", "2"), ("b", "1"), ("c", "2")]
    assert (both["seconds_in_all"], both["share_used_by_others"], both["warning"]) == (10.0, 0.1, "busy")
    assert joined(None, now, []) is now
    with pytest.raises(SystemExit, match="budget was"):
        joined(earlier, {**now, "budget": 8.0}, ["a"])


def test_without_the_archive_the_record_says_so(tmp_path, monkeypatch):
    out = tmp_path / "record.json"
    monkeypatch.setattr(sys, "argv", ["optimum", str(tmp_path / "none.zip"), "--out", str(out)])
    optimum.main()
    assert "none.zip is not there" in json.loads(out.read_text())["skipped"]
