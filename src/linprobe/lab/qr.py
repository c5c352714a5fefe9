"""The QR code of an address, drawn by the library segno; ISO/IEC 18004 names its parts."""

from __future__ import annotations

__all__ = ["modules"]


def modules(text: str) -> tuple[str, ...]:
    """The rows of the QR code of a text, "1" for a dark module and "0" for a light one, without the quiet zone.

    () where segno is not installed.
    """
    try:
        import segno
    except ImportError:
        return ()
    # the least error correction makes the fewest and largest modules; segno raises it where that costs none
    code = segno.make(text, error="l", micro=False)
    return tuple("".join("1" if module else "0" for module in row) for row in code.matrix)
