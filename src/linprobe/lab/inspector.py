"""Trained models and the pictures to inspect: opened at their first use, the most recent ones kept."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linprobe.challenges import CHALLENGES
from linprobe.challenges.intraclass import CLUSTERS, clusters_of, thumbnails
from linprobe.challenges.table import INTRACLASS
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import read_model
from linprobe.classifiers.neighbors import NeighborModel
from linprobe.data.base import Dataset, ImageSet
from linprobe.errors import ImageError, IncompatibleError, LinprobeError, ParameterError, SplitError
from linprobe.lab.protocol import Lab
from linprobe.lab.run_list import run_at
from linprobe.lab.sources import Sources
from linprobe.lab.uploads import Uploads, picture_size
from linprobe.runs.contents import digests_of, seen_among
from linprobe.runs.evaluation import labels_by_name
from linprobe.runs.evaluation_set import evaluation_set, together
from linprobe.runs.models import Reading, picture_shape, reading_of, scores_of_pictures
from linprobe.runs.prediction import read_pictures
from linprobe.runs.records import RunSettings
from linprobe.shapes import Floats, Labels, Pixels
from linprobe.wording import in_words

__all__ = ["KINDS", "Inspector", "Subject", "Where"]

KINDS = {kind.name: (challenge, kind) for challenge in CHALLENGES for kind in challenge.kinds}
"""Every change of pictures by its name, in the order of the lecture, in which they are applied."""

KEPT = 2
"""Models, with their test images and neighbours, that are kept open."""

BLOCK_NUMBERS = 2**22
"""Intensities of pictures that are classified at once."""

OWN_KEPT = 16
"""Pictures of the user's own that are kept."""


@dataclass(frozen=True)
class Where:
    """The inspected picture.

    Attributes:
        pixels: (height, width, channels) uint8.
        number: its position in `source`.
        source: all pictures, (N, height, width, channels) uint8.
        label: its class, or None where nobody knows.
        name: what it is called.
    """

    pixels: Pixels
    number: int
    source: Pixels
    label: int | None
    name: str


