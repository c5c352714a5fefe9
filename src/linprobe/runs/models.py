"""The model of a path, which is a model file or a run folder, and how its source was read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from linprobe.classifiers.model import LinearModel
from linprobe.data.base import ImageSet, LabelledSet
from linprobe.errors import ModelFileError, RunError, walled
from linprobe.runs.features import transformed
from linprobe.runs.folder import RunFolder
from linprobe.runs.json_numbers import Count, Seed, Share
from linprobe.shapes import Floats, Pixels
from linprobe.typed_json import MismatchError, dataclass_from

__all__ = [
    "Reading",
    "model_file_of",
    "picture_shape",
    "reading_of",
    "scores_of_pictures",
    "suited_to",
    "with_channels",
]

BLOCK = 256
"""Pictures whose channels are converted at a time, which bounds the temporary floats."""


@dataclass(frozen=True)
class Reading:
    """How the source of a training was read and split.

    Attributes:
        seed: of the splits.
        validation: share of the training images that was held out, 0..1.
        image_size: (height, width) that pictures were resized to; None if they were not.
        content: digest of the source, as `Contents.digest`; None where the model file does not say.
    """

    seed: Seed = 0
    validation: Share = 0.0
    image_size: tuple[Count, Count] | None = None
    content: str | None = None


def reading_of(classifier: LinearModel, path: Path) -> Reading:
    """How the training of `classifier` read its source; defaults where its file `path` does not say.

    Raises:
        ModelFileError: the file holds something else there.
    """
    try:
        return dataclass_from(Reading, dict(classifier.extra_))
    except MismatchError as error:
        raise ModelFileError(
            f"{path}: its entry 'extra', on how the source was read, cannot be used ({error}); train again."
        ) from error


def picture_shape(classifier: LinearModel) -> tuple[int, ...] | None:
    """(height, width, channels) of the pictures that the classifier takes; None if it takes vectors."""
    features = classifier.features_
    return classifier.image_shape_ if features is None else features.image_shape


def scores_of_pictures(classifier: LinearModel, images: Pixels, n_threads: int | None = None) -> Floats:
    """Scores (N, K) of pictures (N, height, width, channels) uint8, of the shape that `picture_shape` returns."""
    if classifier.features_ is None:
        return classifier.scores(images.reshape(len(images), -1))
    return classifier.scores(transformed(images, classifier.features_, n_threads))


def with_channels(pictures: Pixels, channels: int) -> Pixels:
    """Pictures (..., height, width, channels) as grey or RGB, whichever a model reads."""
    if pictures.shape[-1] == channels:
        return pictures
    if channels == 3:
        return np.repeat(pictures, 3, axis=-1)
    # The luma of ITU-R BT.601, as decoders turn colour into grey.
    luma: Pixels = np.rint(pictures @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]
    return luma


def suited_to(images: LabelledSet, shape: tuple[int, ...] | None) -> LabelledSet:
    """Pictures with the channels of `shape`, converted in memory where only these differ; other sets as they are."""
    if not isinstance(images, ImageSet) or shape is None:
        return images
    found = images.images.shape[1:]
    if found == shape or found[:2] != shape[:2] or {found[2], shape[2]} != {1, 3}:
        return images
    converted = np.empty((images.n_images, *shape), np.uint8)
    for start in range(0, images.n_images, BLOCK):
        rows = images.positions[start : start + BLOCK]
        converted[start : start + BLOCK] = with_channels(images.images[rows], shape[2])
    return replace(images, images=converted, rows=None)


def model_file_of(path: Path) -> Path:
    """The model file at `path`, or in the run folder `path`.

    Raises:
        RunError: `path` does not exist, or is a folder without a model.
    """
    with walled(RunError, path, "expected a run folder or a model file. Check the path."):  # a name that is too long
        if not path.is_dir():
            if not path.exists():
                raise RunError(f"{path}: no such run folder or model file; `linprobe train SOURCE` makes one.")
            return path
    model = RunFolder(path).model_path  # it holds all that a prediction needs: the other files are not read
    if not model.exists():
        resume = RunFolder.open(path).resume_command()
        raise RunError(f"{path}: this run has no model yet; finish it with `{resume}`.")
    return model
