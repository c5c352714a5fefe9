"""The checks of nearest neighbours: distances, the vote, and the choice of k."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from types import ModuleType

import numpy as np

from linprobe.assignments.problems import check_unchanged, has_loop
from linprobe.assignments.verdict import Wrong
from linprobe.shapes import Floats, Labels

__all__ = ["NEIGHBORS"]

SIZE, D = 300, 60
"""Rows and features of the problem whose memory is measured: all differences at once would be 43 MB, the distances
0.7 MB."""


def _expected(Q: Floats, X: Floats) -> Floats:
    distances: Floats = np.sqrt(np.square(Q[:, None, :] - X[None]).sum(axis=2))
    return distances


def _check_distances(student: ModuleType, blank: str) -> None:
    function = getattr(student, blank)
    random = np.random.default_rng(0)
    X = random.normal(size=(9, 4))
    for words, Q in (("5 rows and 9", random.normal(size=(5, 4))), ("rows that are equal", X[2:5] * 1.0)):
        found = np.asarray(check_unchanged(function, (Q, X)))
        expected = _expected(Q, X)
        if found.shape != expected.shape:
            turned = "; transpose it" if found.shape == expected.T.shape else ""
            raise Wrong(f"it returns shape {found.shape}; expected {expected.shape}{turned}")
        if np.isnan(found).any():
            raise Wrong(f"{words}: NaN, as rounding made a square less than 0; take the maximum with 0 first")
        if not np.allclose(found, expected, atol=1e-6):
            square = np.allclose(found, expected**2, atol=1e-6)
            manhattan = np.allclose(found, np.abs(Q[:, None, :] - X[None]).sum(axis=2))
            hint = "; these are the squares" if square else "; these are sums of |q - x|" if manhattan else ""
            raise Wrong(f"{words}: the first distance is {found[0, 0]:.6g}; expected {expected[0, 0]:.6g}{hint}")


def _by_loops(student: ModuleType) -> None:
    _check_distances(student, "distances_by_loops")


def _without(student: ModuleType) -> None:
    _check_distances(student, "distances")
    if loop := has_loop(student.distances):
        raise Wrong(f"the distances are right, but there is a loop in line {loop}; it can be written without")
    Q = np.random.default_rng(1).normal(size=(SIZE, D))
    tracemalloc.start()
    student.distances(Q, Q)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if peak > SIZE * SIZE * D * 8 / 2:
        raise Wrong(
            f"the distances are right, but {SIZE} x {SIZE} of them take {peak / 1e6:.0f} MB: all differences are "
            "there at once; |q - x|² = |q|² - 2 q.x + |x|² needs none of them"
        )


def _voted(D: Floats, y: Labels, k: int) -> Labels:
    nearest = np.argsort(D, axis=1, kind="stable")[:, :k]
    return np.array([np.bincount(y[row], minlength=int(y.max()) + 1).argmax() for row in nearest])


def _vote(student: ModuleType) -> None:
    random = np.random.default_rng(2)
    y = np.array([0, 2, 1, 2, 0, 1, 1, 2])
    D = np.stack([random.permutation(8) for _ in range(20)]).astype(float)
    for k in (1, 3, 2, 8):
        found = np.asarray(check_unchanged(student.vote, (D, y, k)))
        expected = _voted(D, y, k)
        if found.shape != expected.shape:
            raise Wrong(f"it returns shape {found.shape}; expected a class for each row of D, {expected.shape}")
        if np.array_equal(found, expected):
            continue
        hint = ""
        if np.array_equal(found, _voted(-D, y, k)):
            hint = "; these are votes of the farthest"
        elif k == 2 and np.all([label in y[np.argsort(row)[:2]] for label, row in zip(found, D, strict=True)]):
            hint = "; of classes with equally many votes take the smallest"
        raise Wrong(f"k = {k}: {found[:6].tolist()} for the first six; expected {expected[:6].tolist()}{hint}")


def _choose_k(student: ModuleType) -> None:
    for seed, spread in ((0, 0.4), (1, 1.2), (2, 2.0)):
        random = np.random.default_rng(seed)
        y = random.integers(0, 3, 60)
        X = np.eye(3)[y] + spread * random.normal(size=(60, 3))
        ks = [9, 1, 3, 25]
        found = check_unchanged(student.choose_k, (ks, X, y, 5))
        accuracies = _by_folds(ks, X, y)
        expected = min(ks, key=lambda k: (-accuracies[k], k))
        if found == expected:
            continue
        told = ", ".join(f"{k}: {accuracies[k]:.3f}" for k in ks)
        hint = "; without folds k = 1 is right on every image, as each is its own neighbour" if found == 1 else ""
        if found in accuracies and np.isclose(accuracies[found], accuracies[expected]):
            hint = "; of equal ones take the smallest"
        raise Wrong(f"it chooses {found}; expected {expected} (mean accuracies {told}){hint}")


def _by_folds(ks: list[int], X: Floats, y: Labels) -> dict[int, float]:
    folds = np.arange(len(X)) % 5
    return {
        k: float(
            np.mean(
                [
                    np.mean(_voted(_expected(X[folds == f], X[folds != f]), y[folds != f], k) == y[folds == f])
                    for f in range(5)
                ]
            )
        )
        for k in ks
    }


NEIGHBORS: dict[str, Callable[[ModuleType], None]] = {
    "distances_by_loops": _by_loops,
    "distances": _without,
    "vote": _vote,
    "choose_k": _choose_k,
}
"""The check of each blank of the assignment `neighbors`."""
