"""The seam between a model and the challenges."""

from __future__ import annotations

import numpy as np

from linprobe.classifiers.model import LinearModel
from linprobe.data.base import open_dataset
from linprobe.data.digits import load_digits
from linprobe.data.splits import split_dataset
from linprobe.runs.challenges import classifier_of


def test_the_classes_of_pictures_are_those_of_their_rows() -> None:
    digits = split_dataset(open_dataset("digits"), test=0.2, seed=0)
    model = LinearModel(optimizer="sgd", epochs=2, random_state=0).fit_sets(digits.train)
    pictures = load_digits().images[:50]
    found = classifier_of(model, n_threads=1)(pictures)
    assert np.array_equal(found, model.scores(pictures.reshape(50, -1)).argmax(axis=1))
