"""Embeddings of any network: an ONNX model, run by onnxruntime, whose metadata defines its input."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from linprobe.errors import FormatError, IncompatibleError, ParameterError, ShapeError, SourceError
from linprobe.extras import install_command
from linprobe.features.base import FeatureMap, Supervision
from linprobe.files import read_regular
from linprobe.parameters import Parameter
from linprobe.shapes import Pixels

__all__ = ["OnnxMap"]

BATCH = 32
"""Pictures per run of a model with a free batch size; fewer where they would have more than MOST_PIXELS."""

MOST_PIXELS = 2**23
"""Pixels of the input of one run at most: 32 pictures of 512 x 512, or one of 2,896 x 2,896. As float32 in three
channels they take 100 MB. A file may declare any size in a few bytes."""

DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
"""Dtypes of a model's input, by their names in onnxruntime."""

LARGEST = float(np.finfo(np.float32).max)
"""Absolute value of a number in the metadata, at most: they are computed with as float32."""

KEYS = ("layout", "size", "scale", "mean", "std")
"""Keys of the metadata that are read, with the prefix `linprobe.`."""


@final
@dataclass
class OnnxMap(FeatureMap):
    """The output of an ONNX network for each picture, D = its numbers, flattened.

    The model has one input, 4 axes of float32, float16 or uint8: (N, channels, height, width) or (N, height, width,
    channels), of 1 or 3 channels. Each picture is resized to the height and width of the input as a whole (bilinear,
    Pillow), converted to grey or to three equal channels if the channels differ, and becomes (x scale - mean) / std.
    The `metadata_props` of the model may contain these texts:

    - linprobe.layout: NCHW or NHWC. Default: by the axis of length 1 or 3, and NCHW if both are.
    - linprobe.size: height and width, "224x224", or one number. Default: those of the input, or of the pictures.
    - linprobe.scale: one number. Default: 1/255.
    - linprobe.mean: one number, or one per channel, "0.485, 0.456, 0.406", after the scaling. Default: 0.
    - linprobe.std: likewise. Default: 1.

    A uint8 input gets the pixels unchanged, without scale, mean and std.

    The map stores the bytes of the model, so a model file does not need the ONNX file. They run on the CPU with the
    operators of onnxruntime only. A model with weights in other files raises an error before these are read. Each call
    of `transform` uses one thread, and several calls may run at once.

    Args:
        file: the ONNX file, read by `fit`.
        output: name of the output; None for the first.
    Attributes:
        model: the bytes of the file, (n_bytes,) uint8; None before `fit`.
    Source:
        https://onnx.ai/onnx/repo-docs/IR.html, "Model" and "Optional Metadata".
    """

    file: str
    output: str | None = None
    model: npt.NDArray[np.uint8] | None = field(default=None, init=False, repr=False, compare=False)
    _network: _Network | None = field(default=None, init=False, repr=False, compare=False)

    name = "onnx"
    title = "network"
    meaning = "the outputs of a network in an ONNX file"
    parameter_info = (Parameter("file", None, "path of the ONNX file", "text"),)
    LEARNT = ("model",)

    def __post_init__(self) -> None:
        self.file = str(self.file)

    @property
    def n_features(self) -> int:
        """D, once fitted."""
        return self._opened().n_features

    def fit(self, images: Pixels, seed: int = 0, supervision: Supervision | None = None) -> Self:
        """The map itself, with the bytes of `file`.

        Raises:
            SourceError: there is no such file, or it cannot be read.
            FormatError: it is no ONNX model, or not of pictures.
            IncompatibleError: onnxruntime is not installed.
            ShapeError, ParameterError: as for every map.
        """
        return super().fit(images, seed, supervision)

    def _fit(self, images: Pixels, seed: int) -> None:
        try:
            found = read_regular(Path(self.file).expanduser())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SourceError(f"onnx: {self.file!r} cannot be read ({reason}); check the path.") from error
        self.model, self._network = np.frombuffer(found, dtype=np.uint8), None
        self._opened()

    def _transform(self, images: Pixels) -> npt.NDArray[np.float32]:
        return self._opened()(images)

    def _opened(self) -> _Network:
        """The network, opened on first use: a restored map may not need it."""
        shape = self.fitted_shape
        if self._network is None:
            if self.model is None:
                raise ParameterError("this OnnxMap holds no model; call fit(images) first.")
            self._network = _Network(self.model.tobytes(), self.file, self.output, shape)
        return self._network

    def __getstate__(self) -> dict[str, object]:
        """Without the opened network, which cannot be copied; it is opened again from the bytes."""
        return {**self.__dict__, "_network": None}


