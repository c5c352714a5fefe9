"""The features of a run: pictures mapped block by block on all cores, and kept in the cache of decoded pixels."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from linprobe.cores import threads_for
from linprobe.data.base import Dataset, EmbeddingSet, ImageSet, LabelledSet, ProgressCallback
from linprobe.data.cache import Decoded, Filling, cache_key, load
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.features.base import FeatureMap, Supervision
from linprobe.features.parse import feature_map
from linprobe.runs.cached_tensors import CachedTensors
from linprobe.runs.records import Parameters
from linprobe.shapes import Pixels

__all__ = ["Mapped", "kept_features", "map_dataset", "map_images", "requested", "transformed"]

BLOCK = 128
"""Pictures in a block, the unit of work of a thread."""

DTYPE = np.dtype(np.float16)
"""Type of the kept numbers: eleven significant bits, and half the bytes of float32 to read in every pass."""


@dataclass(frozen=True)
class Mapped:
    """A dataset of features.

    Attributes:
        dataset: its sets hold vectors.
        features: what made them, fitted.
        seconds: to fit and to map, or to find them in the cache.
    """

    dataset: Dataset
    features: FeatureMap
    seconds: float


def requested(spec: str, options: Parameters) -> FeatureMap | None:
    """The requested features, not fitted; None for the pixels as they are, which need no map.

    Raises:
        ParameterError: they do not exist, or an option is unknown, of another type, or out of range.
    """
    given: dict[str, Any] = {**options}  # each map checks the types of its own parameters
    try:
        made = feature_map(spec, **given)  # also of pixels, which refuse all options but mirror
    except TypeError as error:
        raise ParameterError(f"the options of the features {spec} cannot be used ({error}).") from error
    return None if spec == "pixels" and not options.get("mirror") else made


def map_dataset(
    dataset: Dataset,
    train: LabelledSet,
    features: FeatureMap,
    *,
    validation: LabelledSet | None = None,
    seed: int = 0,
    cache: bool = True,
    n_threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> Mapped:
    """`dataset` with every picture mapped by `features`, which are fitted to the pictures of `train` alone.

    Features that learn from labels take those of `train`, and look at `validation` to decide when their training ends.

    Args:
        dataset: of pictures.
        train: the pictures that may be learnt from: neither held out nor of the test split.
        features: not fitted yet.
        validation: pictures that choices are made by; None for none.
        seed: of what the features draw at random.
        cache: whether the features are kept in the cache folder, and those that are there are used.
        n_threads: None for one per core. The result does not depend on it, but for a trained network.
        progress: called with the number of mapped pictures.
    Raises:
        IncompatibleError: the dataset holds no pictures, or the numbers are too large for float16.
        LinprobeError: the features do not suit the pictures.
    """
    begun = time.perf_counter()
    parts = _parts(dataset)
    for _, part in parts:
        if not isinstance(part, ImageSet):
            if features.spec == "pixels":  # which are mapped for their mirror images alone
                raise IncompatibleError(
                    f"{dataset.source}: holds vectors, which have no mirror image. Leave --flips out."
                )
            raise IncompatibleError(
                f"{dataset.source}: holds vectors; {features.spec} needs pictures. Use --features pixels."
            )
    assert isinstance(train, ImageSet)
    supervision = None
    if features.supervised:
        assert validation is None or isinstance(validation, ImageSet)
        supervision = _supervision(dataset, train, validation, cache, n_threads, progress)
    with threadpool_limits(1):  # the result must not depend on the threads of the BLAS
        features.fit(_Picked(train).all(), seed, supervision)
    key = _key(dataset, features)
    found = load(key) if cache else None
    if found is None:
        sets = [part for _, part in parts if isinstance(part, ImageSet)]
        with _store(key, cache, (sum(part.n_images for part in sets), features.n_features)) as store:
            _fill(store.X, sets, features, n_threads, progress)
            X = store.kept()
    else:
        X = found.pixels
    return Mapped(_with_vectors(dataset, X), features, time.perf_counter() - begun)


def _supervision(
    dataset: Dataset,
    train: ImageSet,
    validation: ImageSet | None,
    cache: bool,
    n_threads: int | None,
    progress: ProgressCallback | None,
) -> Supervision:
    """The labels of `train`, and a place in the cache for what is trained: its key holds the pictures that it saw."""
    held_out = None if validation is None else (_Picked(validation).all(), validation.y.astype(np.int64))
    seen = [_digest_rows(train), None if validation is None else _digest_rows(validation)]

    def store(description: str) -> CachedTensors:
        return CachedTensors(cache_key("trained features", dataset.fingerprint, seen, description))

    return Supervision(
        train.y.astype(np.int64),
        len(train.class_names),
        held_out,
        threads_for(n_threads),
        progress,
        store if cache else None,
    )


def kept_features(dataset: Dataset, features: FeatureMap) -> Dataset | None:
    """`dataset` mapped by the fitted `features`, where the cache has the result of an earlier run; else None."""
    found = load(_key(dataset, features))
    return None if found is None else _with_vectors(dataset, found.pixels)


def _parts(dataset: Dataset) -> list[tuple[str, LabelledSet]]:
    """(name, set) of each split of the dataset."""
    named = ((name, getattr(dataset, name)) for name in ("train", "validation", "test"))
    return [(name, part) for name, part in named if part is not None]


def _key(dataset: Dataset, features: FeatureMap) -> str:
    """The key of the features of `dataset` in the cache."""
    rows = [(name, _digest_rows(part)) for name, part in _parts(dataset)]
    return cache_key("features", dataset.fingerprint, _digest(features), rows)


def _with_vectors(dataset: Dataset, X: npt.NDArray[Any]) -> Dataset:
    """`dataset` with the rows of X, one for each picture, split after split, in place of its pictures."""
    mapped: dict[str, EmbeddingSet] = {}
    start = 0
    for name, part in _parts(dataset):
        rows = np.arange(start, start + part.n_images)
        mapped[name] = EmbeddingSet(X, part.y, part.class_names, part.source, rows, part.names)
        start += part.n_images
    return replace(dataset, train=mapped["train"], validation=mapped.get("validation"), test=mapped.get("test"))


def map_images(
    images: ImageSet, features: FeatureMap, n_threads: int | None = None, progress: ProgressCallback | None = None
) -> EmbeddingSet:
    """The features of all pictures of a set, in memory; `features` are fitted.

    Raises:
        ShapeError: the pictures have another size than those of the training.
    """
    X = np.empty((images.n_images, features.n_features), DTYPE)
    _fill(X, [images], features, n_threads, progress)
    return EmbeddingSet(X, images.y, images.class_names, images.source, None, images.names)


def transformed(images: Pixels, features: FeatureMap, n_threads: int | None = None) -> npt.NDArray[np.float16]:
    """The features (N, D) of pictures (N, height, width, channels) uint8, as they are kept; computed on all cores."""
    labels = np.zeros(len(images), np.int64)
    return map_images(ImageSet(images, labels, (), features.spec), features, n_threads).X


class _Picked:
    """The pictures of a set by position 0..N-1."""

    def __init__(self, images: ImageSet) -> None:
        self.images, self.rows = images.images, images.rows

    def at(self, positions: npt.NDArray[np.int64] | slice) -> npt.NDArray[np.uint8]:
        return self.images[positions] if self.rows is None else self.images[self.rows[positions]]

    def all(self) -> npt.NDArray[np.uint8]:
        """All pictures: the array itself where the set uses all of it."""
        whole = self.rows is None or (len(self.rows) == len(self.images) and bool((np.diff(self.rows) == 1).all()))
        return self.images if whole else self.images[self.rows]


def _fill(
    X: npt.NDArray[Any],
    sets: list[ImageSet],
    features: FeatureMap,
    n_threads: int | None,
    progress: ProgressCallback | None,
) -> None:
    """Write the features of all pictures into X, block by block."""
    blocks, start = [], 0
    for images in sets:
        picked = _Picked(images)
        blocks += [
            (start + first, picked, slice(first, min(first + BLOCK, images.n_images)))
            for first in range(0, images.n_images, BLOCK)
        ]
        start += images.n_images

    def work(block: tuple[int, _Picked, slice]) -> int:
        at, picked, positions = block
        values = features.transform(picked.at(positions))
        with np.errstate(over="ignore"):
            X[at : at + len(values)] = values
        if not np.isfinite(X[at : at + len(values)]).all():
            raise IncompatibleError(
                f"{features.spec}: a feature is NaN or above 65,504, the limit of float16; scale the features down."
            )
        return len(values)

    done = 0
    with threadpool_limits(1), ThreadPoolExecutor(threads_for(n_threads)) as workers:
        futures = [workers.submit(work, block) for block in blocks]
        try:
            for future in futures:
                done += future.result()
                if progress is not None:
                    progress(f"computing features ({features.spec})", done, start)
        except BaseException:  # Ctrl-C or an error: blocks that have not begun are dropped
            workers.shutdown(wait=True, cancel_futures=True)
            raise


class _Store:
    """Storage for the features: in memory, or a cache file that appears when it is complete."""

    def __init__(self, X: npt.NDArray[Any], filling: Filling | None) -> None:
        self.X, self._filling = X, filling

    def kept(self) -> npt.NDArray[Any]:
        """The stored features: a read-only memory map, or the array itself."""
        if self._filling is None:
            return self.X
        decoded = Decoded(self.X, np.zeros(len(self.X), np.int64), (), (), (), ())
        return self._filling.finish(decoded, self.X).pixels


@contextmanager
def _store(key: str, cache: bool, shape: tuple[int, int]) -> Iterator[_Store]:
    if not cache:
        yield _Store(np.empty(shape, DTYPE), None)
        return
    with Filling.start(key) as filling:
        yield _Store(filling.allocate(shape, DTYPE), filling)


def _digest(features: FeatureMap) -> str:
    """Digest of everything that decides the features."""
    digest = hashlib.sha256(json.dumps([features.name, features.settings(), features.image_shape]).encode())
    for name, tensor in sorted(features.tensors().items()):
        digest.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def _digest_rows(images: LabelledSet) -> str:
    return hashlib.sha256(np.ascontiguousarray(images.positions).tobytes()).hexdigest()
