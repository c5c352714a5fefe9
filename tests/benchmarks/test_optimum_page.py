"""The sections on the optimum, the path and the scale: made of records, and not there without one."""

from __future__ import annotations

import io
from typing import Any

import pytest
from benchmarks.optimum_page import optimum_summary
from benchmarks.page import PAGE, blocks, fill, read_records
from benchmarks.plots import LINES, convergence_plot, falling
from benchmarks.record import RESULTS, compared, spread
from benchmarks.solvers import SOLVERS

from .conftest import FACTS


def result(solver: str, first: float | None, last: float | None, **more: Any) -> dict[str, Any]:
    """A solver's line, which meets the targets after these seconds."""
    times = {"0.001": first, "1e-06": last}
    return {
        "solver": solver,
        "note": "",
        "same_objective": True,
        "targets": {key: t and {"seconds": spread([t]), "passes": 10 * t} for key, t in times.items()},
        "best_gap": 4e-5,
        "best_seconds": 40.0,
        "rows_bytes": 600_000_000,
        "peak_bytes": 90_000_000,
        "points": [[1.0, 10.0, 3.0], [2.0, 20.0, 2.0], [3.0, None, 2.5]],
        **more,
    }


@pytest.fixture
def optimum() -> dict[str, Any]:
    """A record of one problem."""
    proof = {"tol": 1e-3, "status": "CERTIFIED", "seconds": spread([5.0]), "passes": 21, "relative_gap": 9e-4}
    proof |= {"zeros": 29_000, "weights": 30_720}
    problem = {
        "problem": "softmax, L1, reg 0.001",
        "penalty": "l1",
        "n_images": 50_000,
        "n_features": 3072,
        "n_classes": 10,
        "known": None,
        "repeats": 3,
        "minimum": {"value": 1.5, "objective": 1.5, "lower_bound": 1.5, "relative_gap": 9e-9, "proved": True},
        "results": [result("scikit-learn saga", 24.0, None), result("linprobe", 2.0, 3.0, certified=proof)],
        "skipped": dict.fromkeys(("LIBLINEAR one-vs-rest", "scikit-learn newton-cg"), "it has no softmax"),
    }
    settings = {"source": "cifar10.zip", "threads": 2, "budget": 120.0, "targets": [1e-3, 1e-6]}
    return {"benchmark": "optimum", **FACTS, **settings, "problems": [problem]}


def test_there_is_no_section_without_a_record_and_a_reason_where_it_was_skipped():
    assert [blocks({})[name] for name in ("optimum", "path", "scale")] == ["", "", ""]
    skipped = blocks({"optimum": {"benchmark": "optimum", "skipped": "cifar10.zip is not there"}})["optimum"]
    assert skipped.startswith("## To the optimum")
    assert skipped.endswith("Not measured: cifar10.zip is not there.")


def test_the_page_of_the_repository_has_the_sections_of_its_records_only():
    page, records = PAGE.read_text(), read_records(RESULTS)
    titles = {"optimum": "## To the optimum", "path": "## A path of reg values", "scale": "## At the scale"}
    assert {name: title in page for name, title in titles.items()} == {name: name in records for name in titles}
    assert fill(page, blocks(records)) == page


def test_solvers_are_sorted_by_their_time_and_what_was_missed_is_told(optimum):
    lines = blocks({"optimum": optimum})["optimum"].splitlines()
    rows = [line for line in lines if line.startswith(("| **linprobe**", "| scikit"))]
    assert rows == [
        "| **linprobe** | 2.00 (2.00–2.00) | 3.00 (3.00–3.00) | 20 | 30 | 600 | 90 |  |",
        "| scikit-learn saga | 24.0 (24.0–24.0) |  | 240 |  | 600 | 90 | 4.0e-05 after 40.0 s |",
    ]
    assert lines[-1] == "- LIBLINEAR one-vs-rest, scikit-learn newton-cg: it has no softmax"


def test_the_summary_tells_how_many_times_as_fast_it_is_where_both_arrive(optimum):
    row = "| softmax, L1, reg 0.001 | {} | {} | {} | {} |"
    assert row.format("none", "3.00", "more than 120", "") in optimum_summary(optimum).splitlines()
    optimum["problems"][0]["results"].append(result("adelie", 9.0, 24.0))
    assert row.format("adelie", "3.00", "24.0", "8.00") in optimum_summary(optimum).splitlines()


def test_a_certificate_is_told_with_its_exact_zeros_and_an_early_end(optimum):
    text = blocks({"optimum": optimum})["optimum"]
    row = "| softmax, L1, reg 0.001 | 0.001 | 9.0e-04 | 5.00 (5.00–5.00) | 21 | 29,000 of 30,720 |"
    assert row in text.splitlines()
    optimum["problems"][0]["results"][1]["certified"]["status"] = "STOPPED"
    assert "9.0e-04 **STOPPED**" in blocks({"optimum": optimum})["optimum"]


