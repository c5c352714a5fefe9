"""Accuracy by challenge, kind and severity, of anything that gives pictures classes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from linprobe.challenges.base import SEVERITIES, Challenge
from linprobe.challenges.clutter import Clutter
from linprobe.challenges.deformation import Deformation
from linprobe.challenges.illumination import Illumination
from linprobe.challenges.intraclass import Intraclass, IntraclassJson, intraclass_variation
from linprobe.challenges.occlusion import Occlusion
from linprobe.challenges.viewpoint import Viewpoint
from linprobe.challenges.wilson import Change, ChangeJson, Rate, RateJson
from linprobe.cores import threads_for
from linprobe.data.base import ImageSet, ProgressCallback
from linprobe.errors import ParameterError, ShapeError
from linprobe.shapes import Labels, Pixels, slices

__all__ = ["CHALLENGES", "INTRACLASS", "Cell", "ChallengeTable", "Classify", "choose", "run_challenges", "score_sets"]

CHALLENGES: tuple[Challenge, ...] = (Viewpoint(), Illumination(), Deformation(), Occlusion(), Clutter())
"""The challenges that change pictures, in the order of the lecture."""

INTRACLASS = "intraclass"
"""Name of the sixth challenge, which changes no pictures."""

Classify: TypeAlias = Callable[[Pixels], Labels]
"""Pictures (n, height, width, channels) uint8 to their classes (n,), 0..K-1; called from one thread only."""

BLOCK_NUMBERS = 2**20
"""Intensities of a block, at most: 341 pictures of 32x32x3. From 2^18 on, larger blocks are faster to classify only."""


class AmountJson(TypedDict, total=False):
    """What a severity means in JSON; both keys, or none for a set that linprobe did not make."""

    amount: float
    unit: str


class CellJson(RateJson, ChangeJson, AmountJson):
    """A cell in JSON: its names, its share of hits, the change where it is known, what its severity means."""

    challenge: str
    kind: str
    severity: int | None


class MeanJson(TypedDict):
    """The mean accuracy over the kinds of a challenge in JSON."""

    challenge: str
    severity: int | None
    accuracy: float


class TableJson(TypedDict):
    """A `ChallengeTable` in JSON."""

    seed: int
    confidence: float
    clean: RateJson
    cells: list[CellJson]
    means: list[MeanJson]
    intraclass: IntraclassJson | None


@dataclass(frozen=True)
class Cell:
    """Accuracy on the pictures that one kind of one severity gives.

    Args:
        challenge, kind: their names.
        severity: 1..5; None for a set without severities.
        rate: hits among all pictures.
        change: the hits lost and gained compared with the unchanged pictures; None for a ready-made set, whose
            unchanged pictures are unknown.
    """

    challenge: str
    kind: str
    severity: int | None
    rate: Rate
    change: Change | None = None

    def as_dict(self) -> CellJson:
        """For JSON."""
        return {
            "challenge": self.challenge,
            "kind": self.kind,
            "severity": self.severity,
            **self.rate.as_dict(),
            **(ChangeJson() if self.change is None else self.change.as_dict()),
            **_amount(self),
        }


@dataclass(frozen=True)
class ChallengeTable:
    """What the challenges cost a classifier.

    Args:
        seed: of the challenges.
        clean: on the unchanged pictures, severity 0 of every kind.
        cells: by challenge, kind and severity.
        intraclass: None if it was not requested.
    """

    seed: int
    clean: Rate
    cells: tuple[Cell, ...]
    intraclass: Intraclass | None = None

    def rows(self) -> list[tuple[str, str, dict[int | None, Rate]]]:
        """(challenge, kind, accuracy by severity) of each kind, in order."""
        found: dict[tuple[str, str], dict[int | None, Rate]] = {}
        for cell in self.cells:
            found.setdefault((cell.challenge, cell.kind), {})[cell.severity] = cell.rate
        return [(*names, rates) for names, rates in found.items()]

    def as_dict(self) -> TableJson:
        """For JSON: every share with its 95% interval, and the mean accuracy of each challenge and severity."""
        return {
            "seed": self.seed,
            "confidence": 0.95,
            "clean": self.clean.as_dict(),
            "cells": [cell.as_dict() for cell in self.cells],
            "means": [
                {"challenge": challenge, "severity": severity, "accuracy": accuracy}
                for (challenge, severity), accuracy in self.means().items()
            ],
            "intraclass": None if self.intraclass is None else self.intraclass.as_dict(),
        }

    def means(self) -> dict[tuple[str, int | None], float]:
        """Accuracy of each challenge and severity, the mean over its kinds.

        Without an interval: the kinds share their pictures, so their errors are correlated to an unknown degree.
        """
        found: dict[tuple[str, int | None], list[float]] = {}
        for cell in self.cells:
            found.setdefault((cell.challenge, cell.severity), []).append(cell.rate.accuracy)
        return {key: float(np.mean(values)) for key, values in found.items()}


def _amount(cell: Cell) -> AmountJson:
    """What the severity of a cell of linprobe's own kinds means."""
    for challenge in CHALLENGES:
        for kind in challenge.kinds:
            if (challenge.name, kind.name) == (cell.challenge, cell.kind) and cell.severity:
                return {"amount": kind.amounts[cell.severity - 1], "unit": kind.unit}
    return {}


