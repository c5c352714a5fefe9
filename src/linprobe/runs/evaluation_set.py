"""The images of a source that a trained model is tested on: which split, and without those that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.data.base import Dataset, ImageSet, LabelledSet
from linprobe.data.names import seen_name
from linprobe.data.splits import lacking_note, origin_of, split_dataset
from linprobe.errors import SplitError
from linprobe.runs.contents import Digests, contents_of, digests_to_know, known_by
from linprobe.runs.models import Reading, picture_shape, suited_to

__all__ = ["EvaluationSet", "SplitName", "counted_again", "evaluation_set", "together"]

SplitName = Literal["train", "validation", "test", "all"]


@dataclass(frozen=True)
class EvaluationSet:
    """What a model is tested on.

    Attributes:
        split: the name of the split.
        origin: where the split comes from, in words.
        parts: the images; several sets for "all".
        n_left_out: images that were left out because the model was trained on them.
        n_trained_on: images among `parts` that the model was trained on; None where that is not known.
        n_chosen_on: others among `parts` that chose something of the model, such as reg; None where that is not known.
        n_skipped: pictures of the source that could not be read.
        own_source: whether it is the source of the training, known by its content.
        notes: sentences that a reader of the figures must know.
    """

    split: SplitName
    origin: str
    parts: tuple[LabelledSet, ...]
    n_left_out: int
    n_trained_on: int | None
    n_chosen_on: int | None
    notes: tuple[str, ...]
    n_skipped: int = 0
    own_source: bool = False


def evaluation_set(
    classifier: LinearModel,
    dataset: Dataset,
    trained_with: Reading,
    *,
    split: SplitName | None = None,
    seed: int | None = None,
    n_threads: int | None = None,
) -> EvaluationSet:
    """The images of `dataset` to test `classifier` on.

    The source of the training, known by its content, is split as it was then. Of any other source the test split is
    taken if it has one, else all of it, and images that the model was trained on are left out.

    Args:
        trained_with: how the model's training read its source.
        split: None for "test", and for "all" of another source that has no test split. "train" leaves nothing out.
        seed: of a test split that is drawn; None for that of the training.
    Raises:
        SplitError: the source has no such split, or no image is left.
    """
    same = trained_with.content is not None and contents_of(dataset, n_threads).digest == trained_with.content
    as_trained = same and seed in (None, trained_with.seed)
    draws = same or (seed is not None and dataset.test is None)
    if split is None:
        split = "test" if draws or dataset.test is not None else "all"
    parts, origin = _split(dataset, split, draws, trained_with, seed)
    shape = picture_shape(classifier)
    parts = [suited_to(part, shape) for part in parts]
    known, names = classifier.trained_on_, classifier.class_names_
    n_skipped, chosen = len(dataset.skipped), classifier.chosen_on_
    if known is None:
        written = trained_with.seed if "seed" in classifier.extra_ else None
        notes = (*_notes(dataset, parts, split, names), _unknown(dataset, split, draws, written))
        return EvaluationSet(split, origin, tuple(parts), 0, None, None, notes, n_skipped, same)
    counted = [_seen(part, known, chosen, n_threads) for part in parts]
    seen = [found for found, _ in counted]
    n_seen = int(sum(found.sum() for found in seen))
    n_chosen = None if chosen is None else sum(n for _, n in counted)
    if as_trained or split == "train":
        notes = _notes(dataset, parts, split, names)
        return EvaluationSet(split, origin, tuple(parts), 0, n_seen, n_chosen, notes, n_skipped, same)
    kept = [part.subset(np.flatnonzero(~found)) for part, found in zip(parts, seen, strict=True) if not found.all()]
    if not kept:
        raise SplitError(
            f"{dataset.source}: the model was trained on all {n_seen} images of {split}; give images that it has not "
            "seen, or --split train for its accuracy on those."
        )
    notes = _notes(dataset, kept, split, names)
    return EvaluationSet(split, origin, tuple(kept), n_seen, 0, n_chosen, notes, n_skipped, same)


def counted_again(
    tested: EvaluationSet,
    images: LabelledSet,
    trained_on: Digests,
    chosen_on: Digests | None,
    n_threads: int | None = None,
) -> EvaluationSet:
    """`tested` with the counts of those of its images that are left after a limit.

    Args:
        images: these.
        trained_on, chosen_on: digests of the images that the model knows; None where they are not known.
        n_threads: threads that read; None for one per core.
    """
    seen, n_chosen = _seen(images, trained_on, chosen_on, n_threads)
    return replace(tested, n_trained_on=int(seen.sum()), n_chosen_on=None if chosen_on is None else n_chosen)


def together(parts: Sequence[ImageSet]) -> ImageSet:
    """All pictures of some sets as one, copied where there are several."""
    if len(parts) == 1:
        return parts[0]
    pictures = np.concatenate([part.images[part.positions] for part in parts])
    return replace(parts[0], images=pictures, y=np.concatenate([part.y for part in parts]), rows=None, names=None)


def _seen(
    images: LabelledSet, trained_on: Digests, chosen_on: Digests | None, n_threads: int | None
) -> tuple[npt.NDArray[np.bool_], int]:
    """((N,) whether each image was trained on, how many of the others chose something)."""
    digests = digests_to_know(images, n_threads)
    seen = known_by(digests, trained_on)
    return seen, 0 if chosen_on is None else int((known_by(digests, chosen_on) & ~seen).sum())


def _unknown(dataset: Dataset, split: SplitName, draws: bool, seed: int | None) -> str:
    """The note on a model whose file does not say which images it was trained on, and what to do.

    Args:
        draws: whether the split was drawn as the training may have drawn it.
        seed: that of the training, where a run of an earlier version wrote it down; None where nothing did.
    """
    earlier = "" if seed is None else " (it is of an earlier version)"
    found = f"the model file does not say which images the model was trained on{earlier}"
    if split == "train":
        return f"{found}: these may be others. Train again to have that checked."
    if draws:
        return f"{found}: this split is right only if the source is that of the training, unchanged."
    if seed is not None and dataset.test is None:
        return (
            f"{found}, so none was left out. If this is the source of the training, add --seed {seed} to test on what "
            "it held out; else train again."
        )
    return (
        f"{found}, so none was left out, and any among these makes the figures too good. Give images that it has not "
        "seen, or train again."
    )


def _split(
    dataset: Dataset, split: SplitName, draws: bool, trained_with: Reading, seed: int | None
) -> tuple[list[LabelledSet], str]:
    """(the sets of a split, where it comes from).

    Args:
        draws: whether parts that the source lacks are drawn, as the training drew them.
    Raises:
        SplitError: the source has no such split.
    """
    if split == "all":
        sets = (dataset.train, dataset.validation, dataset.test)
        return [part for part in sets if part is not None and part.n_images], "the whole source"
    cut, seed = dataset, trained_with.seed if seed is None else seed
    if draws:
        cut = split_dataset(dataset, validation=trained_with.validation, seed=seed)
    part: LabelledSet | None = getattr(cut, split)
    if part is None or not part.n_images:
        there = [name for name in ("train", "validation", "test") if (own := getattr(dataset, name)) and own.n_images]
        raise SplitError(
            f"{dataset.source}: has no {split} split, only {' and '.join(there)}, {_why_not_drawn(trained_with, split)}"
        )
    return [part], origin_of(dataset, split, part, seed)


def _why_not_drawn(trained_with: Reading, split: SplitName) -> str:
    """Why a split that the source lacks was not drawn, and what to do."""
    if trained_with.content is None and split == "test":
        return (
            "and it is not known whether this is the source of the training; "
            f"add --seed {trained_with.seed} to draw the split as the training did, or choose --split all."
        )
    return "and the training held out none; choose --split all."


def _notes(
    dataset: Dataset, parts: list[LabelledSet], split: SplitName, class_names: tuple[str, ...]
) -> tuple[str, ...]:
    """What the reader has to say, and the classes of the model that have no image."""
    present = {seen_name(part.class_names[label]) for part in parts for label in np.unique(part.y).tolist()}
    lacking = lacking_note([name for name in class_names if seen_name(name) not in present], len(class_names), split)
    return dataset.notes if lacking is None else (*dataset.notes, lacking)
