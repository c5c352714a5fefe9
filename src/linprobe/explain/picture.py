"""What every drawing is made on: one look, colours that the colour-blind tell apart, and one call to a file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linprobe.errors import OutputError, ParameterError
from linprobe.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CLASS_COLORS",
    "CLASS_MARKERS",
    "DIVERGING",
    "GRID",
    "INK",
    "MUTED",
    "ON_DARK",
    "ON_LIGHT",
    "PAPER",
    "Picture",
    "class_style",
    "drawing",
    "label_text",
    "shown",
    "symmetric_limit",
]

INK = "#1f2430"
"""Text and axes."""
MUTED = "#667085"
"""What is read second: tick labels, notes."""
GRID = "#d5d9e2"
"""Lines behind the data."""
PAPER = "#ffffff"
"""Behind all."""
ON_LIGHT, ON_DARK = "#101218", "#fdfdfd"
"""Text on a coloured ground, which no page recolours."""

CLASS_COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8f6bb8", "#8c7a00", "#4d4d4d", "#7aa6a1",
)  # fmt: skip
"""Colours of classes and of series, in turn: those of Okabe and Ito, darkened where white is behind, and three more."""
CLASS_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "*")
"""Shapes of classes, so that no colour is needed to tell them apart."""
DIVERGING = "RdBu"
"""Colour map of signed numbers, centred on 0: red is negative, blue is positive; told apart by all common eyes."""

# Named in the SVG as CSS variables with these defaults: a page that sets them draws its pictures in its own colours.
_THEMED = {"ink": INK, "muted": MUTED, "grid": GRID, "paper": PAPER}

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": PAPER,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "image.interpolation": "none",  # pixels stay squares, and an SVG holds each of them once
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and set in the page's own ink
    "svg.hashsalt": "linprobe",  # same drawing, same bytes
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelsize": 8,
}


class Picture:
    """A finished drawing, and what it shows in a sentence for those who cannot see it.

    Args:
        figure: the drawing.
        alt: the sentence.
    """

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    def svg(self) -> str:
        """The drawing as an SVG element, without XML prologue, to put into a page or a file.

        Ink, muted ink, grid and paper are the CSS variables --ink, --muted, --grid and --paper where the page has them.
        """
        text = self._saved("svg", metadata={"Date": None}).decode()
        text = text[text.index("<svg") :]
        for name, color in _THEMED.items():
            text = text.replace(f": {color}", f": var(--{name}, {color})")
        return text

    def png(self, dpi: int = 144) -> bytes:
        """The drawing as a PNG file of `dpi` pixels an inch."""
        return self._saved("png", dpi=dpi, metadata={"Software": None})

    def save(self, path: str | Path) -> Path:
        """Write the drawing to `path`, `.png` or `.svg`, whole or not at all.

        Raises:
            ParameterError: another suffix.
            OutputError: the file cannot be written.
        """
        path = Path(path)
        match path.suffix.lower():
            case ".png":
                content = self.png()
            case ".svg":
                content = ('<?xml version="1.0" encoding="utf-8"?>\n' + self.svg()).encode()
            case _:
                raise ParameterError(f"{path}: expected a name that ends in .png or .svg.")
        try:
            write_whole(path, content)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror}); check the folder and the space."
            ) from error
        return path

    def _repr_svg_(self) -> str:  # notebooks show it
        return self.svg()

    def _saved(self, kind: str, **options: Any) -> bytes:
        import matplotlib

        buffer = io.BytesIO()
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            # of a class name in a script that the font lacks: an SVG is set in the fonts of the page, a PNG shows boxes
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self.figure.savefig(buffer, format=kind, **options)
        return buffer.getvalue()


@contextmanager
def drawing(width: float = 6.4, height: float = 3.6) -> Iterator[Figure]:
    """An empty figure in the house's look, to be drawn on inside the `with`; nothing global is touched.

    Args:
        width, height: in inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def class_style(k: int) -> tuple[str, str]:
    """(colour, marker) of class `k`; the first hundred classes all differ."""
    n = len(CLASS_COLORS)
    return CLASS_COLORS[k % n], CLASS_MARKERS[(k + k // n) % n]


def label_text(text: object, longest: int = 18) -> str:
    """A class name as it is drawn: on one line, of at most `longest` characters, and never read as a formula."""
    line = " ".join(str(text).split())
    if len(line) > longest:
        line = line[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return line.replace("$", r"\$")


def symmetric_limit(values: npt.NDArray[np.floating[Any]], share: float = 1.0) -> float:
    """The v > 0 such that `share` of the absolute values lie in -v..v: the ends of a diverging map. 1 if all are 0."""
    sizes = np.abs(np.asarray(values, dtype=np.float64)).ravel()
    if sizes.size == 0 or not sizes.any():
        return 1.0
    limit = float(np.quantile(sizes, share))
    return limit if limit > 0.0 else float(sizes.max())  # of sparse weights most are 0


def shown(image: npt.NDArray[Any], side: int = 96) -> npt.NDArray[np.uint8]:
    """An image (height, width, channels) or (height, width), 0..255, as RGB bytes (height, width, 3) for `imshow`.

    One with other than three channels is shown as their mean, in grey. One larger than `side` is made smaller by
    means of whole squares of pixels, rows and columns that fill none being left out.
    """
    pixels = np.asarray(image, dtype=np.float64)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] != 3:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
    step = -(-max(pixels.shape[:2]) // side)
    if step > 1:
        height, width = (max(1, n // step) for n in pixels.shape[:2])
        cut = pixels[: height * step, : width * step]
        rows = np.array_split(cut, height, axis=0)
        pixels = np.stack([[part.mean(axis=(0, 1)) for part in np.array_split(row, width, axis=1)] for row in rows])
    return np.rint(np.clip(pixels, 0.0, 255.0)).astype(np.uint8)
