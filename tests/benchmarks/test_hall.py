"""The measurement of a class: its figures are those of the updates that it was given."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("websockets", reason="the lab's libraries are missing: pip install '.[lab]'")

from benchmarks.hall import drag_all, lab, summary


def test_the_summary_counts_what_came_in_time():
    found = summary([0.1] * 19 + [0.3], students=2, seconds=5.0)
    assert found["share_within_200_ms"] == 0.95
    assert (found["median_ms"], found["longest_ms"]) == (100, 300)
    assert found["updates_a_second_each"] == 2.0


def test_students_who_drag_get_answers_of_the_class():
    with lab(2) as (address, token):
        assert len(asyncio.run(drag_all(address, token, 2, 0.2))) >= 2
