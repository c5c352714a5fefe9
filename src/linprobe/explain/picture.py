"""What every drawing is made on: one look, colours that the colour-blind tell apart, and one call to a file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linprobe.errors import OutputError, ParameterError
from linprobe.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CLASS_COLORS", "CLASS_MARKERS", "DIVERGING", "GRID", "INK", "MUTED", "PAPER", "Picture", "drawing"]

INK = "#1f2430"
"""Text and axes."""
MUTED = "#667085"
"""What is read second: tick labels, notes."""
GRID = "#d5d9e2"
"""Lines behind the data."""
PAPER = "#ffffff"
"""Behind all."""

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
    "image.interpolation": "nearest",
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
        with matplotlib.rc_context(_STYLE):
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
