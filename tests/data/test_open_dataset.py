"""`open_dataset` finds the reader by looking, takes options in two ways, and refuses in one line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import linprobe
from linprobe.data import EmbeddingSet, ImageSet, ReadOptions, open_dataset
from linprobe.errors import FormatError, IncompatibleError, ParameterError, SourceError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two classes, one picture each."""
    for value, name in enumerate("ab"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.new("L", (3, 2), value).save(tmp_path / "pets" / name / "0.png")
    return tmp_path / "pets"


def test_a_folder_and_an_archive_of_it_give_the_same_data(pictures: Path) -> None:
    archive = pictures.parent / "pets.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in sorted(pictures.rglob("*.png")):
            out.write(path, path.relative_to(pictures))
    folder, zipped = open_dataset(pictures), open_dataset(str(archive))
    assert (folder.format, zipped.format) == ("folder", "archive")
    assert np.array_equal(folder.train.X, zipped.train.X)
    assert np.array_equal(folder.train.y, zipped.train.y)
    assert folder.train.names == zipped.train.names
    assert folder.class_names == zipped.class_names


def test_options_are_a_record_or_separate_but_not_both(pictures: Path) -> None:
    for dataset in (
        open_dataset(pictures, ReadOptions(image_size=(5, 4))),
        open_dataset(pictures, image_size=(5, 4)),
        linprobe.open_dataset(pictures, image_size=(5, 4)),
    ):
        assert dataset.image_shape == (5, 4, 1)
    with pytest.raises(IncompatibleError, match="pass only one of the two"):
        open_dataset(pictures, ReadOptions(), image_size=(5, 4))
    with pytest.raises(IncompatibleError, match="pass only one of the two"):
        open_dataset(pictures, ReadOptions(), progress=lambda *_: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (0, 4)}, r"image_size = \(0, 4\); expected \(height, width\)"),
        ({"image_size": (4,)}, r"image_size = \(4,\)"),
        ({"on_bad_image": "ignore"}, "on_bad_image = 'ignore'; expected one of fail, skip"),
        ({"n_threads": 0}, "n_threads = 0; expected at least 1"),
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_read(options: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        open_dataset("missing", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/no/such/folder", "/no/such/folder: no such file or folder"),
        ("nul\0nul", "cannot be accessed|no such file or folder"),
        ("x" * 5000, "cannot be accessed"),
        ("~no_such_user_of_this_name/pets", "cannot be accessed"),
    ],
)
def test_a_missing_source_is_one_line(source: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        open_dataset(source)
    assert "\n" not in str(caught.value)


def test_a_fault_that_no_reader_knows_is_one_line_with_a_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("two\nlines")

    monkeypatch.setattr("linprobe.data.folder.FolderReader.read", fail)
    with pytest.raises(FormatError) as caught:
        open_dataset(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: found what cannot be read (KeyError: 'two\\nlines'), expected a source in a format that linprobe "
        "reads. Create or fetch it again; if other programs read it, report it with the output of --debug."
    )


def test_a_file_of_no_known_format_is_one_line_with_the_formats_there_are(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(SourceError, match=r"notes\.txt: unknown format; expected a folder"):
        open_dataset(tmp_path / "notes.txt")


def test_a_subset_shares_memory_and_subsets_of_subsets_count_from_the_first() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3, 1)
    whole = ImageSet(images, np.array([0, 1, 0, 1]), ("a", "b"), "here", names=("p", "q", "r", "s"))
    part = whole.subset(np.array([3, 1, 0])).subset(np.array([0, 2]))
    assert part.rows is not None
    assert part.rows.tolist() == [3, 0]
    assert part.y.tolist() == [1, 0]
    assert part.names == ("s", "p")
    assert (part.n_images, part.image_shape) == (2, (2, 3, 1))
    assert np.shares_memory(part.X, images)
    points = EmbeddingSet(np.eye(3), np.array([0, 1, 1]), ("a", "b"), "here").subset(np.array([2]))
    assert isinstance(points, EmbeddingSet)
    assert (points.n_images, points.image_shape, points.names) == (1, None, None)
