"""The predicted classes of single pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import read_model
from linprobe.cores import threads_for
from linprobe.data.base import ProgressCallback, SkippedImage
from linprobe.data.decode import BrokenImage, Depth, decode, decode_with_depth, read_file
from linprobe.data.folder import pictures_below
from linprobe.errors import ImageError, IncompatibleError, ParameterError, SourceError
from linprobe.plain import few
from linprobe.runs.folder import write_atomically
from linprobe.runs.models import model_file_of, picture_shape, reading_of, scores_of_pictures, with_channels
from linprobe.shapes import Floats, Pixels

__all__ = [
    "Prediction",
    "Predictions",
    "check_table_name",
    "pictures_in",
    "predict_pictures",
    "read_pictures",
    "write_predictions",
]


@dataclass(frozen=True)
class Prediction:
    """The prediction for one picture.

    Attributes:
        image: its file.
        class_names: names of the K classes.
        scores: (K,) s = Wx + b.
        probabilities: (K,), or None for a loss that gives none.
    """

    image: Path
    class_names: tuple[str, ...]
    scores: Floats
    probabilities: Floats | None

    @property
    def figures(self) -> Floats:
        """The probabilities where there are any, else the scores."""
        return self.scores if self.probabilities is None else self.probabilities

    def best(self, n: int) -> list[tuple[str, float]]:
        """Name and figure of the `n` highest classes, the highest first; on ties, the one named first."""
        order = np.argsort(-self.scores, kind="stable")[:n]
        return [(self.class_names[k], float(self.figures[k])) for k in order]

    def as_dict(self, n: int) -> dict[str, object]:
        """For JSON: the class, all scores by name, and the `n` best."""
        kind = "score" if self.probabilities is None else "probability"
        return {
            "image": str(self.image),
            "class": self.best(1)[0][0],
            "best": [{"class": name, kind: figure} for name, figure in self.best(n)],
            "scores": dict(zip(self.class_names, self.scores.tolist(), strict=True)),
        }


@dataclass(frozen=True)
class Predictions:
    """The predictions for many pictures.

    Attributes:
        predictions: in the order of the pictures, without those that were left out.
        skipped: pictures that were left out, and the reasons.
        notes: sentences that a reader must know.
    """

    predictions: tuple[Prediction, ...]
    skipped: tuple[SkippedImage, ...] = ()
    notes: tuple[str, ...] = ()


BLOCK = 512
"""Pictures that are decoded and classified at a time, which bounds the memory: 8 MB of 75x75 colour pixels."""


def pictures_in(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and for each folder the pictures below it, sorted.

    Raises:
        SourceError: a folder holds no picture, or cannot be listed.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = pictures_below(path)
        if not inside:
            raise SourceError(f"{path}: this folder holds no picture, nor do those below it; give picture files.")
        found += inside
    return found


def predict_pictures(
    model: Path,
    images: Sequence[Path],
    *,
    image_size: tuple[int, int] | None = None,
    on_bad_image: Literal["fail", "skip"] = "fail",
    n_threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> Predictions:
    """The predictions of the model of a run folder or model file.

    Args:
        model: a run folder, or a model file.
        images: picture files.
        image_size: (height, width) to resize to; None for that of the training, which may be no resizing at all.
        on_bad_image: "fail" refuses all if a picture cannot be used; "skip" leaves it out and goes on.
        n_threads: threads that decode and compute; None for one per core.
        progress: called with the number of pictures that are done.
    Raises:
        ModelFileError, RunError: the model cannot be read.
        IncompatibleError: the model was not trained on pictures, or a picture has another size.
        ImageError: files that are missing or no pictures; all of them are named. With "skip": no picture remains.
    """
    classifier = read_model(model_file_of(model))
    shape = picture_shape(classifier)
    if shape is None:
        raise IncompatibleError(
            f"{model}: this model was trained on vectors of {classifier.weights_.shape[1]} numbers, not on pictures. "
            "Use `linprobe evaluate` for labelled vectors, and load_model and predict in Python for others."
        )
    size = reading_of(classifier, model).image_size if image_size is None else image_size
    found: list[Prediction] = []
    broken: dict[Path, str] = {}
    other_size: dict[Path, str] = {}
    depth = Depth()
    with ThreadPoolExecutor(threads_for(n_threads)) as workers:
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            pixels, kept = [], []
            for image, picture in zip(block, workers.map(lambda image: _decoded(image, size), block), strict=True):
                if isinstance(picture, str):
                    broken[image] = picture
                    continue
                depth = depth.with_also(picture[1])
                fitting = with_channels(picture[0], shape[2])
                if fitting.shape == shape:
                    pixels.append(fitting)
                    kept.append(image)
                else:
                    other_size[image] = _other_size(fitting, shape)
            if pixels:
                found += _predicted(classifier, kept, np.stack(pixels), n_threads)
            if progress is not None:
                progress("classifying pictures", min(start + BLOCK, len(images)), len(images))
    _check_left_out(images, broken, other_size, on_bad_image == "skip" and bool(found))
    left_out = {**broken, **other_size}
    skipped = tuple(SkippedImage(str(image), left_out[image]) for image in images if image in left_out)
    return Predictions(tuple(found), skipped, (*_skipped_notes(skipped, len(images)), *depth.notes))


def _decoded(image: Path, size: tuple[int, int] | None) -> tuple[Pixels, Depth] | str:
    """Pixels and depth of a file, or why it cannot be read."""
    try:
        return decode_with_depth(read_file(image), size)
    except BrokenImage as error:
        return str(error)


def _predicted(
    classifier: LinearModel, images: Sequence[Path], pixels: Pixels, n_threads: int | None
) -> list[Prediction]:
    """The predictions for a block of pictures."""
    scores, loss = scores_of_pictures(classifier, pixels, n_threads), classifier.loss_
    probabilities = loss.probabilities(scores) if loss.gives_probabilities else None
    return [
        Prediction(image, classifier.class_names_, scores[i], None if probabilities is None else probabilities[i])
        for i, image in enumerate(images)
    ]


def _check_left_out(
    images: Sequence[Path], broken: Mapping[Path, str], other_size: Mapping[Path, str], skip: bool
) -> None:
    """Raise the error about pictures that cannot be used, unless they are skipped."""
    if skip:
        return
    if broken:
        raise ImageError(_broken_message(broken, len(images)))
    for image, reason in other_size.items():
        raise IncompatibleError(f"{image}: {reason}.")


def _skipped_notes(skipped: Sequence[SkippedImage], n_images: int) -> tuple[str, ...]:
    """A sentence that names the pictures that were left out, a few of them."""
    if not skipped:
        return ()
    named = few([f"{one.name} ({one.reason})" for one in skipped], separator="; ")
    return (f"{len(skipped)} of {n_images} pictures were left out: {named}",)


def write_predictions(path: Path, found: Predictions) -> None:
    """Write the predictions as CSV, a row per picture with a column per class, or as JSON lines.

    Args:
        path: ends in .csv or .jsonl.
        found: the predictions.
    Raises:
        ParameterError: `path` has another ending.
        RunError: the file cannot be written.
    """
    check_table_name(path)
    out = io.StringIO()
    if path.suffix.lower() == ".csv":
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["image", "class", *found.predictions[0].class_names])
        for one in found.predictions:
            table.writerow([one.image, one.best(1)[0][0], *one.figures.tolist()])
    else:
        for one in found.predictions:
            out.write(json.dumps(one.as_dict(len(one.class_names)), allow_nan=False) + "\n")
    write_atomically(path, out.getvalue().encode("utf-8", "backslashreplace"))


def check_table_name(path: Path) -> None:
    """Raise ParameterError unless the name says how predictions are to be written."""
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise ParameterError(f"{path}: predictions are written to FILE.csv or FILE.jsonl; choose one of these endings.")


def read_pictures(images: Sequence[Path], shape: tuple[int, ...], image_size: tuple[int, int] | None) -> Pixels:
    """Pictures (n, height, width, channels) uint8 of files, with as many channels as `shape` has.

    Args:
        images: the files.
        shape: (height, width, channels) of the pictures of the training.
        image_size: (height, width) to resize to, or None.
    Raises:
        ImageError: files that are missing or no pictures; all of them are named.
        IncompatibleError: a picture has another size than those of the training.
    """
    pixels: list[Pixels] = []
    broken: dict[Path, str] = {}
    for image in images:
        try:
            pixels.append(with_channels(decode(read_file(image), image_size), shape[2]))
        except BrokenImage as error:
            broken[image] = str(error)
    if broken:
        raise ImageError(_broken_message(broken, len(images)))
    for image, picture in zip(images, pixels, strict=True):
        if picture.shape != tuple(shape):
            raise IncompatibleError(f"{image}: {_other_size(picture, shape)}.")
    return np.stack(pixels)


def _broken_message(broken: Mapping[Path, str], n_images: int) -> str:
    named = few([f"{image} ({reason})" for image, reason in broken.items()], separator="; ")
    return (
        f"{len(broken)} of {n_images} files cannot be read as pictures: {named}; "
        "correct their paths, or leave them out."
    )


def _other_size(picture: Pixels, shape: tuple[int, ...]) -> str:
    return (
        f"has {_text(picture.shape[:2])} pixels, but the model was trained on {_text(shape[:2])}; "
        f"resize it with --image-size {_text(shape[:2])}"
    )


def _text(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
