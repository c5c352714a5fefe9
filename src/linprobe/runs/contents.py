"""Images known by content: a digest of the pixels or numbers of each, and one of a whole source.

A path and a time tell nothing of what is in a picture: folders grow, and files are copied. The digest of an image is
that of what a model reads: of its decoded pixels, or of its vector in float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linprobe.cores import threads_for
from linprobe.data.base import Dataset, ImageSet, LabelledSet
from linprobe.shapes import Labels

__all__ = [
    "Contents",
    "Digests",
    "contents_of",
    "digests_of",
    "digests_to_know",
    "doubled_notes",
    "known_by",
    "seen_among",
    "seen_images",
    "twins_notes",
]

Digests = npt.NDArray[np.uint64]
"""(N,) the first 64 bits of the SHA-256 of each image. A million images share one with a million others by chance with
a probability of 5e-8."""

BLOCK_BYTES = 2**20
"""Bytes of images in a task of a thread: some milliseconds of work, by argument."""


@dataclass(frozen=True)
class Contents:
    """The digests of a dataset.

    Attributes:
        train: of its training images, in their order.
        validation, test: of these images; None where it has no such split.
        digest: hex digest of the images, labels and class names of all splits, in their order.
    """

    train: Digests
    validation: Digests | None
    test: Digests | None
    digest: str

    def of_train(self, whole: LabelledSet, part: LabelledSet) -> Digests:
        """The digests of a part of the training images.

        Args:
            whole: the training images as the dataset has them, or their features.
            part: some of them, in any order, that share the array of `whole`.
        """
        if part is whole:
            return self.train
        order = np.argsort(whole.positions)
        return self.train[order[np.searchsorted(whole.positions, part.positions, sorter=order)]]


def contents_of(dataset: Dataset, n_threads: int | None = None) -> Contents:
    """The digests of all images of `dataset`; each is read once."""
    digests: dict[str, Digests] = {}
    whole = hashlib.sha256(repr(dataset.class_names).encode("utf-8", "surrogatepass"))
    for part in ("train", "validation", "test"):
        images: LabelledSet | None = getattr(dataset, part)
        if images is not None:
            digests[part] = digests_of(images, n_threads)
            whole.update(part.encode() + digests[part].tobytes() + np.ascontiguousarray(images.y, np.int64).tobytes())
    return Contents(digests["train"], digests.get("validation"), digests.get("test"), whole.hexdigest())


def digests_of(images: LabelledSet, n_threads: int | None = None, mirrored: bool = False) -> Digests:
    """The digest of each image (N,), or of its mirror image."""
    X, positions = images.X, images.positions
    pictures, shape = isinstance(images, ImageSet), images.image_shape
    size = max(1, BLOCK_BYTES // max(1, X.shape[1] * X.itemsize))

    def digest(start: int) -> bytes:
        rows = X[positions[start : start + size]]
        if not pictures:
            with np.errstate(over="ignore"):  # beyond float32 is infinite, for both that are compared
                rows = rows.astype(np.float32) + np.float32(0.0)  # -0.0 becomes 0.0
        elif mirrored and shape is not None:
            rows = rows.reshape(-1, *shape)[:, :, ::-1].reshape(rows.shape)
        return b"".join(hashlib.sha256(row).digest()[:8] for row in np.ascontiguousarray(rows))

    with np.errstate(over="ignore"), ThreadPoolExecutor(threads_for(n_threads)) as workers:
        return np.frombuffer(b"".join(workers.map(digest, range(0, images.n_images, size))), np.uint64)


def seen_among(digests: Digests, trained_on: Digests) -> npt.NDArray[np.bool_]:
    """(N,) whether each image is one of those that a model was trained on."""
    found: npt.NDArray[np.bool_] = np.isin(digests, trained_on)
    return found


def seen_images(
    images: LabelledSet, trained_on: Digests, n_threads: int | None = None, digests: Digests | None = None
) -> npt.NDArray[np.bool_]:
    """(N,) whether each image, or its mirror image, is one of those that a model was trained on.

    Args:
        images: as they were read.
        trained_on: digests of the training images.
        n_threads: threads that read; None for one per core.
        digests: those of `images`, where they are known already.
    """
    return known_by(digests_to_know(images, n_threads, digests), trained_on)


def digests_to_know(
    images: LabelledSet, n_threads: int | None = None, digests: Digests | None = None
) -> tuple[Digests, ...]:
    """The digests (N,) by which images are known again: as they are, and those of pictures mirrored as well.

    Args:
        images, n_threads, digests: as for `seen_images`.
    """
    as_read = digests_of(images, n_threads) if digests is None else digests
    return (as_read, digests_of(images, n_threads, mirrored=True)) if isinstance(images, ImageSet) else (as_read,)


def known_by(digests: Sequence[Digests], among: Digests) -> npt.NDArray[np.bool_]:
    """(N,) whether each image is one of `among`.

    Args:
        digests: as `digests_to_know` returns them.
    """
    found: npt.NDArray[np.bool_] = np.any([seen_among(one, among) for one in digests], axis=0)
    return found


def twins_notes(seen: npt.NDArray[np.bool_], part: str = "test", of: str = "training") -> tuple[str, ...]:
    """A sentence on the images of a part that are equal to images of another, if there are any.

    Args:
        seen: (N,) as `seen_images` returns it.
        part: test or validation.
        of: training, or validation where its images chose something.
    """
    if not seen.any():
        return ()
    return (
        f"{int(seen.sum()):,} of {len(seen):,} {part} images are equal to a {of} image or to its mirror image: "
        f"the {part} figures are not those of new images alone.",
    )


def doubled_notes(trained: Digests, y: Labels, folds: bool) -> tuple[str, ...]:
    """Sentences on training images that are equal to one another.

    Args:
        trained: (N,) digests.
        y: (N,) labels.
        folds: whether some of the images judge a model that was trained on the others.
    """
    digests, group, counts = np.unique(trained, return_inverse=True, return_counts=True)
    notes = []
    if folds and (n_doubled := int(counts[counts > 1].sum())):
        notes.append(
            f"{n_doubled:,} of {len(trained):,} training images are equal to another one, which may be in another "
            "fold: the validation figures are not those of new images alone."
        )
    n_labels = np.bincount(np.unique(np.stack([group, y]), axis=1)[0], minlength=len(digests))
    if n_torn := int(counts[n_labels > 1].sum()):
        notes.append(f"{n_torn:,} of {len(trained):,} training images are equal to one of another class.")
    return tuple(notes)
