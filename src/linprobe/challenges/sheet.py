"""A sheet of example pictures: a row for each kind, a column for each severity."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from linprobe.challenges.base import SEVERITIES, Kind
from linprobe.challenges.table import CHALLENGES, Classify, choose
from linprobe.shapes import Labels, Pixels

__all__ = ["contact_sheet", "to_png"]

SIDE = 96
"""Longer side of a picture on the sheet, in pixels, at most; small pictures are enlarged by an integer factor."""

MARGIN, GAP, CAPTION, LABEL, HEAD = 16, 8, 20, 124, 28
"""Margin of the sheet, gap between pictures, height of a caption, width of the labels, height of the header, pixels."""

CROSS = 7
"""Side of the cross before a wrong class, in pixels."""

CANDIDATES = 32
"""Pictures of a class among which an example is chosen, at most."""

INK, SOFT, RIGHT, WRONG, PAPER = "#1a1a1a", "#6b6b6b", "#0b5fa5", "#b3260b", "#ffffff"
"""Colours of names, of notes, of correct and of wrong classes, and of the background."""


def contact_sheet(
    images: Pixels,
    y: Labels,
    class_names: tuple[str, ...],
    seed: int = 0,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    names: Sequence[str] | None = None,
    classify: Classify | None = None,
) -> Image.Image:
    """Example pictures of every kind of change in severities 0..5, with the amount of each severity.

    Each row shows a picture of the next class. With `classify` it is the first that is classified correctly without
    a change. The predicted class is below each picture, with a cross if it is wrong.

    Args:
        images, y, class_names, seed, rows, names: as `run_challenges` takes them.
    """
    wanted = choose(names)
    kinds = [(challenge, kind) for challenge in CHALLENGES for kind in challenge.kinds if kind.name in wanted]
    positions = np.arange(len(images)) if rows is None else rows
    height, width = images.shape[1:3]
    size = _shown_size(height, width)
    step_x, step_y = size[0] + GAP, size[1] + CAPTION + GAP
    sheet = Image.new(
        "RGB",
        (2 * MARGIN + LABEL + len(SEVERITIES) * step_x - GAP, 2 * MARGIN + HEAD + len(kinds) * step_y - GAP),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    text, small = ImageFont.load_default(14), ImageFont.load_default(12)
    for severity in SEVERITIES:
        draw.text((MARGIN + LABEL + severity * step_x, MARGIN), f"severity {severity}", INK, small)
    examples = _examples(images, y, positions, classify)
    shown_before = ""
    for row, (challenge, kind) in enumerate(kinds):
        top = MARGIN + HEAD + row * step_y
        example = examples[row % len(examples)]
        if challenge.name != shown_before:
            draw.text((MARGIN, top), challenge.name, SOFT, small)
            shown_before = challenge.name
        draw.text((MARGIN, top + 18), kind.name, INK, text)
        draw.text((MARGIN, top + 38), _cut(class_names[y[example]], small, LABEL - 8), SOFT, small)
        for severity in SEVERITIES:
            picture = challenge.apply(images, kind.name, severity, seed, rows=positions[[example]])
            left, below = MARGIN + LABEL + severity * step_x, top + size[1] + 3
            sheet.paste(_shown(picture[0], size), (left, top))
            amount = _amount(kind, severity)
            room = size[0] - math.ceil(small.getlength(amount))
            draw.text((left + room, below), amount, SOFT, small)
            if classify is not None:
                found = int(np.asarray(classify(picture))[0])
                _draw_class(draw, (left, below), class_names[found], found == y[example], room)
    return sheet


def _draw_class(draw: ImageDraw.ImageDraw, place: tuple[int, int], name: str, hit: bool, room: int) -> None:
    """The predicted class below a picture, in `room` pixels, with a cross before it unless it is a hit."""
    small = ImageFont.load_default(12)
    left, top = place
    ink, indent = (RIGHT, 0) if hit else (WRONG, CROSS + 4)
    if not hit:  # as lines: the font has no cross
        near, high = left + 1, top + 4
        draw.line((near, high, near + CROSS, high + CROSS), ink, 2)
        draw.line((near, high + CROSS, near + CROSS, high), ink, 2)
    draw.text((left + indent, top), _cut(name, small, room - indent - 4), ink, small)


def to_png(sheet: Image.Image) -> bytes:
    """The sheet as the bytes of a PNG file."""
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def _examples(images: Pixels, y: Labels, positions: npt.NDArray[np.int64], classify: Classify | None) -> list[int]:
    """The picture of each class to show: of its first ones, the first that `classify` gets right, else the first."""
    found = []
    for label in np.unique(y):
        first = np.flatnonzero(y == label)[:CANDIDATES]
        hits = np.zeros(len(first), bool) if classify is None else classify(images[positions[first]]) == label
        found.append(int(first[hits.argmax()]))  # without a hit, the first
    return found


def _amount(kind: Kind, severity: int) -> str:
    """The amount of the severity as text, without its unit, which the docs give."""
    return "" if severity == 0 else f"{kind.amounts[severity - 1]:g}"


def _shown_size(height: int, width: int) -> tuple[int, int]:
    """(width, height) of a picture on the sheet."""
    longer = max(height, width)
    if longer > SIDE:
        return max(1, round(width * SIDE / longer)), max(1, round(height * SIDE / longer))
    return width * (SIDE // longer), height * (SIDE // longer)


def _shown(picture: Pixels, size: tuple[int, int]) -> Image.Image:
    """A picture (height, width, channels) at that size: enlarged without interpolation, or reduced by averages."""
    channels = picture.shape[2]
    colours = picture if channels == 3 else np.repeat(picture[:, :, :1], 3, axis=2)
    shrinks = size[0] < picture.shape[1]
    return Image.fromarray(colours).resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`text`, truncated to at most `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
