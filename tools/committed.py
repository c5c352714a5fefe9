"""A generated file that is committed: written, or with --check compared with what would be written."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

__all__ = ["write_or_check"]


def write_or_check(path: Path, text: str) -> int:
    """Write the text to `path`; with --check write nothing, and print how they differ. 1 if they do, else 0."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if not parser.parse_args().check:
        path.write_text(text)
        return 0
    kept = path.read_text()
    sys.stdout.writelines(difflib.unified_diff(kept.splitlines(True), text.splitlines(True), "committed", "generated"))
    return int(kept != text)
