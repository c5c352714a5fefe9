"""Pictures: one call to a file, the same bytes every time, colours that a page may set."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from linprobe.errors import OutputError, ParameterError
from linprobe.explain.picture import CLASS_COLORS, CLASS_MARKERS, INK, Picture, drawing


@pytest.fixture
def picture():
    with drawing(3.0, 2.0) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [1, 0], color=INK)
        axes.set_xlabel("passes")
    return Picture(figure, "a line that falls from 1 to 0")


def test_a_png_has_the_size_in_inches_times_the_dots(picture, tmp_path):
    path = picture.save(tmp_path / "line.png")
    with Image.open(path) as image:
        assert image.size == (3 * 144, 2 * 144)


def test_an_svg_keeps_its_text_and_names_its_colours(picture, tmp_path):
    text = picture.save(tmp_path / "line.svg").read_text()
    assert text.startswith("<?xml")
    assert ">passes<" in text
    assert f"var(--ink, {INK})" in text
    assert f": {INK}" not in text


def test_the_same_drawing_gives_the_same_bytes(picture):
    assert picture.svg() == picture.svg()
    assert picture.png() == picture.png()


def test_another_suffix_is_an_error_that_names_the_two(picture, tmp_path):
    with pytest.raises(ParameterError, match=r"ends in \.png or \.svg"):
        picture.save(tmp_path / "line.jpg")


def test_a_missing_folder_is_one_line_with_the_path(picture, tmp_path):
    with pytest.raises(OutputError, match=r"nowhere/line\.png: cannot be written"):
        picture.save(tmp_path / "nowhere" / "line.png")


def test_drawing_changes_no_setting_of_matplotlib():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with drawing() as figure:
        figure.subplots()
    assert dict(matplotlib.rcParams) == before


def test_classes_differ_in_colour_and_in_shape():
    assert len(set(CLASS_COLORS)) == len(set(CLASS_MARKERS)) == len(CLASS_COLORS) == len(CLASS_MARKERS)


def test_a_png_is_a_picture_on_paper(picture):
    assert Image.open(io.BytesIO(picture.png(72))).convert("RGB").getpixel((0, 0)) == (255, 255, 255)
