"""What a run learns from: the source, read, split once, and turned into features."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_record import model_of
from linprobe.data.base import Dataset, LabelledSet, ProgressCallback, ReadOptions, open_dataset
from linprobe.data.splits import Split, train_validation_test
from linprobe.errors import IncompatibleError, ParameterError, RunError
from linprobe.features.base import FeatureMap
from linprobe.plain import few
from linprobe.runs.contents import Contents, contents_of
from linprobe.runs.features import map_dataset, requested
from linprobe.runs.folder import RunFolder
from linprobe.runs.records import RunSettings, SweepSettings, TrainSettings

__all__ = [
    "Material",
    "Prepared",
    "absolute_source",
    "prepare",
    "prepare_again",
    "read_source",
    "split_like",
    "unfinished_settings",
]

NAMES = {"train": "run", "sweep": "sweep"}
"""What messages call a run, by the kind of its request."""


class SourceSettings(Protocol):
    """What settings say of the source and how it is read."""

    @property
    def source(self) -> str: ...
    @property
    def image_size(self) -> tuple[int, int] | None: ...
    @property
    def on_bad_image(self) -> Literal["fail", "skip"]: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class Material:
    """What a run learns from: pictures, given vectors, or features of pictures.

    Attributes:
        as_read: the dataset as it was read.
        dataset: the dataset as the classifier reads it; `as_read` itself without features.
        split_as_read: its parts to train on, to choose by and to test on.
        split: the same images in the same parts, as the classifier reads them.
        features: the fitted feature map; None without features.
        contents: digests of the images as they were read.
        seconds: to compute the features.
    """

    as_read: Dataset
    dataset: Dataset
    split_as_read: Split
    split: Split
    contents: Contents
    features: FeatureMap | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Prepared:
    """All that a run needs before it trains.

    Attributes:
        settings: what settings.json holds.
        model: the classifier that the run trains, suited to the data.
        material: what it learns from.
    """

    settings: RunSettings
    model: LinearModel
    material: Material


def prepare(
    request: TrainSettings | SweepSettings, n_threads: int | None, cache: bool, reading: ProgressCallback | None
) -> Prepared:
    """A new run: its classifier checked, then its source read, split, and turned into features.

    Args:
        request: all that decides the result.
        n_threads: threads that compute and decode; None for one per core.
        cache: whether decoded pixels and features are kept and used.
        reading: called with the progress of reading.
    Raises:
        LinprobeError: the source or a setting cannot be used.
    """
    model = _checked_model(request, n_threads)
    dataset = read_source(request, n_threads, cache, reading)
    contents = contents_of(dataset, n_threads)
    material = _material_of(request, dataset, contents, n_threads, cache, reading)
    return Prepared(_began(request, dataset, contents), _suited(model, material), material)


def prepare_again(
    run: RunFolder,
    settings: RunSettings,
    source: str | None,
    n_threads: int | None,
    cache: bool,
    reading: ProgressCallback | None,
) -> Prepared:
    """A run that is resumed, as `prepare` gave it when it began; settings.json takes over a source that has moved.

    Args:
        run: its folder.
        settings: what settings.json holds.
        source: where the data are now; None for where they were.
        n_threads, cache, reading: as for `prepare`.
    Raises:
        RunError: the data are not those that the run began with.
        LinprobeError: as for `prepare`.
    """
    model = _checked_model(settings.request, n_threads)
    settings, dataset, contents = _read_again(run, settings, source, n_threads, cache, reading)
    material = _material_of(settings.request, dataset, contents, n_threads, cache, reading)
    return Prepared(settings, _suited(model, material), material)


def read_source(
    settings: SourceSettings, n_threads: int | None, cache: bool, reading: ProgressCallback | None
) -> Dataset:
    """The dataset that the settings name, read as they say.

    Args:
        settings: the source, and how it is read.
        n_threads: threads that decode; None for one per core.
        cache: whether decoded pixels are kept and used.
        reading: called with the progress of reading.
    Raises:
        DataError: the source cannot be read.
    """
    options = ReadOptions(
        image_size=settings.image_size,
        on_bad_image=settings.on_bad_image,
        cache=cache,
        n_threads=n_threads,
        seed=settings.seed,
        progress=reading,
    )
    return open_dataset(settings.source, options)


def _checked_model(request: TrainSettings | SweepSettings, n_threads: int | None) -> LinearModel:
    """The classifier that the run trains, checked before a source is read that may be large.

    Raises:
        ParameterError: a parameter or the features cannot be used.
    """
    model = model_of(request.classifier)
    weights = model.class_weight
    if isinstance(weights, Mapping) and (without := [str(label) for label, weight in weights.items() if weight == 0.0]):
        raise ParameterError(
            f"class_weight is 0 for {few(without)}; the figures of a run are of all its images. Leave the class out of "
            "the source, or give it a weight above 0."
        )
    model.random_state, model.n_threads = request.seed, n_threads
    features = requested(request.features, request.feature_options)
    if features is not None and features.supervised and isinstance(request, SweepSettings) and request.folds:
        raise IncompatibleError(
            f"folds = {request.folds}: the features {features.spec} learn from labels, those of the held-out fold "
            "included. Leave folds out, and choose reg on a validation split."
        )
    return model


def _suited(model: LinearModel, material: Material) -> LinearModel:
    """The classifier itself, suited to the data: preprocess "auto" centres vectors and standardises features."""
    if material.dataset.image_shape is None and model.preprocess == "auto":
        # a network's vectors share a large mean: left in, it is the one direction that sets the learning rate
        model.preprocess = "center" if material.features is None else "standardize"
    model.features_ = material.features
    return model


def _material_of(
    request: TrainSettings | SweepSettings,
    dataset: Dataset,
    contents: Contents,
    n_threads: int | None,
    cache: bool,
    reading: ProgressCallback | None,
) -> Material:
    """The dataset, split, and mapped by its features, which learn from the training images only.

    Raises:
        SplitError: the dataset cannot be split as requested.
        LinprobeError: the features do not suit the dataset.
    """
    split = train_validation_test(dataset, request.held_out, request.seed)
    features = requested(request.features, request.feature_options)
    if features is None:
        return Material(dataset, dataset, split, split, contents)
    mapped = map_dataset(
        dataset,
        split.train,
        features,
        validation=split.validation,
        seed=request.seed,
        cache=cache,
        n_threads=n_threads,
        progress=reading,
    )
    as_mapped = split_like(split, dataset, mapped.dataset)
    return Material(dataset, mapped.dataset, split, as_mapped, contents, mapped.features, mapped.seconds)


def split_like(split: Split, dataset: Dataset, mapped: Dataset) -> Split:
    """The images of a split of `dataset`, as `mapped` has them, which holds a row for each of its images."""

    def same(part: LabelledSet) -> LabelledSet:
        for name in ("train", "validation", "test"):
            if part is getattr(dataset, name):
                whole: LabelledSet = getattr(mapped, name)
                return whole
        # held out of the training images, or what they leave
        order = np.argsort(dataset.train.positions)
        places = np.searchsorted(dataset.train.positions, part.positions, sorter=order)
        return mapped.train.subset(order[places])

    validation = None if split.validation is None else same(split.validation)
    return replace(split, train=same(split.train), validation=validation, test=same(split.test))


def _began(request: TrainSettings | SweepSettings, dataset: Dataset, contents: Contents) -> RunSettings:
    """What settings.json of a new run holds; its source is an absolute path, so that any folder can resume it."""
    return RunSettings(
        replace(request, source=absolute_source(request.source)),
        dataset.fingerprint,
        dataset.format,
        contents.digest,
        version("linprobe"),
        platform.python_version(),
        np.__version__,
    )


def absolute_source(source: str) -> str:
    """`source`, as an absolute path if it is one."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source


