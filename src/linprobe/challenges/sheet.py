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
"""Longer side of a picture on the sheet, in its pixels, about: small pictures are enlarged by a whole factor."""

MARGIN, GAP, CAPTION, LABEL, HEAD = 16, 8, 20, 124, 28
"""Around the sheet, between pictures, below a picture, left of a row, above the first row."""

CROSS = 7
"""Side of the cross before a wrong class, in pixels."""

LOOKED_AT = 32
"""Pictures of a class among which an example is looked for."""

INK, SOFT, RIGHT, WRONG, PAPER = "#1a1a1a", "#6b6b6b", "#0b5fa5", "#b3260b", "#ffffff"


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
    """Example pictures of every kind of change in severities 0..5, with what each severity means.

    Each row shows a picture of the next class. With `classify` it is the first that is classified correctly as it
    is, and below each picture stands the class found, with a cross where it is wrong.

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
            left = MARGIN + LABEL + severity * step_x
            sheet.paste(_shown(picture[0], size), (left, top))
            below = top + size[1] + 3
            amount = _meaning(kind, severity)
            room = size[0] - math.ceil(small.getlength(amount))
            draw.text((left + room, below), amount, SOFT, small)
            if classify is not None:
                found = int(np.asarray(classify(picture))[0])
                hit = found == y[example]
                ink, indent = (RIGHT, 0) if hit else (WRONG, CROSS + 4)
                if not hit:  # drawn: the font has no such sign
                    near, high = left + 1, below + 4
                    draw.line((near, high, near + CROSS, high + CROSS), ink, 2)
                    draw.line((near, high + CROSS, near + CROSS, high), ink, 2)
                draw.text((left + indent, below), _cut(class_names[found], small, room - indent - 4), ink, small)
    return sheet


def to_png(sheet: Image.Image) -> bytes:
    """The sheet as the bytes of a PNG file."""
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def _examples(images: Pixels, y: Labels, positions: npt.NDArray[np.int64], classify: Classify | None) -> list[int]:
    """Which picture of each class to show, among its first: one that `classify` gets right, if there is any."""
    found = []
    for label in np.unique(y):
        first = np.flatnonzero(y == label)[:LOOKED_AT]
        hits = np.zeros(len(first), bool) if classify is None else classify(images[positions[first]]) == label
        found.append(int(first[hits.argmax()]))  # of no hit, the first
    return found


def _meaning(kind: Kind, severity: int) -> str:
    """What the severity means, as a number; its unit stands in the docs."""
    return "" if severity == 0 else f"{kind.amounts[severity - 1]:g}"


def _shown_size(height: int, width: int) -> tuple[int, int]:
    """(width, height) of a picture on the sheet."""
    longer = max(height, width)
    if longer > SIDE:
        return max(1, round(width * SIDE / longer)), max(1, round(height * SIDE / longer))
    return width * (SIDE // longer), height * (SIDE // longer)


def _shown(picture: Pixels, size: tuple[int, int]) -> Image.Image:
    """A picture (height, width, channels) at that size: enlarged, its pixels stay squares; made smaller, averaged."""
    channels = picture.shape[2]
    colours = picture if channels == 3 else np.repeat(picture[:, :, :1], 3, axis=2)
    shrinks = size[0] < picture.shape[1]
    return Image.fromarray(colours).resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`text`, shortened to at most `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
