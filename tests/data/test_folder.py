"""Folders of class folders: the layouts that are read, and one clear line for each that is not."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linprobe.data.base import ImageSet, ReadOptions
from linprobe.data.folder import FolderReader, arrange
from linprobe.errors import DataError, ImageError, LabelError, SourceError, SplitError


def save(path: Path, value: int = 0, size: tuple[int, int] = (4, 3), mode: str = "RGB") -> None:
    """A picture of one intensity, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(path)


def read(path: Path, **options: object) -> object:
    return FolderReader().read(str(path), path, ReadOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("cache", [True, False])
def test_class_folders_become_labels_in_sorted_order(tmp_path: Path, cache: bool) -> None:
    for k, name in enumerate(["dog", "cat", "ant"]):
        save(tmp_path / name / "b.png", 10 * k + 1)
        save(tmp_path / name / "deeper" / "a.png", 10 * k)
    dataset = FolderReader().read(str(tmp_path), tmp_path, ReadOptions(cache=cache))
    assert dataset.class_names == ("ant", "cat", "dog")
    assert isinstance(dataset.train, ImageSet)
    assert dataset.train.images.shape == (6, 3, 4, 3)
    assert dataset.train.images[:, 0, 0, 0].tolist() == [21, 20, 11, 10, 1, 0]
    assert dataset.train.y.tolist() == [0, 0, 1, 1, 2, 2]
    assert dataset.train.names is not None
    assert dataset.train.names[:2] == ("ant/b.png", "ant/deeper/a.png")
    assert dataset.validation is None
    assert dataset.test is None


@pytest.mark.parametrize("around", ["", "pets"])
def test_splits_are_recognised_by_their_names_also_inside_one_folder(tmp_path: Path, around: str) -> None:
    for s, split in enumerate(["Train", "val", "TEST"]):
        for k, name in enumerate(["a", "b"]):
            save(tmp_path / around / split / name / "0.png", 100 * k + s)
    dataset = FolderReader().read(str(tmp_path), tmp_path, ReadOptions())
    for s, part in enumerate([dataset.train, dataset.validation, dataset.test]):
        assert isinstance(part, ImageSet)
        assert part.images[:, 0, 0, 0].tolist() == [s, 100 + s]
        assert part.y.tolist() == [0, 1]


def test_hidden_files_and_notes_at_the_top_are_ignored(tmp_path: Path) -> None:
    for name in ("a/0.png", "b/0.png", "__MACOSX/0.png", ".git/0.png", "a/.0.png"):
        save(tmp_path / name)
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "README.md").write_text("notes")
    assert FolderReader().read(str(tmp_path), tmp_path, ReadOptions()).train.names == ("a/0.png", "b/0.png")


def test_a_class_may_be_called_test() -> None:
    layout = arrange(["test/a.png", "train/a.png", "car/a.png"], [], "here")
    assert layout.class_names == ("car", "test", "train")
    assert layout.splits == (("train", 3),)


