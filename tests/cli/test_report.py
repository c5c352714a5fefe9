"""`linprobe report`, and the page that trainings and sweeps leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_a_training_leaves_its_report_and_says_where(linprobe: Any, pictures: Path) -> None:
    answer = linprobe("train", pictures, "--out", "run", report=True)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1].split() == ["report", "run/report.html"], answer.err
    assert "certificate" in Path("run/report.html").read_text()
    # in JSON there is the result alone
    answer = linprobe("train", pictures, "--out", "other", "--json", report=True)
    assert answer.record["run"] == "other"
    assert Path("other/report.html").exists()


def test_a_sweep_leaves_its_report_and_no_report_leaves_none(linprobe: Any, pictures: Path) -> None:
    options = ("sweep", pictures, "--reg-grid", "1e-2,1e-1", "--validation", "0.3")
    answer = linprobe(*options, "--out", "run", report=True)
    assert answer.out.splitlines()[-1].split() == ["report", "run/report.html"], answer.err
    assert linprobe(*options, "--out", "bare").code == 0
    assert not Path("bare/report.html").exists()


@pytest.mark.parametrize("failure", [RuntimeError("no\nink"), KeyboardInterrupt()], ids=["bug", "ctrl-c"])
def test_a_page_that_cannot_be_drawn_is_a_warning_after_the_result(
    linprobe: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr("linprobe.report.page.sections_of", fails)
    answer = linprobe("train", pictures, "--out", "run", "--json", report=True)
    assert answer.code == 0
    assert answer.record["test_accuracy"] == 1.0
    reason = "no ink" if isinstance(failure, RuntimeError) else "KeyboardInterrupt"
    assert answer.err == (f"warning: no report was written ({reason}); the run is complete, try: linprobe report run\n")
    assert Path("run/metrics.json").exists()
    assert not Path("run/report.html").exists()


def test_the_command_writes_the_page_of_one_run_or_compares_several(linprobe: Any, pictures: Path) -> None:
    for name, loss in (("a", "softmax"), ("b", "hinge")):
        assert linprobe("train", pictures, "--loss", loss, "--out", name).code == 0
    record = linprobe("report", "a", "--json", "--no-cache").record
    assert record == {"runs": ["a"], "report": "a/report.html", "bytes": Path("a/report.html").stat().st_size}
    assert linprobe("report", "a", "b").out.split() == ["report", "comparison.html"]
    assert "hinge" in Path("comparison.html").read_text()
    assert linprobe("report", "a", "--out", "page.html").code == 0
    assert Path("page.html").exists()


def test_what_is_no_run_is_one_line(linprobe: Any) -> None:
    answer = linprobe("report", "nowhere")
    assert answer.code == 2
    assert answer.err == "error: nowhere: no such run folder; `linprobe train SOURCE` makes one.\n"
    assert linprobe("report").code == 2
