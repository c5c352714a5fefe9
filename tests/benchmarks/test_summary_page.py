"""The first table of docs/benchmarks.md takes its figures from the records, and leaves out no loss."""

from __future__ import annotations

from benchmarks.page import read_records
from benchmarks.record import RESULTS
from benchmarks.summary_page import comparisons, summary_block


def test_a_comparison_has_the_medians_of_its_record_and_the_slower_ones_come_last(records):
    records["engine"]["pass"].append({**records["engine"]["pass"][1], "loss": "softmax"})
    rows = summary_block(records).splitlines()[6:]
    assert rows[0] == "| an epoch of SGD, 50,000 x 3,072 uint8, 10 classes | PyTorch | 0.100 | 0.400 | **4.00** |"
    assert rows[-1] == "| loss and gradient, 50,000 x 3,072 uint8, 10 classes | NumPy | 0.200 | 0.100 | **0.500** |"


def test_a_solver_that_did_not_arrive_has_no_ratio():
    rows = [row for row in comparisons(read_records(RESULTS)) if row.ratio is None]
    assert rows
    assert all(row.theirs is None and row.budget == 30 for row in rows)


def test_without_records_there_is_nothing_to_compare():
    skipped = {"engine": {"benchmark": "engine", "skipped": "no"}}
    assert comparisons(skipped) == []
    assert summary_block(skipped) == "Not measured yet: run `make bench`."
