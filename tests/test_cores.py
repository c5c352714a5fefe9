"""The cores to compute on are those that the process may use, and work for them keeps its order."""

from __future__ import annotations

import os
import threading

import pytest

from linprobe.cores import by_threads, usable_cores


def test_only_cores_that_the_process_may_use_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert usable_cores() == 3


def test_without_affinity_the_cores_of_the_machine_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


@pytest.mark.parametrize("n_threads", [1, 2, 5, None])
def test_results_come_in_the_order_of_the_items(n_threads: int | None) -> None:
    assert list(by_threads(lambda x: x * x, range(20), n_threads)) == [x * x for x in range(20)]
    assert list(by_threads(lambda x: x, [], n_threads)) == []


def test_items_are_worked_on_by_several_threads_at_once() -> None:
    together = threading.Barrier(2, timeout=20)  # which one thread alone would never pass
    assert len(set(by_threads(lambda _: together.wait(), range(2), 2))) == 2
