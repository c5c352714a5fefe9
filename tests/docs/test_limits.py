"""The limits that the pages state are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from linprobe.data import budget, cifar, picture_parts
from linprobe.lab import guard, half_sent, server, uploads

DOCS = Path(__file__).resolve().parents[2] / "docs"
MIB = 2**20


def rows(page: str) -> dict[str, str]:
    """The first cell of each row of the tables of a page, and the second."""
    lines = [line for line in (DOCS / page).read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row[1] for row in cells if len(row) > 1}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("bytes of one archive", f"{uploads.MOST_BYTES // MIB} MiB"),
        ("entries of an archive", f"{uploads.MOST_ENTRIES:,}"),
        (
            "what an archive unpacks to",
            f"{uploads.UNPACKED_BYTES // 2**30} GiB, and {uploads.MOST_NUMBERS // MIB} MiB of decoded pixels",
        ),
        ("bytes of one picture", f"{uploads.PICTURE_BYTES // MIB} MiB"),
        ("pixels of one picture", f"{uploads.MOST_PIXELS // 10**6} million"),
        ("kept at a time", str(uploads.MOST_UPLOADS)),
    ],
)
def test_the_uploads_that_the_page_of_limits_allows_are_those_that_the_lab_takes(row: str, text: str) -> None:
    assert rows("limits.md")[row] == text


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            "bytes that an archive, `.npz`, `.gz` or Parquet file unpacks to",
            f"{budget.FREE_BYTES // MIB} MiB and {budget.RATIO} times its size",
        ),
        (
            "entries of an archive or folder",
            f"{budget.ENTRIES // 10**6} million; of an archive {budget.FREE_ENTRIES:,} and one for each "
            f"{budget.ENTRY_BYTES} bytes of its file",
        ),
        ("folders within folders", str(budget.DEPTH)),
        ("characters of an entry's name", f"{budget.NAME_CHARACTERS:,}"),
        ("links that lead to one folder", str(budget.LINKS)),
        ("characters of a label or class name", f"{budget.LABEL_CHARACTERS:,}"),
        ("pixels of a picture, by its header", f"{budget.PIXEL_LIMIT:,}"),
        (
            "pixels of all pictures",
            f"{budget.FREE_PIXELS:,}, and {budget.PIXELS_PER_BYTE} for each byte of their files",
        ),
        (
            "pixels that are decoded at one time",
            f"{budget.PIXEL_LIMIT:,}, or {budget.THREAD_PIXELS:,} for each thread if that is more",
        ),
        (
            "bytes of a picture file",
            f"{budget.FILE_LIMIT // MIB} MiB; {picture_parts.INTERPRETED_BYTES // MIB} MiB for a plain (ASCII) PPM or "
            "a run-length BMP",
        ),
        ("bytes of a CIFAR file", f"{cifar.MOST_BYTES // MIB} MiB"),
    ],
)
def test_the_budget_of_a_source_is_that_of_the_code(row: str, text: str) -> None:
    assert rows("data.md")[row] == text


def test_the_seconds_the_token_and_the_message_of_the_lab_are_those_of_the_code() -> None:
    limits = " ".join((DOCS / "limits.md").read_text().split())
    assert f"dropped after {half_sent.SECONDS:.0f} seconds" in limits
    assert "a token of 192 random bits" in limits
    assert len(guard.new_token()) == 192 / 6  # base64: six bits a character
    assert f"A message is at most {server.MESSAGE_BYTES // 1024} kB" in " ".join((DOCS / "lab.md").read_text().split())