def unfinished_settings(run: RunFolder, kind: type[TrainSettings | SweepSettings]) -> RunSettings:
    """The settings of a run that can be resumed, and whose request is of this kind.

    Raises:
        RunError: the run is finished, or of the other kind.
    """
    settings = run.settings()
    found = settings.request.kind
    if run.finished:
        name = NAMES[found]
        raise RunError(
            f"{run.path}: this {name} is finished; its result is in {run.path / 'metrics.json'}. "
            f"Start a new {name} to go further."
        )
    if found != kind.kind:
        what = "sweep" if settings.swept else "training"
        raise RunError(f"{run.path}: this run is a {what}; resume it with `{run.resume_command()}`.")
    return settings


def _read_again(
    run: RunFolder,
    settings: RunSettings,
    source: str | None,
    n_threads: int | None,
    cache: bool,
    reading: ProgressCallback | None,
) -> tuple[RunSettings, Dataset, Contents]:
    """(settings, dataset, digests) of a run that is resumed.

    Raises:
        RunError: the data are not those that the run began with.
        DataError: the source cannot be read.
    """
    request = settings.request if source is None else replace(settings.request, source=absolute_source(source))
    dataset = read_source(request, n_threads, cache, reading)
    contents = contents_of(dataset, n_threads)
    # a run of an earlier version has no digest of the content, only the fingerprint of paths and times
    same = settings.content is None and dataset.fingerprint == settings.fingerprint
    if not same and contents.digest != settings.content:
        kind = NAMES[request.kind]
        raise RunError(
            f"{run.path}: the data in {request.source} are not those that this {kind} began with (content "
            f"{contents.digest[:12]}, expected {(settings.content or 'none recorded')[:12]}); restore them, "
            f"give their new place with --source, or start a new {kind}."
        )
    if request != settings.request or dataset.fingerprint != settings.fingerprint:
        settings = replace(settings, request=request, fingerprint=dataset.fingerprint)
        run.write_settings(settings)
    return settings, dataset, contents
