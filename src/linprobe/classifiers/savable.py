"""The classifiers of the public interface can be written to a file."""

from __future__ import annotations

import os

__all__ = ["Savable"]


class Savable:
    """Base of a classifier that a model file can hold."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trained classifier to `path` as a model file, atomically.

        `load_model` reads it. Of a `LinearClassifierCV` the file holds the chosen `LinearClassifier`, and of
        `NearestNeighbors` the training rows.

        Raises:
            IncompatibleError: it is not trained, or the file cannot hold it.
            ModelFileError: the file cannot be written.
        """
        from linprobe.classifiers.model_file import save

        save(self, path)
