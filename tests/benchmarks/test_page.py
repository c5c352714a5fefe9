"""The tables of docs/benchmarks.md: made of records, between markers, and honest about what is missing or slower."""

from __future__ import annotations

import pytest
from benchmarks.page import PAGE, blocks, fill, read_records
from benchmarks.record import RESULTS

from drawings import ALIKE, difference


def test_the_page_of_the_repository_has_a_place_for_every_block():
    page = PAGE.read_text()
    filled = fill(page, dict.fromkeys(blocks({}), "here"))
    assert filled.count("-->\nhere\n<!--") == len(blocks({}))


def test_the_page_of_the_repository_is_made_of_its_records():
    page = PAGE.read_text()
    assert fill(page, blocks(read_records(RESULTS))) == page, "run `python -m benchmarks.page`"


def test_words_outside_of_the_markers_stay_and_filling_twice_changes_nothing():
    page = "Words.\n<!-- begin pass -->\nold\n<!-- end pass -->\nMore words.\n"
    once = fill(page, {"pass": "new \\1"})
    assert once == "Words.\n<!-- begin pass -->\nnew \\1\n<!-- end pass -->\nMore words.\n"
    assert fill(once, {"pass": "new \\1"}) == once


@pytest.mark.parametrize(
    "page", ["", "<!-- begin pass -->\n<!-- end other -->\n", "<!-- begin pass -->\n<!-- end pass -->\n" * 2]
)
def test_a_page_without_just_these_markers_is_refused(page):
    with pytest.raises(SystemExit, match="expected"):
        fill(page, {"pass": "new"})


def test_a_pass_is_shown_with_times_and_ratios(records):
    row = next(line for line in blocks(records)["pass"].splitlines() if line.startswith("| uint8 | softmax"))
    assert row == (
        "| uint8 | softmax | 1 | 100 (100–200) | 200 (200–300) | 400 (400–400) "
        "| **2.00** (1.00–3.00) | **4.00** (2.00–4.00) |"
    )


def test_the_cases_in_which_another_is_faster_are_listed(records):
    rows = blocks(records)["slower"].splitlines()[2:]
    assert rows == ["| pass, CIFAR-10, uint8 rows, hinge | 2 threads | NumPy | 2.00 (2.00–2.00) |"]
    records["engine"]["pass"].pop()
    assert "In none" in blocks(records)["slower"]


def test_reading_is_compared_with_pillow_pair_by_pair(records):
    text = blocks(records)["reading"]
    assert "| linprobe, first run, writes its cache | 3.00 (3.00–4.50) | **3.00** (2.00–4.00) |" in text
    assert "60,000 JPEGs of 32x32 in `pictures.zip`, 2 cores" in text


def test_memory_above_the_limit_is_said(records):
    assert "404 MB. Every run stays below it." in blocks(records)["memory"]
    records["memory"]["peak_resident"]["max"] = 403_600_001
    assert "**Not every run stays below it.**" in blocks(records)["memory"]


def test_accuracy_has_its_mean_and_spread_and_says_what_was_left_out(records):
    text = blocks(records)["accuracy"]
    assert "| 2 | **95.00%** | 1.00% | 94.00–96.00% |" in text
    assert text.endswith("CIFAR-10 was not measured: cifar10.zip is not there.")


def test_the_machine_is_told_once_and_a_warning_for_each(records):
    records["reading"] = {**records["reading"], "warning": "other processes used 12% of the cores during the run"}
    text = blocks(records)["machine"]
    assert text.count("Some CPU") == 1
    rows = {row.split(" | ")[0]: row for row in text.splitlines()}
    assert rows["| reading"].endswith("| **other processes used 12% of the cores during the run** |")
    assert rows["| memory"].endswith("| none |")


def test_what_was_skipped_says_why_and_what_was_not_run_how(records):
    records["memory"] = {"benchmark": "memory", "skipped": "cifar10.zip is not there"}
    del records["reading"]
    made = blocks(records)
    assert made["memory"] == "Not measured: cifar10.zip is not there."
    assert made["reading"] == "Not measured yet: run `make bench`."
    assert "reading" not in made["machine"]


def test_plots_are_small_and_have_the_same_bytes_each_time(records):
    pytest.importorskip("matplotlib")
    from benchmarks.page import plots

    drawn = plots(records)
    assert set(drawn) == {f"benchmarks-{name}.png" for name in ("summary", "pass", "sgd", "reading", "memory")}
    assert all(data.startswith(b"\x89PNG") and len(data) < 60_000 for data in drawn.values())
    assert plots(records) == drawn


def test_the_plots_of_the_repository_are_of_the_present_code_and_records(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.page import plots

    drawn = plots(read_records(RESULTS))
    kept = PAGE.parent / "images"
    assert set(drawn) == {path.name for path in kept.glob("benchmarks-*.png")}
    for name, data in drawn.items():
        (tmp_path / name).write_bytes(data)
        assert difference(tmp_path / name, kept / name) < ALIKE, f"{name}: run `python -m benchmarks.page`"
