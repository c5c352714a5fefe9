"""An objective, a bound and a gap read the same wherever they are printed, and never claim more than is proved."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from linprobe.certificate import Certificate
from linprobe.classifiers.model_file import read_model
from linprobe.cli import main
from linprobe.lab.job import FigureTexts
from linprobe.lab.run_list import RunShown, list_runs
from linprobe.printed import bound_text, gap_text, number_text, objective_text, percent_text, points_text, share_text
from linprobe.report.words import certificate_sentence
from linprobe.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("value", "up", "down"),
    [
        (1.695064, "1.69507", "1.69506"),
        (1.5, "1.5", "1.5"),
        (0.0, "0", "0"),
        (1e-6, "0.000001", "0.000001"),
        (1234567.8, "1234570", "1234560"),
        (0.9999999, "1", "0.999999"),
        (1.23456789e-12, "1.23457e-12", "1.23456e-12"),
        (2e20, "2e+20", "2e+20"),
        (math.inf, "inf", "inf"),
        (math.nan, "-", "-"),
        (None, "-", "-"),
    ],
)
def test_objectives_are_rounded_up_and_bounds_down(value: float | None, up: str, down: str) -> None:
    assert objective_text(value) == up
    assert bound_text(value) == down


@pytest.mark.parametrize(
    ("gap", "text"), [(1e-4, "1.0e-04"), (1.01e-4, "1.1e-04"), (0.0, "0.0e+00"), (9.99, "1.0e+01")]
)
def test_gaps_are_rounded_up(gap: float, text: str) -> None:
    assert gap_text(gap) == text


@given(st.floats(0.0, 1e300))
def test_what_is_printed_lies_on_its_side_and_is_close(value: float) -> None:
    assert float(bound_text(value)) <= value <= float(objective_text(value))
    assert float(objective_text(value)) - float(bound_text(value)) <= 1.1e-5 * value + 5e-324
    assert value <= float(gap_text(value)) <= 1.11 * value + 5e-324


@pytest.mark.parametrize("options", [["--loss", "hinge"], ["--penalty", "elastic-net", "--class-weight", "balanced"]])
def test_a_run_prints_the_same_figures_everywhere(tmp_path: Path, options: list[str]) -> None:
    run = tmp_path / "runs" / "run"
    shown = CliRunner().invoke(main, ["train", "digits", *options, "--tol", "1e-3", "--out", str(run), "--quiet"])
    assert shown.exit_code == 0, shown.output
    metrics = RunFolder.open(run).metrics()
    proved = metrics.certificate
    assert proved is not None
    assert metrics.objective == proved.objective  # one number under one name
    objective, bound, gap = (
        objective_text(proved.objective), bound_text(proved.lower_bound), gap_text(proved.relative_gap)
    )  # fmt: skip
    assert re.search(rf"^objective +{re.escape(objective)} = ", shown.output, re.MULTILINE)
    assert f"above the least possible, which is {bound} or more\n" in shown.output
    described = read_model(run).certificate_
    assert isinstance(described, Certificate)
    assert f"objective {objective}; lower bound {bound}: at most {gap} above" in described.describe()
    assert f"below {bound}; this one has {objective}, " in certificate_sentence(metrics)
    page = (run / "report.html").read_text()
    assert f"below {bound}; this one has {objective}, " in page
    assert f"{objective} = loss {objective_text(metrics.data_loss)} + penalty " in page
    assert gap in page
    listed = list_runs(run.parent)[0]
    assert isinstance(listed, RunShown)
    assert listed.result is not None
    assert listed.result.texts == FigureTexts(objective, bound, gap, metrics.status.short)
    other = shutil.copytree(run, tmp_path / "other")
    compared = CliRunner().invoke(main, ["report", str(run), str(other), "--out", str(tmp_path / "two.html")])
    assert compared.exit_code == 0, compared.output
    assert (tmp_path / "two.html").read_text().count(objective) >= 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "50.0%"), (1.0, "100.0%"), (0.0, "0.0%"), (0.9996, "99.96%"), (0.99999, "99.999%"), (0.0002, "0.02%")],
)
def test_only_a_share_of_0_or_1_is_printed_as_0_or_1(value: float, text: str) -> None:
    assert percent_text(value) == text
    assert float(share_text(value)) == value
    assert percent_text(math.nan, missing="–") == "–"
    assert percent_text(value + 2**-54) == text  # what rounding of a mean leaves


def test_nothing_is_printed_as_minus_0() -> None:
    texts = [share_text(-0.0), percent_text(-0.0), points_text(-0.0), number_text(-0.0), objective_text(-0.0)]
    assert texts == ["0.0000", "0.0%", "+0.0", "0", "0"]
    assert [points_text(value) for value in (-1e-4, 1e-4, -0.02)] == ["-0.01", "+0.01", "-2.0"]