def choose(names: Sequence[str] | None) -> tuple[str, ...]:
    """The kinds that `names` mean, `intraclass` among them, each once, in the order of the lecture.

    Args:
        names: challenges (all of their kinds) or kinds; None for everything.
    Raises:
        ParameterError: a name is neither.
    """
    kinds = {challenge.name: [kind.name for kind in challenge.kinds] for challenge in CHALLENGES}
    kinds[INTRACLASS] = [INTRACLASS]
    every = [kind for some in kinds.values() for kind in some]
    if names is None:
        return tuple(every)
    for name in names:
        if name not in kinds and name not in every:
            raise ParameterError(
                f"challenge = {name!r}; expected one of {', '.join(kinds)}, "
                f"or of their kinds {', '.join(kind for kind in every if kind not in kinds)}."
            )
    wanted = {kind for name in names for kind in kinds.get(name, [name])}
    return tuple(kind for kind in every if kind in wanted)


def run_challenges(
    classify: Classify,
    images: Pixels,
    y: Labels,
    class_names: tuple[str, ...],
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    names: Sequence[str] | None = None,
    n_threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> ChallengeTable:
    """Accuracy of `classify` on the unchanged pictures, and on those of each challenge.

    Args:
        classify: pictures (n, height, width, channels) uint8 to classes (n,); called from this thread only, with
            blocks of about a million intensities.
        images: (M, height, width, channels) uint8, test pictures; may be a memory map.
        y: (N,) labels 0..K-1 of the pictures at `rows`.
        class_names: K names.
        severities: some of 0..5; the unchanged pictures (0) are always scored.
        seed: >= 0, of what the challenges draw; it gives the same pixels whatever `n_threads` is.
        rows: (N,) positions in `images` of the pictures to use; None for all. A picture is changed in the same way
            whichever others are used.
        names: challenges or kinds, as `choose` takes them; None for all.
        n_threads: that change pictures; None for one per core.
        progress: called with the number of pictures scored.
    Raises:
        ParameterError: a severity, a name or the seed cannot be used.
        ShapeError: the arrays do not fit each other, or `classify` gives something else than (n,).
    """
    positions = np.arange(len(images)) if rows is None else np.asarray(rows, np.int64)
    if y.shape != positions.shape or len(y) == 0:
        raise ShapeError(f"y has shape {y.shape}; expected one label for each of the {len(positions)} pictures, > 0.")
    wrong = [severity for severity in severities if severity not in SEVERITIES]
    if wrong:
        raise ParameterError(f"severity = {wrong[0]}; expected some of 0, 1, 2, 3, 4, 5.")
    wanted = choose(names)
    keys: list[tuple[str, str, int]] = []
    for challenge in CHALLENGES:
        for kind in challenge.kinds:
            if kind.name in wanted:
                keys += [(challenge.name, kind.name, s) for s in sorted(set(severities)) if s > 0]
    jobs = [_Job(lambda part: np.array(images[positions[part]]), y, images.shape[1:])]
    jobs += [_Job(_changer(images, kind, severity, seed, positions), y, images.shape[1:]) for _, kind, severity in keys]
    hits = _hits(classify, jobs, n_threads, progress)
    cells = tuple(Cell(*key, _rate(hit), _change(hits[0], hit)) for key, hit in zip(keys, hits[1:], strict=True))
    inside = None
    if INTRACLASS in wanted:
        inside = intraclass_variation(images, y, hits[0], class_names, seed, rows=positions)
    return ChallengeTable(seed, _rate(hits[0]), cells, inside)


def score_sets(
    classify: Classify,
    sets: Sequence[tuple[str, int | None, ImageSet, Labels]],
    *,
    n_threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[Cell, ...]:
    """Accuracy of `classify` on ready-made corrupted sets: (kind, severity, pictures, their labels) each."""
    jobs = [_Job(_reader(images), y, images.images.shape[1:]) for _, _, images, y in sets]
    hits = _hits(classify, jobs, n_threads, progress)
    return tuple(
        Cell("corrupted", kind, severity, _rate(hit)) for (kind, severity, _, _), hit in zip(sets, hits, strict=True)
    )


def _rate(hits: npt.NDArray[np.bool_]) -> Rate:
    return Rate(int(hits.sum()), len(hits))


def _change(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_]) -> Change:
    return Change(int((before & ~after).sum()), int((after & ~before).sum()), len(before))


@dataclass(frozen=True)
class _Job:
    """Pictures that are made block by block, and their labels (N,)."""

    make: Callable[[slice], Pixels]
    y: Labels
    shape: tuple[int, ...]
    hits: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hits", np.zeros(len(self.y), bool))

    def parts(self) -> list[slice]:
        return slices(len(self.y), max(1, BLOCK_NUMBERS // int(np.prod(self.shape))))


def _changer(
    images: Pixels, kind: str, severity: int, seed: int, positions: npt.NDArray[np.int64]
) -> Callable[[slice], Pixels]:
    """What makes a part of the pictures that a kind of a severity gives."""
    challenge = next(one for one in CHALLENGES if kind in [known.name for known in one.kinds])
    return lambda part: challenge.apply(images, kind, severity, seed, rows=positions[part])


def _reader(images: ImageSet) -> Callable[[slice], Pixels]:
    """What reads a part of the pictures of a set."""
    rows = images.rows
    return lambda part: np.array(images.images[part if rows is None else rows[part]])


def _hits(
    classify: Classify, jobs: Sequence[_Job], n_threads: int | None, progress: ProgressCallback | None
) -> list[npt.NDArray[np.bool_]]:
    """Which pictures of each job `classify` gets right: threads make the next blocks while this one scores."""
    total, done = sum(len(job.y) for job in jobs), 0
    threads = threads_for(n_threads)
    waiting: deque[tuple[_Job, slice, Future[Pixels]]] = deque()
    blocks = ((job, part) for job in jobs for part in job.parts())
    with ThreadPoolExecutor(threads, thread_name_prefix="linprobe-challenges") as pool:
        try:
            while True:
                # a few ahead of the scoring and no more: a slow classifier must not fill the memory
                while len(waiting) < 2 * threads and (block := next(blocks, None)) is not None:
                    waiting.append((*block, pool.submit(block[0].make, block[1])))
                if not waiting:
                    break
                job, part, made = waiting.popleft()
                pictures = made.result()
                labels = np.asarray(classify(pictures))
                if labels.shape != (len(pictures),):
                    raise ShapeError(
                        f"classify gave shape {labels.shape} for {len(pictures)} pictures; expected one class for each."
                    )
                job.hits[part] = labels == job.y[part]
                done += len(pictures)
                if progress is not None:
                    progress("pictures scored", done, total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [job.hits for job in jobs]