def test_what_the_gaps_are_measured_from_is_told_and_whether_it_is_proved(optimum):
    assert "proved to be at least 1.5, and at most 9.0e-09" in blocks({"optimum": optimum})["optimum"]
    problem = optimum["problems"][0]
    problem["minimum"] |= {"proved": False, "lower_bound": 1.2}
    problem["known"] = 1.4
    text = blocks({"optimum": optimum})["optimum"]
    assert "the lowest objective that was found. The proof is only that none is below 1.2, 2.0e-01 less." in text
    assert "**It was 1.4 when it was found before.**" in text


def test_every_solver_has_its_own_line_in_the_plots():
    assert set(LINES) == set(SOLVERS)
    assert len(set(LINES.values())) == len(LINES)


def test_a_line_falls_and_stays_above_the_floor():
    assert falling([(2.0, 1.5), (1.0, 2.0), (3.0, 1.75), (4.0, 0.9)], 1.0) == ([1, 2, 3, 4], [1.0, 0.5, 0.5, 1e-9])


def test_a_plot_of_each_problem_is_small_and_has_the_same_bytes_each_time(optimum):
    pytest.importorskip("matplotlib")
    from benchmarks.page import plots

    drawn = plots({"optimum": optimum})
    assert list(drawn) == ["benchmarks-optimum-softmax-l1-reg-0-001.png"]
    assert f"images/{next(iter(drawn))}" in blocks({"optimum": optimum})["optimum"]
    (data,) = drawn.values()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 60_000
    assert convergence_plot(optimum["problems"][0], optimum["targets"]) == data
    assert plots({"optimum": {"benchmark": "optimum", "skipped": "no"}}) == {}


def test_the_path_is_compared_and_what_is_extrapolated_is_called_so():
    member = {"status": "CERTIFIED", "relative_gap": 5e-5, "alone": {"seconds": 3.0}}
    record = {
        "benchmark": "path",
        **FACTS,
        "n_train": 45_000,
        "tol": 1e-4,
        "aim": 4.0,
        "members": [{"reg": 1e-5, **member}, {"reg": 1e-1, **member}],
        "hardest": 1e-5,
        "passes": 60,
        **compared({"path": [6.0, 6.0], "hardest": [3.0, 2.0]}, "hardest"),
        "logistic_regression_cv": {
            "max_iter": 100,
            "results": [{"reg": 1e-1, "gap": 2e-3}],
            "seconds": 50.0,
            "extrapolated_seconds": 100.0,
            "extrapolated_from": 1,
        },
    }
    text = blocks({"path": record})["path"]
    assert "2 of 2 certified to 0.0001" in text
    assert "**extrapolated** from 1 in 50.0 s, max_iter 100 | 100 |  | 2.0e-03 |" in text
    assert "takes **2.50 (2.00–3.00)** times its hardest member, within the 4 aimed at" in text
    record["ratios"]["path"]["median"] = 4.5
    assert "**above** the 4 aimed at" in blocks({"path": record})["path"]


def test_the_scale_is_told_with_the_share_of_sgemm():
    optimum = {"tol": 1e-3, "status": "CERTIFIED", "seconds": 150.0, "passes": 20, "relative_gap": 7e-4}
    rates = {"linprobe": spread([80.0]), "sgemm": spread([100.0])}
    a_pass = {"seconds": spread([7.5]), "gflops": rates, "share_of_sgemm": spread([0.8]), "peak_bytes": 15e6}
    size = {"n_images": 200_000, "n_features": 768, "n_classes": 1000, "rows_bytes": 307_200_000}
    record = {"benchmark": "scale", **FACTS, **size, "reg": 1e-4, "threads": 2}
    record |= {"pass": a_pass, "optimum": {**optimum, "peak_bytes": 900e6}}
    lines = blocks({"scale": record})["scale"].splitlines()
    assert "| share of sgemm's rate | **80.0 % (80.0–80.0)** |" in lines
    assert "| the optimum, proved gap | 7.0e-04 (CERTIFIED, tol 0.001) |" in lines
    assert "| peak memory of the search, above the rows | 900 MB |" in lines


def test_a_solver_of_a_single_point_keeps_its_colour():
    pytest.importorskip("matplotlib")
    from PIL import Image

    record = read_records(RESULTS)["optimum"]
    about = next(one for one in record["problems"] if one["problem"] == "softmax, L2, reg 0.01")
    picture = Image.open(io.BytesIO(convergence_plot(about, record["targets"]))).convert("RGB")
    seen = [colour for _, colour in picture.getcolors()]
    for line in about["results"]:
        wanted = [int(LINES[line["solver"]][0][i : i + 2], 16) for i in (1, 3, 5)]
        assert min(max(abs(a - b) for a, b in zip(wanted, one, strict=True)) for one in seen) <= 4, line["solver"]
