"""The base of all drawings: one style, colours for colour-blind readers, and output to SVG and PNG."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linprobe.errors import OutputError, ParameterError
from linprobe.files import unwritten, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure, SubFigure

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
    "canvas",
    "class_grid",
    "class_style",
    "coarser",
    "drawing",
    "grid_columns",
    "label_text",
    "shown",
    "signed_bar",
    "symmetric_limit",
]

INK = "#1f2430"
"""Text and axes."""
MUTED = "#667085"
"""Secondary text: tick labels, notes."""
GRID = "#d5d9e2"
"""Grid lines."""
PAPER = "#ffffff"
"""Background."""
ON_LIGHT, ON_DARK = "#101218", "#fdfdfd"
"""Text on a coloured background, independent of the theme of a page."""

CLASS_COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8f6bb8", "#8c7a00", "#4d4d4d", "#7aa6a1",
)  # fmt: skip
"""Colours of classes and series, used cyclically: those of Okabe and Ito, some darkened for white, and three more."""
CLASS_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "*")
"""Markers of classes, which differ without colour."""
DIVERGING = "RdBu"
"""Colour map of signed numbers, centred on 0: red is negative, blue is positive; safe for colour-blind readers."""

_ONE_AT_A_TIME = threading.RLock()
"""Lock around drawing: matplotlib's settings are global to the process, not to a thread."""

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
    "image.composite_image": False,  # else the images of one axes are merged into one, at 72 pixels an inch
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
    """A finished drawing with a text alternative.

    Args:
        figure: the drawing.
        alt: the text alternative: what the drawing shows, in a sentence.
    """

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    @property
    def width(self) -> float:
        """Of the drawing, in inches."""
        return float(self.figure.get_size_inches()[0])

    def svg(self) -> str:
        """The drawing as an SVG element, without XML prologue, to put into a page or a file.

        Ink, muted ink, grid and paper are the CSS variables --ink, --muted, --grid and --paper where the page has them.
        """
        text = self._saved("svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))).decode()
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
            raise OutputError(unwritten(path, error, "save it again, or give another path")) from error
        return path

    def _repr_svg_(self) -> str:  # notebooks show it
        return self.svg()

    def _saved(self, kind: str, **options: Any) -> bytes:
        import matplotlib

        buffer = io.BytesIO()
        with _ONE_AT_A_TIME, matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            # of a class name in a script that the font lacks: an SVG is set in the fonts of the page, a PNG shows boxes
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self.figure.savefig(buffer, format=kind, **options)
        return buffer.getvalue()


@contextmanager
def drawing(width: float = 6.4, height: float = 3.6, *, arranged: bool = True) -> Iterator[Figure]:
    """An empty figure in the common style, to be drawn on inside the `with`, by one thread at a time.

    Nothing global is changed when it ends.

    Args:
        width, height: in inches.
        arranged: whether matplotlib lays out the axes without overlaps. It takes seconds for dozens of axes; those of
            `class_grid` have places already.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with _ONE_AT_A_TIME, matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained" if arranged else None)


def canvas(figure: Figure | SubFigure, width: float, height: float) -> Axes:
    """Axes over the whole figure without frame, ticks and grid, in inches from its lower left corner.

    It holds many images, each placed by its `extent`: separate axes would take most of the time of a thumbnail.
    """
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.0, width)
    axes.set_ylim(0.0, height)
    axes.set_autoscale_on(False)
    return axes


def class_style(k: int) -> tuple[str, str]:
    """(colour, marker) of class `k`; the first hundred classes all differ."""
    n = len(CLASS_COLORS)
    return CLASS_COLORS[k % n], CLASS_MARKERS[(k + k // n) % n]


def grid_columns(n_classes: int) -> int:
    """Columns of a grid with a small picture for each class."""
    return min(n_classes, 5) if n_classes <= 10 else 8 if n_classes <= 40 else 10


def class_grid(
    figure: Figure | SubFigure, class_names: Sequence[object], width: float, height: float, *, right: float = 0.0
) -> list[Axes]:
    """Axes for each class, row by row, its name above; without frame, ticks and grid.

    Args:
        figure: drawn with `arranged=False`.
        class_names: K names.
        width, height: of the figure, in inches.
        right: left free at its right side, in inches.
    """
    columns = grid_columns(len(class_names))
    rows = -(-len(class_names) // columns)
    longest = {1: 60, 2: 32, 3: 24, 4: 18, 5: 15, 8: 10, 10: 8}[columns]
    size = 9.0 if columns <= 5 else 7.5
    title, gap = size / 72 + 0.09, 0.06
    cell_width, cell_height = (width - right - gap) / columns, (height - gap) / rows
    grid = []
    for k, name in enumerate(class_names):
        row, column = divmod(k, columns)
        left, bottom = gap + column * cell_width, height - (row + 1) * cell_height
        axes = figure.add_axes(
            (left / width, bottom / height, (cell_width - gap) / width, (cell_height - title) / height)
        )
        axes.set_axis_off()
        axes.set_anchor("N")
        # with y given, matplotlib does not look for ticks to keep clear of, which takes most of its time
        axes.set_title(label_text(name, longest), loc="center", fontsize=size, pad=3, y=1.0)
        grid.append(axes)
    return grid


def signed_bar(
    figure: Figure | SubFigure, drawn: ScalarMappable, limit: float, labels: tuple[str, str], width: float
) -> None:
    """The colours of a diverging map from -limit to limit, in the inch that `class_grid` left free at the right.

    Args:
        drawn: what has the colours.
        limit: their ends.
        labels: at the lower and at the upper end.
        width: of the figure, in inches.
    """
    axes = figure.add_axes((1.0 - 0.82 / width, 0.12, 0.1 / width, 0.72))
    bar = figure.colorbar(drawn, cax=axes, ticks=[-limit, 0.0, limit])
    bar.set_ticklabels([labels[0], "0", labels[1]])
    bar.ax.tick_params(length=2)
    bar.outline.set_visible(False)


def label_text(text: object, longest: int = 18) -> str:
    """A class name for a drawing: one line of at most `longest` characters, never parsed as a formula."""
    line = " ".join(str(text).split())
    line = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)  # XML has no others
    if len(line) > longest:
        line = line[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return line.replace("$", r"\$")


def symmetric_limit(values: npt.NDArray[np.floating[Any]], share: float = 1.0) -> float:
    """The v > 0 such that `share` of the values lie in -v..v, for a diverging map; 1 if all values are 0."""
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
    small: npt.NDArray[np.uint8] = np.rint(np.clip(coarser(pixels, side), 0.0, 255.0)).astype(np.uint8)
    return small


def coarser(values: npt.NDArray[np.floating[Any]], side: int) -> npt.NDArray[np.floating[Any]]:
    """A map (height, width, ...) with at most `side` rows and columns: itself, or means over squares.

    Rows and columns at the end that fill no square are left out.
    """
    height, width = values.shape[:2]
    step = -(-max(height, width) // side)
    if step <= 1:
        return values
    down, across = min(step, height), min(step, width)
    cut = values[: height - height % down, : width - width % across]
    squares = cut.reshape(height // down, down, width // across, across, *values.shape[2:])
    means: npt.NDArray[np.floating[Any]] = squares.mean(axis=(1, 3))
    return means