@dataclass
class Subject:
    """A model and, where the lab may read them, the pictures it was trained and is tested on.

    Attributes:
        run: name of its run.
        model: the classifier.
        shape: (height, width, channels) of the pictures that it takes; None for vectors.
        train, test: the pictures; None where they cannot be read.
        y: (N,) classes of the test images, as positions in the model's.
        why: a sentence that says why there are no pictures.
        notes: sentences that a reader of the test figures must know.
    """

    run: str
    model: LinearModel
    shape: tuple[int, ...] | None
    train: ImageSet | None = None
    test: ImageSet | None = None
    y: Labels | None = None
    why: str = ""
    notes: tuple[str, ...] = ()
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _scores: Floats | None = None
    _neighbors: dict[str, NeighborModel] = field(default_factory=dict)
    _clusters: dict[int, tuple[npt.NDArray[np.int64], Floats]] = field(default_factory=dict)

    def scores(self) -> Floats:
        """(N, K) of all test images, computed once.

        Raises:
            IncompatibleError: there are none.
        """
        test, _ = self.tested()
        with self._lock:
            if self._scores is None:
                rows = test.positions
                step = max(1, BLOCK_NUMBERS // int(np.prod(test.images.shape[1:])))
                parts = [
                    scores_of_pictures(self.model, test.images[rows[start : start + step]])
                    for start in range(0, len(rows), step)
                ]
                self._scores = np.concatenate(parts)
            return self._scores

    def tested(self) -> tuple[ImageSet, Labels]:
        """The test images and their classes.

        Raises:
            IncompatibleError: there are none; the message says why.
        """
        if self.test is None or self.y is None:
            raise IncompatibleError(self.why)
        return self.test, self.y

    def at(self, index: int) -> Where:
        """The test image `index`.

        Raises:
            ParameterError: there is none of that number.
        """
        test, y = self.tested()
        if not 0 <= index < test.n_images:
            raise ParameterError(f"index = {index}; expected a test image 0..{test.n_images - 1}.")
        number = int(test.positions[index])
        name = f"test image {index}" if test.names is None else test.names[index]
        return Where(test.images[number], number, test.images, int(y[index]), name)

    def neighbors(self, metric: str) -> NeighborModel:
        """The search among the training images, made at its first use.

        Raises:
            IncompatibleError: there are none.
        """
        if self.train is None:
            raise IncompatibleError(self.why or f"the source of {self.run} holds none of its training images any more.")
        with self._lock:
            if metric not in self._neighbors:
                self._neighbors[metric] = NeighborModel(1, metric).fit_sets(self.train)
            return self._neighbors[metric]

    def alike(self, where: Where, place: int) -> int:
        """A test image of the same class, less and less alike: the middle one of its `place`-th nearest cluster.

        The clusters are those of the challenge of intraclass variation: five, by thumbnails of 8x8 pixels.

        Raises:
            ParameterError: the class of the picture is not known, or the class has no such cluster.
        """
        test, y = self.tested()
        if where.label is None:
            raise ParameterError("a picture whose class is unknown has no others of its class to stand in for it.")
        members = np.flatnonzero(y == where.label)
        rows = test.positions[members]
        with self._lock:
            if where.label not in self._clusters:
                points = thumbnails(test.images, rows)
                labels, centres = clusters_of(points, CLUSTERS, np.random.default_rng([0, CLUSTERS]))
                middles = []
                for cluster, centre in enumerate(centres):
                    inside = np.flatnonzero(labels == cluster)
                    middles.append(members[inside[((points[inside] - centre) ** 2).sum(axis=1).argmin()]])
                self._clusters[where.label] = np.array(middles), centres
            middles_of, centres_of = self._clusters[where.label]
        here = thumbnails(where.pixels[None], np.arange(1))[0]
        order = np.argsort(((centres_of - here) ** 2).sum(axis=1), kind="stable")
        return int(middles_of[order[min(place, len(order)) - 1]])

    def changed(self, where: Where, severities: Mapping[str, int], seed: int) -> tuple[Where, int | None]:
        """(the picture after all challenges, the test image that stands in for it, or None).

        Args:
            severities: 0..5 by kind; those not named are 0. `INTRACLASS` puts another picture of the class in the
                place of this one.
        Raises:
            ParameterError: a kind or a severity does not exist.
        """
        if not any(severities.values()):
            return where, None
        place, stand_in = severities.get(INTRACLASS, 0), None
        if place:
            stand_in = self.alike(where, place)
            where = self.at(stand_in)
        pixels = where.pixels[None]
        for name, (challenge, kind) in KINDS.items():
            if severities.get(name, 0):
                pixels = challenge.apply_again(
                    pixels, kind.name, severities[name], seed, numbers=np.array([where.number]), source=where.source
                )
        return Where(pixels[0], where.number, where.source, where.label, where.name), stand_in


def _take_pictures(subject: Subject, dataset: Dataset, reading: Reading, label: str) -> None:
    """Give a subject the pictures that its model is tested on, as `linprobe evaluate` does, and those it learnt from.

    Raises:
        LinprobeError: the source has no picture that the model was not trained on, or a class that it does not know.
    """
    model = subject.model
    try:
        tested = evaluation_set(model, dataset, reading)
    except SplitError as error:
        raise IncompatibleError(
            f"{label} has changed since the training, and the model was trained on all pictures that it holds now."
        ) from error
    test = together([part for part in tested.parts if isinstance(part, ImageSet)])
    subject.y = labels_by_name(test, model.class_names_)
    learnt = evaluation_set(model, dataset, reading, split="train")
    train = learnt.parts[0]
    if model.trained_on_ is not None:  # of a source that has grown: the pictures that were there
        train = train.subset(np.flatnonzero(seen_among(digests_of(train), model.trained_on_)))
    subject.notes = tuple(map(in_words, tested.notes))
    if tested.n_left_out:
        subject.notes += (
            f"{label} has changed since the training: {tested.n_left_out:,} pictures that the model was "
            f"trained on are left out, and the other {test.n_images:,} are the test images ({tested.origin}).",
        )
    if tested.n_chosen_on:
        subject.notes += (
            f"{tested.n_chosen_on:,} of the test images are not new: they chose settings of the model, or when a "
            "training ended.",
        )
    subject.test = test
    subject.train = train if isinstance(train, ImageSet) and train.n_images else None


class Inspector:
    """The subjects of a lab, and the pictures that its pages brought.

    Args:
        lab: whose service it is.
    Attributes:
        arriving: pictures that are being sent now.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab, self.sources, self.uploads = lab, lab.service(Sources), lab.service(Uploads)
        self._subjects: OrderedDict[tuple[str, int], Subject] = OrderedDict()
        self._own: OrderedDict[str, tuple[Path, str]] = OrderedDict()
        self.arriving = 0
        self._count = 0
        self._lock = threading.RLock()

    def subject(self, run: str) -> Subject:
        """The model of a run with its pictures; one that was trained anew is read anew.

        Raises:
            LinprobeError: there is no such run, or no model in it yet.
        """
        folder = run_at(self.lab.runs, run)
        if not folder.model_path.exists():
            raise ParameterError(f"{run} has no model yet; resume it, or keep what it reached, on the page Train.")
        key = (run, folder.model_path.stat().st_mtime_ns)
        with self._lock:
            if key not in self._subjects:
                self._subjects[key] = self._opened(run, folder.model_path, folder.settings())
                while len(self._subjects) > KEPT:
                    self._subjects.popitem(last=False)
            self._subjects.move_to_end(key)
            return self._subjects[key]

    def _opened(self, run: str, path: Path, settings: RunSettings) -> Subject:
        model = read_model(path)
        subject = Subject(run, model, picture_shape(model))
        if subject.shape is None:
            subject.why = f"{run} was trained on vectors of {model.weights_.shape[1]} numbers: there are no pictures."
            return subject
        reading = reading_of(model, path)
        try:
            found = self.sources.of_run(settings.request.source)
            skip_bad = settings.request.on_bad_image == "skip"
            dataset = self.sources.dataset(found, reading.image_size, reading.seed, skip_bad=skip_bad)
            if dataset.image_shape is None:
                raise IncompatibleError(f"{found.label} holds vectors, not pictures.")
            if dataset.image_shape != subject.shape:
                raise IncompatibleError(f"the pictures of {found.label} have another shape now than when {run} began.")
            _take_pictures(subject, dataset, reading, found.label)
        except LinprobeError as error:  # the model still classifies the user's own pictures
            subject.why = f"{in_words(str(error)).rstrip('.')}. The model still classifies pictures of your own."
        return subject

    def keep(self, content: bytes, name: str) -> str:
        """The key of a picture of the user's own, once its header was checked and it was decoded.

        Raises:
            ImageError: it is no picture, or too large.
        """
        picture_size(name[:80], io.BytesIO(content))
        with self._lock:
            self._count += 1
            path = self.uploads.folder / f"picture-{self._count}"
            key = f"own:{self._count}"
            try:
                path.write_bytes(content)
                self._own[key] = path, name[:80]
                self._decoded(key, (8, 8, 3))
            except BaseException:  # a full disk as well: a part that stays would fail every later upload
                self._own.pop(key, None)
                path.unlink(missing_ok=True)
                raise
            while len(self._own) > OWN_KEPT:
                self._own.popitem(last=False)[1][0].unlink(missing_ok=True)
            return key

    def own(self, key: str, subject: Subject) -> Where:
        """A picture of the user's own, resized and with as many channels as the model reads.

        Raises:
            ParameterError: there is none of that key.
            IncompatibleError: the model reads vectors.
        """
        if subject.shape is None:
            raise IncompatibleError(subject.why)
        pixels = self._decoded(key, subject.shape)
        source = pixels[None] if subject.test is None else subject.test.images
        return Where(pixels, 0, source, None, self._own[key][1])

    def _decoded(self, key: str, shape: tuple[int, ...]) -> Pixels:
        if key not in self._own:
            raise ParameterError("this picture is not in the lab any more; drop it again.")
        path, name = self._own[key]
        try:
            pixels: Pixels = read_pictures([path], shape, (shape[0], shape[1]))[0]
        except ImageError as error:
            reason = str(error).partition(f"{path} (")[2].rpartition(");")[0]
            raise ImageError(f"{name}: cannot be read as a picture ({reason}).") from error
        return pixels
