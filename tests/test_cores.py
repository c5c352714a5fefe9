"""The cores to compute on are those that the process may use, and work for them keeps its order."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from linprobe.cores import by_threads, share_of, side_by_side, usable_cores


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


def test_threads_that_work_side_by_side_share_the_cores_and_others_have_them_all():
    assert share_of(6) == 6
    entered, left = threading.Barrier(3, timeout=60), threading.Barrier(3, timeout=60)

    def work(_: int) -> tuple[int, int]:
        with side_by_side():
            entered.wait()
            shares = share_of(6), share_of(1)
            left.wait()
        return shares

    with ThreadPoolExecutor(2) as pool:
        found = pool.map(work, range(2))
        entered.wait()
        assert share_of(6) == 6  # says nothing, and is not one of them
        left.wait()
        assert list(found) == [(3, 1), (3, 1)]
    with side_by_side():
        assert share_of(6) == 6


def test_who_fails_beside_others_leaves_them_its_share():
    with pytest.raises(ZeroDivisionError), side_by_side():
        1 / 0  # noqa: B018
    with side_by_side():
        assert share_of(4) == 4
