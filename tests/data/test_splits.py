"""Splits: every image in one part, each class in every part, pixels shared, one seed one split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linprobe.data.base import Dataset, ImageSet
from linprobe.data.splits import lacking_note, notes_on, split_dataset, stratified_folds, train_validation_test
from linprobe.errors import ParameterError, SplitError

NAMES = ("cat", "dog", "owl")


def images(y: list[int] | np.ndarray, names: tuple[str, ...] = NAMES) -> ImageSet:
    """Pictures of one pixel, each with its own file name."""
    n = len(y)
    return ImageSet(
        np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1),
        np.array(y, np.int64),
        names,
        "pets",
        names=tuple(f"{i}.png" for i in range(n)),
    )


def dataset(counts: tuple[int, ...], **parts: ImageSet) -> Dataset:
    """Shuffled images, `counts` of each class."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return Dataset("pets", "folder", NAMES[: len(counts)], images(y, NAMES[: len(counts)]), **parts)


@given(
    st.lists(st.integers(3, 40), min_size=2, max_size=3),
    st.floats(0.0, 0.99),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_the_parts_cover_every_image_once_and_hold_every_class(counts, validation, test, seed):
    whole = dataset(tuple(counts))
    parts = split_dataset(whole, validation=validation, test=test, seed=seed)
    there = [part for part in (parts.train, parts.validation, parts.test) if part is not None]
    assert len(there) == (3 if validation else 2)
    rows = np.concatenate([part.rows for part in there])
    assert sorted(rows) == list(range(sum(counts)))
    for part in there:
        assert set(part.y) == set(range(len(counts)))
        assert part.images is whole.train.images
        assert np.array_equal(part.y, whole.train.y[part.rows])
        assert part.names == tuple(f"{i}.png" for i in part.rows)


def test_a_fifth_of_each_class_goes_to_the_test_part():
    split = train_validation_test(dataset((100, 50, 10)))
    assert np.bincount(split.test.y).tolist() == [20, 10, 2]
    assert np.bincount(split.train.y).tolist() == [80, 40, 8]
    assert split.validation is None


def test_shares_that_do_not_come_out_even_are_rounded_as_a_whole():
    counts = tuple([7] * 3)  # a fifth of 21 is 4.2, of each class 1.4
    assert train_validation_test(dataset(counts)).test.n_images == 4


def test_the_validation_part_is_a_share_of_what_the_test_part_leaves():
    split = train_validation_test(dataset((100, 50, 50)), 0.25)
    assert split.validation is not None
    assert [split.train.n_images, split.validation.n_images, split.test.n_images] == [120, 40, 40]


def test_the_test_part_of_a_seed_does_not_depend_on_the_validation_part():
    whole = dataset((20, 20))
    with_, without = train_validation_test(whole, 0.3, 5), train_validation_test(whole, 0.0, 5)
    assert np.array_equal(with_.test.rows, without.test.rows)


def test_a_seed_gives_one_split_and_another_seed_another():
    whole = dataset((50, 50))
    rows = [train_validation_test(whole, 0.1, seed).train.rows for seed in (1, 1, 2)]
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])


def test_splits_of_the_source_are_used_as_they_are():
    own = {"validation": images([0, 1], NAMES[:2]), "test": images([1, 0], NAMES[:2])}
    whole = dataset((4, 4), **own)
    split = train_validation_test(whole, 0.5)
    assert split.train is whole.train
    assert split.validation is own["validation"]
    assert split.test is own["test"]


def test_a_share_of_0_holds_nothing_out():
    assert split_dataset(dataset((1, 1)), test=0.0).test is None


def test_parts_of_a_subset_point_at_the_pictures_they_were_made_from():
    whole = dataset((20, 20))
    picked = np.flatnonzero(np.arange(40) % 2)
    split = train_validation_test(Dataset("pets", "folder", NAMES[:2], whole.train.subset(picked)), 0.2)
    assert split.validation is not None
    rows = np.concatenate([split.train.rows, split.validation.rows, split.test.rows])
    assert sorted(rows) == picked.tolist()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_outside_0_to_1_is_an_error(share):
    with pytest.raises(ParameterError, match=r"validation = .*expected the share"):
        split_dataset(dataset((5, 5)), validation=share)
    with pytest.raises(ParameterError, match=r"test = .*expected the share"):
        split_dataset(dataset((5, 5)), test=share)