class _Network:
    """An open ONNX model and the preparation of its input; may be called from several threads.

    Args:
        model: the bytes of the file.
        file: its name, for messages.
        output: name of the output, None for the first.
        image_shape: (height, width, channels) of the pictures.
    """

    def __init__(self, model: bytes, file: str, output: str | None, image_shape: tuple[int, int, int]) -> None:
        self.file = file
        self.session = self._open(model)
        inputs, outputs, metadata = self._described()
        self._read_input(inputs, metadata, image_shape)
        if not outputs:
            raise self._wrong("it has no output; expected one, a row for each picture")
        self.output = outputs[0] if output is None else output
        if self.output not in outputs:
            raise ParameterError(f"onnx: {file} has no output {output!r}; it has {', '.join(outputs)}.")
        self.n_features = 0
        self.n_features = self(np.zeros((1, *image_shape), dtype=np.uint8)).shape[1]

    def _described(self) -> tuple[list[tuple[str, str, list[int | str | None]]], list[str], dict[str, str]]:
        """(name, type, shape) of each input, the names of the outputs, and the metadata."""
        try:
            inputs = [(entry.name, entry.type, entry.shape) for entry in self.session.get_inputs()]
            outputs = [entry.name for entry in self.session.get_outputs()]
            return inputs, outputs, self.session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise self._wrong("a name or a text in it is not UTF-8") from error
        except Exception as error:  # onnxruntime's own classes, all directly below Exception
            raise self._wrong(f"onnxruntime cannot tell its inputs and outputs: {_one_line(error)}") from error

    def _read_input(
        self,
        inputs: list[tuple[str, str, list[int | str | None]]],
        metadata: dict[str, str],
        image_shape: tuple[int, int, int],
    ) -> None:
        """Set the name and dtype of the input, and how pictures become it."""
        if len(inputs) != 1:
            names = ", ".join(name for name, _, _ in inputs[:5]) or "none"
            raise self._wrong(f"it has {len(inputs)} inputs ({names}); expected one, for the pictures")
        name, kind, shape = inputs[0]
        if kind not in DTYPES or len(shape) != 4:
            raise self._wrong(
                f"its input {name} is {kind} of shape {_text(shape)}; expected pictures, "
                "(N, channels, height, width) or (N, height, width, channels) of float or uint8"
            )
        self.input, self.dtype = name, DTYPES[kind]
        self.batch = shape[0] if isinstance(shape[0], int) else None
        self._read_metadata(shape, metadata, image_shape)

    def __call__(self, images: Pixels) -> npt.NDArray[np.float32]:
        """(N, D) float32 of pictures (N, height, width, channels) uint8."""
        size = self.batch or max(1, min(BATCH, MOST_PIXELS // math.prod(self.size)))
        rows = np.empty((len(images), self.n_features), dtype=np.float32)
        for start in range(0, len(images), size):
            part = self._prepared(images[start : start + size])
            n_images = len(part)
            if self.batch and n_images < self.batch:  # a model of a fixed number of pictures: fill up, leave out
                part = np.concatenate([part, np.repeat(part[-1:], self.batch - n_images, axis=0)])
            found = self._run(part)[:n_images]
            if not self.n_features:  # the first run, which finds it out
                return found
            if found.shape[1] != self.n_features:
                raise self._wrong(f"its output has {found.shape[1]} numbers per picture here and had {self.n_features}")
            rows[start : start + n_images] = found
        return rows

    def _run(self, part: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """(N, D) float32: the output for prepared pictures."""
        try:
            found = np.asarray(self.session.run([self.output], {self.input: part})[0])
        except Exception as error:  # onnxruntime's own classes, all directly below Exception
            raise self._wrong(f"onnxruntime could not run it: {_one_line(error)}") from error
        if found.ndim == 0 or len(found) != len(part) or not np.issubdtype(found.dtype, np.floating):
            raise self._wrong(
                f"its output {self.output} is {found.dtype} of shape {_text(found.shape)} for {len(part)} pictures; "
                "expected float numbers, a row for each picture"
            )
        return found.reshape(len(part), -1).astype(np.float32)

    def _prepared(self, images: Pixels) -> npt.NDArray[Any]:
        """The input of the model for pictures (N, height, width, channels) uint8."""
        from PIL import Image

        n_images, height, width, channels = images.shape
        if channels == 1 and self.channels == 3:
            images = np.repeat(images, 3, axis=3)
        if (height, width) != self.size or (channels == 3 and self.channels == 1):
            resized = np.empty((n_images, *self.size, self.channels), dtype=np.uint8)
            for i, pixels in enumerate(images):
                picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
                picture = picture.convert("RGB" if self.channels == 3 else "L")
                small = picture.resize(self.size[::-1], Image.Resampling.BILINEAR)
                resized[i] = np.asarray(small).reshape(*self.size, self.channels)
            images = resized
        wanted: npt.NDArray[Any] = images
        if self.dtype != np.uint8:
            wanted = images * self.scale
            wanted -= self.mean
            wanted /= self.std
            wanted = wanted.astype(self.dtype, copy=False)
        return np.ascontiguousarray(wanted if self.channels_last else np.moveaxis(wanted, 3, 1))

    def _open(self, model: bytes) -> Any:
        """An onnxruntime session of `model`, once nothing in it points to another file."""
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise IncompatibleError(
                f"{self.file}: ONNX models need onnx and onnxruntime, which are not installed; "
                f"install them with: {install_command('onnx')}."
            ) from error
        try:
            parsed = onnx.load_model_from_string(model)
        except Exception as error:  # protobuf's, which has a class for each of its implementations
            raise FormatError(f"onnx: {self.file} is not an ONNX model: {_one_line(error)}.") from error
        for tensor in _messages(parsed, onnx.TensorProto):
            # onnxruntime would read any path given there
            if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise self._wrong(
                    f"its tensor {tensor.name} lies in another file; save the model with its weights inside "
                    "(onnx.save_model with save_as_external_data=False)"
                )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the callers are threads themselves
        options.log_severity_level = 4  # errors are raised with a message of one line
        try:
            return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise self._wrong(f"onnxruntime could not open it: {_one_line(error)}") from error

    def _read_metadata(
        self, shape: list[int | str | None], properties: dict[str, str], image_shape: tuple[int, int, int]
    ) -> None:
        """Set layout, channels, size and scaling from the metadata, else from the input's shape, else from pictures."""
        given = {key: properties["linprobe." + key] for key in KEYS if "linprobe." + key in properties}
        layout = given.get("layout", "NHWC" if shape[1] not in (1, 3) and shape[3] in (1, 3) else "NCHW").upper()
        if layout not in ("NCHW", "NHWC"):
            raise self._wrong(f"its metadata has linprobe.layout = {layout!r}; expected NCHW or NHWC")
        self.channels_last = layout == "NHWC"
        channels, *sides = [shape[3], *shape[1:3]] if self.channels_last else shape[1:]
        if image_shape[2] not in (1, 3):
            raise ShapeError(f"onnx: the pictures have {image_shape[2]} channels; expected 3 (red, green, blue) or 1.")
        self.channels = channels if isinstance(channels, int) else image_shape[2]
        if self.channels not in (1, 3):
            raise self._wrong(
                f"its input {self.input} is {_text(shape)} ({layout}), {channels} channels; expected 1 or 3"
            )
        size = [side if isinstance(side, int) else own for side, own in zip(sides, image_shape, strict=False)]
        self.size = self._read_size(given["size"], sides, shape) if "size" in given else (size[0], size[1])
        n_pixels = math.prod(self.size) * (self.batch or 1)
        if not 0 < n_pixels <= MOST_PIXELS:
            raise self._wrong(
                f"its input is {self.batch or 1} x {self.size[0]} x {self.size[1]} = {n_pixels:,} pixels in one run; "
                f"expected 1..{MOST_PIXELS:,}: save it with a free number of pictures, or for smaller ones"
            )
        self._read_scaling(given)

    def _read_size(self, text: str, sides: list[int | str | None], shape: list[int | str | None]) -> tuple[int, int]:
        """(height, width) of the metadata `linprobe.size`, which the fixed `sides` of the input must equal."""
        found = self._numbers("size", text, 2)
        if any(not 1 <= side <= 65535 or side != int(side) for side in found):
            raise self._wrong(f"its metadata has linprobe.size = {text!r}; expected whole numbers 1..65535")
        height, width = (int(side) for side in found)
        if any(isinstance(side, int) and side != own for side, own in zip(sides, (height, width), strict=True)):
            raise self._wrong(f"its metadata has linprobe.size = {text!r}, its input is {_text(shape)}")
        return height, width

    def _read_scaling(self, given: dict[str, str]) -> None:
        """Set scale, mean and std from the metadata, or to their defaults."""
        scaling = [key for key in ("scale", "mean", "std") if key in given]
        if scaling and self.dtype == np.uint8:
            raise self._wrong(
                f"its metadata has linprobe.{scaling[0]}, but its input is uint8, which takes plain pixels"
            )
        self.scale = self._numbers("scale", given["scale"], 1) if "scale" in given else np.float32(1 / 255)
        self.mean = self._numbers("mean", given.get("mean", "0"), self.channels)
        self.std = self._numbers("std", given.get("std", "1"), self.channels)
        if not (self.std > 0).all():
            raise self._wrong(f"its metadata has linprobe.std = {given['std']!r}; expected numbers > 0")

    def _numbers(self, key: str, text: str, n_numbers: int) -> npt.NDArray[np.float32]:
        """(n_numbers,) float32 of the metadata `key`: as many, or one for all."""
        try:
            found = [float(number) for number in re.split(r"[\s,x×\[\]()]+", text.strip(" []()"))]
        except ValueError:
            found = []
        if len(found) not in (1, n_numbers) or not all(abs(number) <= LARGEST for number in found):
            count = "one number" if n_numbers == 1 else f"one number or {n_numbers}"
            raise self._wrong(f"its metadata has linprobe.{key} = {text!r}; expected {count}, as 0.5 or 0.5, 0.5")
        return np.broadcast_to(np.array(found, dtype=np.float32), (n_numbers,))

    def _wrong(self, what: str) -> FormatError:
        return FormatError(f"onnx: {self.file} cannot be used: {what}.")


def _messages(message: Any, kind: type) -> Iterator[Any]:
    """Every protobuf message of class `kind` in `message`, at any depth: subgraphs and functions too."""
    if isinstance(message, kind):
        yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for part in value if hasattr(value, "__len__") else (value,):
                yield from _messages(part, kind)


def _text(shape: Any) -> str:
    """A shape with the names of its free axes: (N, 3, 32, 32)."""
    return "(" + ", ".join("?" if side is None else str(side) for side in shape) + ")"


def _one_line(error: Exception) -> str:
    """The first line of a message, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
