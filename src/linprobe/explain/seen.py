"""The input of a linear model for an image: the row that W multiplies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.errors import IncompatibleError, ParameterError, ShapeError
from linprobe.plain import few

__all__ = ["check_finite_numbers", "checked_names", "checked_weights", "class_position", "raw_row", "seen", "seen_rows"]


def check_finite_numbers(name: str, numbers: npt.NDArray[Any]) -> None:
    """Raise ParameterError where `numbers` hold a NaN or an infinity; the message gives the first position."""
    finite = np.isfinite(numbers)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ParameterError(
            f"{name}[{', '.join(map(str, place))}] = {numbers[place]}; expected finite numbers, without NaN."
        )


def checked_weights(model: LinearModel) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(W (K, D), b (K,)) of a trained model.

    Raises:
        ParameterError: the model is not trained, or holds NaN or infinity.
    """
    if not hasattr(model, "weights_"):
        raise ParameterError(f"this {type(model).__name__} is not trained; call fit, or read a model file, first.")
    check_finite_numbers("W", model.weights_)
    check_finite_numbers("b", model.bias_)
    return model.weights_, model.bias_


def checked_names(model: LinearModel, class_names: Sequence[object] | None) -> tuple[object, ...]:
    """`class_names`, or the model's own for None.

    Raises:
        ParameterError: there are not as many as classes.
    """
    names = model.class_names_ if class_names is None else tuple(class_names)
    if len(names) != len(model.weights_):
        raise ParameterError(
            f"class_names has {len(names)} names; expected {len(model.weights_)}, one for each class of the model."
        )
    return names


def class_position(model: LinearModel, wanted: int | str) -> int:
    """The position of a class that is given by its name or by its position.

    Raises:
        ParameterError: there is no such class.
    """
    names = model.class_names_
    position = names.index(wanted) if wanted in names else wanted
    if not isinstance(position, int | np.integer) or isinstance(position, bool) or not 0 <= position < len(names):
        raise ParameterError(f"class {wanted!r}: expected a position in 0..{len(names) - 1}, or one of {few(names)}.")
    return int(position)


def raw_row(model: LinearModel, image: npt.ArrayLike) -> npt.NDArray[Any]:
    """(D,) numbers of an image before the model's scaling: its intensities row by row, or its features.

    Args:
        image: (height, width, channels), or (height, width) for grey, or (D,), the numbers that the model reads.
    Raises:
        IncompatibleError: it has another shape than the images of the training.
        ParameterError: it holds NaN or infinity.
    """
    pixels = np.asarray(image)
    if not np.issubdtype(pixels.dtype, np.number):
        raise ShapeError(f"image has dtype {pixels.dtype}; expected numbers.")
    check_finite_numbers("image", pixels)
    expected = model.image_shape_ if model.features_ is None else model.features_.image_shape
    given = (*pixels.shape, 1) if pixels.ndim == 2 else pixels.shape
    n_features = model.weights_.shape[1]
    if pixels.ndim > 1 and expected is not None and given != tuple(expected):
        raise IncompatibleError(
            f"image has shape {pixels.shape}, but the model was trained on images of {_text(expected)}; "
            f"resize it to {_text(expected[:2])}."
        )
    if model.features_ is not None and pixels.ndim > 1:
        # float16, as a run stores the features, so that the scores equal those of the run
        row: npt.NDArray[Any] = model.features_.transform(pixels.reshape(1, *given))[0].astype(np.float16)
        return row
    if pixels.size != n_features:
        raise IncompatibleError(
            f"image has shape {pixels.shape}, {pixels.size} numbers, but the model reads {n_features}."
        )
    return pixels.ravel()


def seen(model: LinearModel, image: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """x' (D,) such that the scores of `image` are W x' + b, with W = `weights_` and b = `bias_`.

    Args, Raises: as for `raw_row`.
    """
    row = raw_row(model, image).astype(np.float64)
    return row if model.affine_ is None else model.affine_.apply(row[None])[0]


def seen_rows(model: LinearModel, images: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n, D) x' of the images at these positions; images (N, ...) each as for `raw_row`."""
    raw = np.empty((len(rows), model.weights_.shape[1]))
    if model.features_ is not None and images.ndim > 2:
        for start in range(0, len(rows), 256):
            block = images[rows[start : start + 256]]
            raw[start : start + 256] = model.features_.transform(block).astype(np.float16)
    else:
        for i, row in enumerate(rows):
            raw[i] = raw_row(model, images[row])
    return raw if model.affine_ is None else model.affine_.apply(raw).astype(np.float64, copy=False)


def _text(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