def test_a_negative_seed_is_an_error():
    with pytest.raises(ParameterError, match=r"seed = -1; expected an integer >= 0"):
        split_dataset(dataset((5, 5)), seed=-1)
    with pytest.raises(ParameterError, match=r"seed = -1; expected an integer >= 0"):
        stratified_folds(np.array([0, 0, 1, 1]), 2, seed=-1)


def test_a_source_with_one_class_only_is_an_error():
    with pytest.raises(SplitError, match="pets: found one class only, 'cat'; expected at least 2"):
        split_dataset(dataset((5,)))


def test_a_class_with_too_few_images_to_be_in_every_part_is_named():
    assert train_validation_test(dataset((5, 2))).test.n_images == 2
    with pytest.raises(SplitError, match=r"class 'dog' has fewer than 2 .* one each for train and test"):
        split_dataset(dataset((5, 1)))
    with pytest.raises(SplitError, match="classes 'cat', 'dog' have fewer than 3"):
        split_dataset(dataset((2, 2)), validation=0.5)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_class_without_an_image_in_a_split_of_the_source_is_named(part):
    lacking = dataset((4, 4), **{part: images([0, 0], NAMES[:2])})
    (note,) = notes_on(lacking, train_validation_test(lacking))
    assert note == f"class 'dog' has no image in the {part} split: its figures are over the other 1 of 2 classes."
    assert lacking_note([], 2, "all") is None
    assert str(lacking_note(["dog"], 2, "all")).startswith("class 'dog' has no image in the source:")


def test_a_class_without_a_training_image_is_named():
    whole = Dataset("pets", "folder", NAMES, images([0, 0, 0, 2, 2, 2]))
    with pytest.raises(SplitError, match="class 'dog' has no image in the train split"):
        split_dataset(whole)


@given(st.lists(st.integers(4, 30), min_size=2, max_size=4), st.integers(2, 4), st.integers(0, 2**32))
def test_folds_cover_every_row_once_and_are_as_even_as_can_be(counts, k, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    folds = stratified_folds(y, k, seed)
    assert len(folds) == k
    assert sorted(np.concatenate(folds)) == list(range(len(y)))
    by_class = np.array([np.bincount(y[fold], minlength=len(counts)) for fold in folds])
    assert np.ptp(by_class, axis=0).max() <= 1
    assert np.ptp(by_class.sum(axis=1)) <= 1
    assert all(np.array_equal(a, b) for a, b in zip(folds, stratified_folds(y, k, seed), strict=True))


def test_folds_that_cannot_be_made_are_errors():
    with pytest.raises(ParameterError, match="k = 1; expected at least 2"):
        stratified_folds(np.array([0, 1]), 1)
    with pytest.raises(SplitError, match="y has 1 class; expected at least 2"):
        stratified_folds(np.zeros(9, int), 3)
    with pytest.raises(SplitError, match="class 1 has 2 images; 3 folds need at least 3"):
        stratified_folds(np.array([0, 0, 0, 1, 1]), 3)


@given(st.integers(0, 2**32), st.integers(1, 9))
def test_what_is_held_out_is_spread_over_the_order_of_the_source(seed, tenths):
    y = np.repeat([0, 1], 100)
    whole = Dataset("pets", "folder", NAMES[:2], images(y, NAMES[:2]))
    split = split_dataset(whole, test=tenths / 10, seed=seed)
    for label in (0, 1):
        rows = split.test.rows[split.test.y == label] - 100 * label
        assert len(rows) == 10 * tenths
        # as many in each tenth of the class as in any other, to one image
        assert set(np.abs(np.bincount(rows // 10, minlength=10) - tenths)) <= {0, 1}
