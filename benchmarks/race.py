"""One solver on one problem: a clock that stands still while it is judged, and its way down to the optimum.

Every solver is judged by its W and b alone: L(W, b) in float64, by `Objective.data_gradient` and the penalty. Its own
figures decide nothing but when it is worth looking.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe import Objective
from linprobe.features.base import Affine
from linprobe.penalties import L1, L2, ElasticNet
from linprobe.penalties.base import Penalty

Array = npt.NDArray[Any]

TARGETS = (1e-3, 1e-6)
"""Relative suboptimality to be reached."""

SHOWN = 40
"""Points of a solver that its record keeps, at most."""


class Enough(Exception):
    """Raised in a solver that has met every target or spent its time."""


@dataclass(frozen=True)
class Problem:
    """An objective over rows that lie in memory, from which every solver gets its own.

    Attributes:
        name: as the page calls it.
        X: (N, D) as linprobe reads it.
        y: (N,) int64 labels in 0..K-1.
        affine: applied to X as it is read, or None.
        loss, penalty, reg, beta: beta is the elastic net's share of the squares.
        certified: relative gap at which linprobe's own run is to end with a certificate.
        known: the minimum as it was found elsewhere, or None.
    """

    name: str
    X: Array
    y: npt.NDArray[np.int64]
    affine: Affine | None
    loss: str
    penalty: str
    reg: float
    beta: float = 1.0
    certified: float = 1e-4
    known: float | None = None

    @property
    def n_classes(self) -> int:
        """K."""
        return int(self.y.max()) + 1

    @property
    def squares(self) -> float:
        """What sum W² is multiplied by."""
        return {"l2": self.reg, "l1": 0.0, "elastic-net": self.reg * self.beta}[self.penalty]

    @property
    def sizes(self) -> float:
        """What sum |W| is multiplied by."""
        return 0.0 if self.penalty == "l2" else self.reg

    def objective(self, threads: int) -> Objective:
        """Ours."""
        penalties: dict[str, Penalty] = {"l2": L2(), "l1": L1(), "elastic-net": ElasticNet(self.beta)}
        return Objective(
            self.X,
            self.y,
            loss=self.loss,
            penalty=penalties[self.penalty],
            reg=self.reg,
            n_classes=self.n_classes,
            affine=self.affine,
            n_threads=threads,
        )

    def floats(self, dtype: type = np.float32) -> Array:
        """The mapped rows (N, D), for the peers; not timed."""
        rows = np.empty(self.X.shape, dtype)
        for start in range(0, len(rows), 4096):
            block = self.X[start : start + 4096]
            rows[start : start + 4096] = block if self.affine is None else self.affine.apply(block)
        return rows

    def facts(self) -> dict[str, Any]:
        """What a record says of it."""
        return {
            "problem": self.name,
            "loss": self.loss,
            "penalty": self.penalty,
            "reg": self.reg,
            "n_images": len(self.y),
            "n_features": self.X.shape[1],
            "n_classes": self.n_classes,
            "certified_tol": self.certified,
            "known": self.known,
        }


@dataclass
class Race:
    """What a solver reports to, and what is known of it.

    Attributes:
        objective: that judges.
        reference: the minimum, or the best that is known of it.
        targets: relative suboptimality to reach, in descending order.
        budget: seconds of the solver, all of its runs together.
        threads: that it may use.
        amounts: iterations of the runs of a solver that cannot be watched; None to search for them.
        points: (seconds, passes, objective) of each look; passes are NaN where they are not known.
    """

    objective: Objective
    reference: float
    targets: tuple[float, ...] = TARGETS
    budget: float = 120.0
    threads: int = 1
    amounts: tuple[int, ...] | None = None
    points: list[tuple[float, float, float]] = field(default_factory=list)
    ran: list[tuple[int, float]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    spent: float = 0.0
    _since: float = math.nan
    _seconds: float = 0.0
    _next: float = 0.0

    def start(self) -> None:
        """Begin a run: its clock at 0, and going."""
        self._seconds, self._since = 0.0, time.perf_counter()

    def stop(self) -> float:
        """Stop the clock; the seconds of this run so far."""
        elapsed = time.perf_counter() - self._since
        self._seconds, self.spent, self._since = self._seconds + elapsed, self.spent + elapsed, math.nan
        return self._seconds

    @property
    def open(self) -> list[float]:
        """The targets not met yet."""
        least = min((value for _, _, value in self.points), default=math.inf)
        return [target for target in self.targets if not self.gap(least) <= target]

    def gap(self, value: float) -> float:
        """Relative suboptimality of an objective."""
        return (value - self.reference) / self.reference

    def judge(self, W: Array, b: Array, seconds: float, passes: float) -> float:
        """Evaluate W (K, D) and b (K,), in float64, and keep the point; its objective."""
        W, b = np.asarray(W, np.float64), np.asarray(b, np.float64)
        value = self.objective.data_gradient(W, b).loss + self.objective.penalty_value(W)
        self.points.append((seconds, passes, value))
        return value

    def look(self, weights: Callable[[], tuple[Array, Array]], passes: float, rough: float = math.nan) -> None:
        """In a run that can be watched: with the clock stopped, judge the weights if it is time to.

        Args:
            weights: gives W and b.
            passes: over the rows so far.
            rough: the solver's own figure of the objective; near a target each look counts.
        Raises:
            Enough: every target is met, or the time is spent.
        """
        seconds = self.stop()
        near = self.open and not math.isnan(rough) and self.gap(rough) <= 2.0 * self.open[0]
        if math.isnan(rough) or near or passes >= self._next:
            self.judge(*weights(), seconds, passes)
            self._next = 1.15 * passes
        if not self.open or self.spent >= self.budget:
            raise Enough
        self._since = time.perf_counter()

    def ladder(self, first: int = 1, step: int = 1) -> Iterator[int]:
        """In runs that cannot be watched: how many iterations each is to take, all from the start.

        Doubled until the targets are met, or as far as the budget allows; then, by the slope of the log of the gap
        between the last run that missed a target and the first that met it, two runs nearer to it. `done` is to be
        called after each.

        Args:
            first: iterations of the first run.
            step: iterations come in multiples of it.
        """
        if self.amounts is not None:
            yield from self.amounts
            return
        amount, known = first, dict[int, float]()
        while True:
            yield amount
            known[amount] = self.gap(self.points[-1][2])
            rate = self.ran[-1][1] / amount
            stuck = amount // 2 in known and abs(known[amount // 2] - known[amount]) <= 1e-9 * abs(known[amount])
            if not self.open or (stuck and amount >= 8 * first):
                break  # met; or converged, to something else or to its own precision
            fits = step * int((self.budget - self.spent) / rate / step)
            if fits < 1.25 * amount:
                break
            amount = min(2 * amount, fits)
        for target in self.targets:
            for _ in range(2):
                met = [n for n in known if known[n] <= target]
                missed = [n for n in known if known[n] > target and (not met or n < min(met))]
                if not met or not missed:
                    break
                high, low = min(met), max(missed)
                guess = between(low, known[low], high, known[high], target, step)
                if guess is None or self.spent + guess * rate > 2.0 * self.budget:
                    break
                yield guess
                known[guess] = self.gap(self.points[-1][2])

    def done(self, amount: int, W: Array, b: Array, passes: float) -> None:
        """After a run of the ladder, whose clock is stopped: judge it."""
        self.ran.append((amount, self._seconds))
        self.judge(W, b, self._seconds, passes)


def between(low: int, low_gap: float, high: int, high_gap: float, target: float, step: int) -> int | None:
    """Iterations, between two known runs, after which the gap falls to the target; None if there are none left."""
    share = math.log(low_gap / target) / math.log(low_gap / max(high_gap, 1e-3 * target))
    guess = step * math.ceil((low + share * (high - low)) / step)
    guess = min(max(guess, low + step), high - step)
    return guess if low < guess < high else None


def met(points: list[tuple[float, float, float]], reference: float, targets: tuple[float, ...]) -> dict[str, Any]:
    """For each target, seconds and passes of the quickest point that meets it, or None."""
    found: dict[str, Any] = {}
    for target in targets:
        enough = [point for point in points if (point[2] - reference) / reference <= target]
        seconds, passes, _value = min(enough, default=(None, None, None))
        found[f"{target:g}"] = None if seconds is None else {"seconds": seconds, "passes": number(passes)}
    return found


def number(value: float | None) -> float | None:
    """`value`, with None for NaN, which JSON does not have."""
    return None if value is None or math.isnan(value) else value


def thinned(points: list[tuple[float, float, float]], targets: list[float]) -> list[tuple[float, float | None, float]]:
    """In the order of seconds; at most SHOWN: the ends, those at `targets` (seconds), and some evenly between."""
    points = sorted(points)
    if len(points) > SHOWN:
        kept = {round(i) for i in np.linspace(0, len(points) - 1, SHOWN - len(targets))}
        points = [point for i, point in enumerate(points) if i in kept or point[0] in targets]
    return [(seconds, number(passes), value) for seconds, passes, value in points]


@contextlib.contextmanager
def peak_memory(into: dict[str, Any]) -> Iterator[None]:
    """Put into["peak_bytes"] how far resident memory rose above what it was at the start; None if unknown.

    By VmHWM of /proc/self/status, which a 5 in /proc/self/clear_refs sets back.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = memory_of("VmRSS")
    try:
        yield
    finally:
        after = memory_of("VmHWM")
        into["peak_bytes"] = None if before is None or after is None else max(0, after - before)


def memory_of(name: str) -> int | None:
    """Bytes of a line of /proc/self/status."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return None
