"""Images are known by their content, whatever their type, place and order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from linprobe import LinearClassifier, load_model
from linprobe.data.base import Dataset, EmbeddingSet, ImageSet
from linprobe.data.digits import load_digits
from linprobe.runs.contents import contents_of, digests_of, seen_among, seen_images, twins_notes

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(700, 600)).astype(np.float16)


def vectors(X: np.ndarray) -> EmbeddingSet:
    return EmbeddingSet(X, np.arange(len(X)) % 2, ("a", "b"), "here")


def test_a_digest_is_of_the_numbers_and_not_of_their_type_layout_or_threads() -> None:
    expected = digests_of(vectors(VECTORS), 1)
    assert len(np.unique(expected)) == len(VECTORS)
    for X in (VECTORS.astype(np.float32), VECTORS.astype(np.float64), np.asfortranarray(VECTORS)):
        assert (digests_of(vectors(X), 3) == expected).all()
    assert digests_of(vectors(np.array([[0.0, 1.0]]))) == digests_of(vectors(np.array([[-0.0, 1.0]])))


def test_the_digests_of_a_subset_are_those_of_its_images() -> None:
    digits = load_digits()
    contents = contents_of(Dataset("digits", "digits", digits.class_names, digits))
    picked = RANDOM.permutation(digits.n_images)[:200]
    part = digits.subset(picked)
    assert (contents.of_train(digits, part) == digests_of(part)).all()
    assert (contents.train[picked] == digests_of(part)).all()
    assert contents.test is None
    seen = seen_among(contents.train, np.sort(digests_of(part)))
    assert sorted(np.flatnonzero(seen)) == sorted(picked)


def test_the_digest_of_a_source_changes_with_a_pixel_a_label_a_name_and_a_split() -> None:
    digits = load_digits()
    images, y = digits.images.copy(), digits.y.copy()
    images[5, 0, 0, 0] ^= 1
    y[5] = (y[5] + 1) % 10
    whole = Dataset("digits", "digits", digits.class_names, digits)
    changed = [
        replace(whole, train=replace(digits, images=images)),
        replace(whole, train=replace(digits, y=y)),
        replace(whole, class_names=tuple("abcdefghij")),
        replace(whole, test=digits.subset(np.arange(9))),
    ]
    assert len({contents_of(one).digest for one in (whole, *changed)}) == 5
    assert contents_of(replace(whole, source="moved", fingerprint="other")).digest == contents_of(whole).digest


def test_a_set_without_images_has_no_digests() -> None:
    nothing = ImageSet(np.empty((0, 4, 4, 3), np.uint8), np.empty(0, np.int64), ("a",), "here")
    assert digests_of(nothing).shape == (0,)


def test_test_images_that_are_training_images_are_counted() -> None:
    trained = digests_of(vectors(VECTORS[:7]))
    assert twins_notes(seen_images(vectors(VECTORS[7:10]), trained)) == ()
    (note,) = twins_notes(seen_images(vectors(VECTORS[5:10]), trained))
    assert note.startswith("2 of 5 test images are equal to a training image")


def test_mirror_images_of_training_images_were_seen() -> None:
    digits = load_digits()
    pictures = np.repeat(digits.images, 3, axis=3)
    pictures[..., 1] //= 2
    whole = replace(digits, images=pictures)
    mirrored = replace(digits, images=np.ascontiguousarray(pictures[:, :, ::-1]))
    trained = np.sort(digests_of(whole.subset(np.arange(100))))
    seen = seen_images(mirrored, trained)
    assert seen[:100].all()
    assert not seen[100:].any()
    assert (digests_of(mirrored) == digests_of(whole, mirrored=True)).all()
    assert (digests_of(mirrored.subset(np.arange(9, 2, -1)), 1) == digests_of(whole, 3, mirrored=True)[9:2:-1]).all()


def test_a_model_keeps_its_digests_until_it_is_trained_again(tmp_path: Path) -> None:
    model = LinearClassifier(random_state=0).fit(VECTORS[:, :5], np.arange(700) % 2)
    assert model.trained_on_ is model.chosen_on_ is None
    model.trained_on_ = np.sort(digests_of(vectors(VECTORS)))
    model.chosen_on_ = model.trained_on_[:3]
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert (again.trained_on_ == model.trained_on_).all()
    assert (again.chosen_on_ == model.chosen_on_).all()
    again.fit(VECTORS[:, :5], np.arange(700) % 2)
    assert again.trained_on_ is again.chosen_on_ is None