@pytest.mark.parametrize(
    ("names", "folders", "error", "message"),
    [
        ([], [], SourceError, "here: empty; expected a folder per class"),
        (["a/0.png"], [], LabelError, "found only the class folder a"),
        (["README.md"], [], LabelError, "found no class folder"),
        (["a/0.png", "b/0.png", "c.png"], [], SourceError, "the picture c.png lies in no class folder"),
        (["a/0.png", "b/0.png"], ["c"], SplitError, "the class folder c holds no picture"),
        (
            ["train/a/0.png", "train/c/0.png", "test/b/0.png"],
            [],
            SplitError,
            "the class b is in test but not in train",
        ),
        (
            ["train/a/0.png", "test/a/0.png", "test/b/0.png"],
            ["train/b"],
            SplitError,
            "the class folder b of train holds no picture",
        ),
        (["test/a/0.png", "test/b/0.png"], [], SplitError, "found test but no train"),
        (["train/a/0.png", "val/a/0.png", "valid/a/0.png"], [], SplitError, "val and valid both mean"),
        (["train/a/0.png", "other/a/0.png"], [], SourceError, "found other and train"),
    ],
)
def test_each_wrong_layout_has_its_line(
    names: list[str], folders: list[str], error: type[DataError], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        arrange(names, folders, "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("folders", [[], ["test/b"]])
def test_a_class_may_lack_pictures_in_the_test_split(folders: list[str]) -> None:
    layout = arrange(["train/a/0.png", "train/b/0.png", "test/a/0.png"], folders, "here")
    assert layout.splits == (("train", 2), ("test", 1))
    assert layout.class_names == ("a", "b")


def test_a_source_to_test_a_model_on_needs_no_training_images() -> None:
    layout = arrange(["test/a/0.png", "test/b/0.png"], [], "here", to_train=False)
    assert layout.splits == (("test", 2),)
    assert arrange(["a/0.png"], [], "here", to_train=False).class_names == ("a",)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("Training Set", "Test Set"),
        ("trainset", "testset"),
        ("train-images", "test-images"),
        ("images_train", "images_test"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("training_set/training_set", "test_set/test_set"),
        ("archive/train_data", "archive/test_data"),
    ],
)
def test_splits_are_read_as_splits_where_their_names_say_so(train: str, test: str) -> None:
    names = [f"{part}/{kind}/{i}.png" for part in (train, test) for kind in ("cats", "dogs") for i in range(2)]
    layout = arrange(names, [], "here")
    assert layout.class_names == ("cats", "dogs")
    assert layout.splits == (("train", 4), ("test", 4))
    assert layout.notes == ()


def test_classes_with_split_words_in_their_names_stay_classes() -> None:
    names = [f"{kind}/day/{i}.png" for kind in ("test_tube", "train_station") for i in range(2)]
    assert arrange(names, [], "here").class_names == ("test_tube", "train_station")


def test_classes_that_all_hold_the_same_subfolders_are_warned_of() -> None:
    names = [f"{part}/{kind}/0.png" for part in ("first", "second") for kind in ("cats", "dogs")]
    (note,) = arrange(names, [], "here").notes
    assert "the classes are first, second, and each of them has the subfolders cats, dogs" in note
    assert arrange(["a/x/0.png", "a/y/0.png", "b/z/0.png"], [], "here").notes == ()


def test_the_thumbnails_of_network_drives_are_no_training_pictures(tmp_path: Path) -> None:
    for name in "ab":
        for inside in ("0.png", "@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg"):
            (tmp_path / name / inside).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 3)).save(tmp_path / name / inside)
    (tmp_path / "@eaDir").mkdir()
    assert FolderReader().read(str(tmp_path), tmp_path, ReadOptions()).train.names == ("a/0.png", "b/0.png")


def test_a_source_read_to_test_a_model_is_still_refused_for_training(tmp_path: Path) -> None:
    (tmp_path / "test" / "a").mkdir(parents=True)
    Image.new("L", (4, 3)).save(tmp_path / "test" / "a" / "0.png")
    tested = FolderReader().read(str(tmp_path), tmp_path, ReadOptions(to_train=False))
    assert (tested.train.n_images, tested.test.n_images) == (0, 1)
    with pytest.raises(SplitError, match="found test but no train"):
        FolderReader().read(str(tmp_path), tmp_path, ReadOptions())


@pytest.mark.parametrize("cache", [False, True])
def test_pictures_that_use_little_of_their_16_bits_are_warned_of(tmp_path: Path, cache: bool) -> None:
    for name, top in (("a", 2000), ("b", 4095)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((4, 3), top, np.uint16)).save(tmp_path / name / "0.png")
    for _ in range(2):  # decoded, and from the cache
        (note,) = FolderReader().read(str(tmp_path), tmp_path, ReadOptions(cache=cache)).notes
        assert "2 pictures have 16 bits but no value above 6.6% of their range" in note
        assert "at most 17 grey levels" in note
    Image.fromarray(np.full((4, 3), 40000, np.uint16)).save(tmp_path / "a" / "1.png")
    assert FolderReader().read(str(tmp_path), tmp_path, ReadOptions(cache=cache)).notes == ()


