"""The predicted classes of single pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linprobe.classifiers.model_file import read_model
from linprobe.data.decode import BrokenImage, decode, read_file
from linprobe.errors import ImageError, IncompatibleError
from linprobe.runs.models import model_file_of, picture_shape, reading_of, scores_of_pictures, with_channels
from linprobe.shapes import Floats, Pixels

__all__ = ["Prediction", "predict_pictures", "read_pictures"]


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


def predict_pictures(
    model: Path, images: Sequence[Path], *, image_size: tuple[int, int] | None = None
) -> list[Prediction]:
    """The predictions of the model of a run folder or model file, in the order of the pictures.

    Args:
        model: a run folder, or a model file.
        images: picture files.
        image_size: (height, width) to resize to; None for that of the training, which may be no resizing at all.
    Raises:
        ModelFileError, RunError: the model cannot be read.
        IncompatibleError: the model was not trained on pictures, or a picture has another size.
        ImageError: files that are missing or no pictures; all of them are named.
    """
    classifier = read_model(model_file_of(model))
    shape = picture_shape(classifier)
    if shape is None:
        raise IncompatibleError(
            f"{model}: this model was trained on vectors of {classifier.weights_.shape[1]} numbers, not on pictures. "
            "Use `linprobe evaluate` for labelled vectors, and load_model and predict in Python for others."
        )
    if image_size is None:
        image_size = reading_of(classifier, model).image_size
    scores = scores_of_pictures(classifier, read_pictures(images, shape, image_size))
    loss = classifier.loss_
    probabilities = loss.probabilities(scores) if loss.gives_probabilities else None
    return [
        Prediction(image, classifier.class_names_, scores[i], None if probabilities is None else probabilities[i])
        for i, image in enumerate(images)
    ]


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
    pixels, broken = [], []
    for image in images:
        try:
            pixels.append(with_channels(decode(read_file(image), image_size), shape[2]))
        except BrokenImage as error:
            broken.append(f"{image} ({error})")
    if broken:
        raise ImageError(
            f"{len(broken)} of {len(images)} files cannot be read as pictures: {'; '.join(broken)}; "
            "correct their paths, or leave them out."
        )
    for image, picture in zip(images, pixels, strict=True):
        if picture.shape != tuple(shape):
            raise IncompatibleError(
                f"{image}: has {_text(picture.shape[:2])} pixels, but the model was trained on {_text(shape[:2])}; "
                f"resize it with --image-size {_text(shape[:2])}."
            )
    return np.stack(pixels)


def _text(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
