"""Choosing k and testing once: what is searched, what is chosen, what is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linprobe.classifiers.neighbors import NeighborModel, accuracy
from linprobe.data.base import open_dataset
from linprobe.data.splits import split_dataset, train_validation_test
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.runs.neighbors import KnnSettings, choose_and_test


def test_k_is_chosen_on_images_held_out_and_the_test_images_are_searched_among_all_others() -> None:
    result = choose_and_test(KnnSettings("digits", ks=(9, 1, 3), seed=4))
    dataset = open_dataset("digits", seed=4)
    split = train_validation_test(dataset, 0.1, 4)
    assert split.validation is not None
    model = NeighborModel(9).fit_sets(split.train)
    for k, labels in model.labels_by_k(split.validation.X, [1, 3, 9], split.validation.rows).items():
        assert result.validation_accuracies[k] == accuracy(labels, split.validation.y)
    best = max(result.validation_accuracies.values())
    assert result.k == min(k for k, a in result.validation_accuracies.items() if a == best)
    whole = split_dataset(dataset, seed=4)
    assert whole.test is not None
    found = NeighborModel(result.k).fit_sets(whole.train).labels_by_k(whole.test.X, [result.k], whole.test.rows)
    assert result.test_accuracy == accuracy(found[result.k], whole.test.y)
    assert result.n_train == whole.train.n_images
    assert result.n_validation == split.validation.n_images


def test_folds_judge_every_training_image_once() -> None:
    result = choose_and_test(KnnSettings("digits", ks=(1, 5), folds=3))
    assert result.n_validation == result.n_train
    assert result.chosen_by == "3 folds"
    assert min(result.validation_accuracies.values()) > 0.9


def test_a_single_k_needs_no_choice() -> None:
    result = choose_and_test(KnnSettings("digits", ks=(1,)))
    assert result.validation_accuracies == {}
    assert result.as_dict()["validation_accuracy"] is None
    assert result.n_validation == 0
    assert result.k == 1
    assert result.test_accuracy > 0.95


def test_the_result_does_not_depend_on_threads() -> None:
    one, three = (choose_and_test(KnnSettings("planar:spiral"), n_threads=threads) for threads in (1, 3))
    assert replace(one, seconds=0.0, search="") == replace(three, seconds=0.0, search="")


def test_a_validation_split_of_the_source_is_used_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, n in (("train", 40), ("val", 20), ("test", 20)):
        X = rng.normal(size=(n, 5)).astype(np.float32)
        np.savez(tmp_path / f"{part}.npz", X=X, y=np.arange(n) % 2)
    result = choose_and_test(KnnSettings(str(tmp_path), metric="cosine", ks=(1, 3)))
    assert result.n_train == 40
    assert result.n_validation == 20


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ks": ()}, "each >= 1"),
        ({"ks": (0, 1)}, "each >= 1"),
        ({"metric": "l3"}, "expected one of l2, l1, cosine"),
        ({"folds": 1}, "folds = 1"),
        ({"validation": 0.0}, "validation = 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        KnnSettings("digits", **changes)  # type: ignore[arg-type]


def test_a_k_larger_than_the_training_images_is_refused() -> None:
    with pytest.raises(ParameterError, match="k = 5000 neighbours, but n_samples = "):
        choose_and_test(KnnSettings("digits", ks=(1, 5000)))


def test_vectors_have_no_pictures_as_neighbours(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="holds vectors of 2 numbers"):
        choose_and_test(KnnSettings("planar:shell"), neighbours_of=[tmp_path / "a.png"])