def test_the_first_broken_pictures_are_named_or_all_are_skipped_and_counted(tmp_path: Path) -> None:
    for name in "ab":
        for i in range(3):
            save(tmp_path / name / f"{i}.png", 100 * (name == "b") + i)
    for i in range(30):
        (tmp_path / "a" / f"bad{i:02}.png").write_bytes(b"no picture")
    (tmp_path / "b" / "0.png").write_bytes(b"")
    with pytest.raises(
        ImageError, match=r"31 pictures of 36 .*a/bad00.png .*a/bad04.png \([^,]*\) and 26 more; .*--on-bad-image skip"
    ):
        read(tmp_path)
    for cache in (True, True, False):  # decoded, then from the cache, then without it
        dataset = FolderReader().read(str(tmp_path), tmp_path, ReadOptions(on_bad_image="skip", cache=cache))
        assert len(dataset.skipped) == 31
        assert ("b/0.png", "an empty file") in [(s.name, s.reason) for s in dataset.skipped]
        assert isinstance(dataset.train, ImageSet)
        assert dataset.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 101, 102]
        assert dataset.train.y.tolist() == [0, 0, 0, 1, 1]
        assert dataset.train.names == ("a/0.png", "a/1.png", "a/2.png", "b/1.png", "b/2.png")


def test_a_class_of_which_skipping_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0.png").write_bytes(b"")
    with pytest.raises(ImageError, match="all pictures of the class b in train are broken"):
        read(tmp_path, on_bad_image="skip")


def test_different_sizes_name_two_files_and_the_option_that_helps(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png")
    save(tmp_path / "b" / "0.png", size=(6, 5))
    with pytest.raises(ImageError, match=r"a/0.png is 3x4 and b/0.png is 5x6 .*--image-size 3x4"):
        read(tmp_path)
    assert FolderReader().read(str(tmp_path), tmp_path, ReadOptions(image_size=(2, 7))).image_shape == (
        2,
        7,
        3,
    )


def test_grey_pictures_keep_one_channel_until_a_colour_picture_is_among_them(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", 7, mode="L")
    save(tmp_path / "b" / "0.png", 8, mode="L")
    assert FolderReader().read(str(tmp_path), tmp_path, ReadOptions()).image_shape == (3, 4, 1)
    save(tmp_path / "b" / "1.png", 9)
    dataset = FolderReader().read(str(tmp_path), tmp_path, ReadOptions())
    assert isinstance(dataset.train, ImageSet)
    assert np.array_equal(dataset.train.images[:, 0, 0], [[7, 7, 7], [8, 8, 8], [9, 9, 9]])


def test_many_folders_beside_a_split_are_counted(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "0.png")
    for i in range(300):
        (tmp_path / f"more{i:03}").mkdir()
    with pytest.raises(SourceError, match=r"found more000, more001, more002, more003 and 296 more and train; "):
        read(tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    save(tmp_path / "else" / "0.png")
    save(tmp_path / "data" / "a" / "0.png")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "else")
    assert FolderReader().read("s", tmp_path / "data", ReadOptions()).class_names == ("a", "b")
    (tmp_path / "data" / "a" / "round").symlink_to(tmp_path / "data")
    with pytest.raises(SourceError, match="a link to a folder above it"):
        read(tmp_path / "data")


def test_any_number_of_threads_gives_the_same_pixels_and_progress_ends_at_the_total(tmp_path: Path) -> None:
    for i in range(600):
        save(tmp_path / "ab"[i % 2] / f"{i:03}.png", i % 256, size=(1, 1))
    calls: list[tuple[str, int, int]] = []
    one = FolderReader().read("s", tmp_path, ReadOptions(cache=False, n_threads=1))
    many = FolderReader().read(
        "s", tmp_path, ReadOptions(cache=False, n_threads=4, progress=lambda *call: calls.append(call))
    )
    assert np.array_equal(one.train.X, many.train.X)
    assert [done for _, done, _ in calls] == [256, 512, 600]
    assert calls[-1] == ("decoding pictures", 600, 600)


def test_pipes_and_links_to_nowhere_are_broken_pictures(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / name / "0.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "b" / "nowhere.png").symlink_to(tmp_path / "missing")
    dataset = FolderReader().read("s", tmp_path, ReadOptions(on_bad_image="skip"))
    assert [(s.name, s.reason) for s in dataset.skipped] == [
        ("a/pipe.png", "not a plain file"),
        ("b/nowhere.png", "No such file or directory"),
    ]
