"""Pictures: one call to a file, the same bytes every time, colours that a page may set."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from linprobe.errors import OutputError, ParameterError
from linprobe.explain.picture import (
    CLASS_COLORS,
    CLASS_MARKERS,
    INK,
    Picture,
    class_style,
    coarser,
    drawing,
    label_text,
    shown,
    symmetric_limit,
)


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


def test_the_first_hundred_classes_have_styles_of_their_own():
    assert len({class_style(k) for k in range(100)}) == 100


def test_names_are_one_short_line_and_no_formula():
    assert label_text("a\nb  c") == "a b c"
    assert label_text(7) == "7"
    assert label_text("x" * 30, 10) == "x" * 9 + "\N{HORIZONTAL ELLIPSIS}"
    with drawing(2.0, 1.0) as figure:
        figure.text(0.1, 0.5, label_text("costs $x_1$"))
    assert ">costs $x_1$<" in Picture(figure, "").svg()


def test_a_script_that_the_font_lacks_is_drawn_without_a_warning():
    with drawing(2.0, 1.0) as figure:
        figure.text(0.1, 0.5, "犬")
    assert ">犬<" in Picture(figure, "").svg()
    assert Picture(figure, "").png()


def test_the_ends_of_a_diverging_map_are_never_zero():
    assert symmetric_limit(np.zeros(4)) == 1.0
    assert symmetric_limit(np.array([-3.0, 1.0])) == 3.0
    assert symmetric_limit(np.array([0.0] * 999 + [-2.0]), share=0.99) == 2.0
    assert symmetric_limit(np.arange(101.0), share=0.5) == 50.0


def test_pictures_of_any_channels_are_shown_as_rgb():
    grey = np.array([[0, 255]], np.uint8)
    assert shown(grey).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert shown(np.full((2, 3, 4), 8, np.uint8)).tolist() == [[[8, 8, 8]] * 3] * 2
    colours = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (shown(colours) == colours).all()


def test_large_pictures_are_shown_smaller_by_means():
    image = np.zeros((5, 200, 3), np.uint8)
    image[:, ::2] = 100
    small = shown(image, side=100)
    assert small.shape == (2, 100, 3)
    assert (small == 50).all()


def test_a_coarser_map_has_means_of_squares():
    values = np.arange(35.0).reshape(5, 7)
    assert (coarser(values, 7) == values).all()
    assert coarser(values, 4).tolist() == [[values[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(3)]
                                           for i in range(2)]  # fmt: skip
    assert coarser(values[:2], 2).shape == (1, 1)
    assert coarser(np.ones((9, 1, 3)), 4).shape == (3, 1, 3)


def test_threads_draw_one_after_the_other_and_leave_the_settings_as_they_were():
    import matplotlib

    before = dict(matplotlib.rcParams)

    def draw(k):
        with drawing(2.0, 1.0) as figure:
            figure.subplots().plot([0, k], [1, 0])
        return Picture(figure, "").svg()

    expected = [draw(k) for k in range(8)]
    with ThreadPoolExecutor(4) as workers:
        assert list(workers.map(draw, range(8))) == expected
    assert dict(matplotlib.rcParams) == before
