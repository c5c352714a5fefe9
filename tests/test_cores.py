"""The cores to compute on are those that the process may use, and work for them keeps its order."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from linprobe.cores import by_threads, share_of, side_by_side, threads_for, usable_cores


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


@pytest.mark.parametrize(("cores", "most"), [(1, 16), (2, 16), (4, 16), (8, 32), (192, 768)])
def test_a_thousand_threads_are_not_started(monkeypatch: pytest.MonkeyPatch, cores: int, most: int) -> None:
    monkeypatch.setattr("linprobe.cores.usable_cores", lambda: cores)
    assert [threads_for(n) for n in (None, 1, 3, 10**6)] == [cores, 1, 3, most]


COUNTED = """
import os
import numpy as np
from linprobe import LinearClassifier, NearestNeighbors
from linprobe.cores import threads_for

X = np.random.default_rng(0).integers(0, 256, (4000, 64)).astype(np.uint8)
y = np.arange(len(X)) % 3
models = [LinearClassifier(max_iter=20, tol=1e-2, n_threads=n).fit(X, y) for n in (1, 1000)]
assert models[0].weights_.tobytes() == models[1].weights_.tobytes()
NearestNeighbors(n_threads=1000).fit(X, y).predict(X[:500])
print(len(os.listdir("/proc/self/task")), threads_for(1000))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="only Linux lists the threads of a process")
def test_the_pool_of_the_core_is_bounded_and_the_bits_are_the_same() -> None:
    ended = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    alive, most = map(int, ended.stdout.split())
    assert alive <= most + 2 * usable_cores()  # those of the BLAS, too
