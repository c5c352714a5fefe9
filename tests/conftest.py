"""What every test shares: one BLAS thread, and a cache folder of its own."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

# Before NumPy is imported: two workers with two BLAS threads each would spend their time waiting.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


NUMBERS = itertools.count()
"""`mktemp` would look through the folders of all tests before to number the next."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh cache folder for each test: none sees the pixels another decoded, or touches the user's."""
    folder = tmp_path_factory.getbasetemp() / f"cache-{next(NUMBERS)}"
    folder.mkdir()
    monkeypatch.setenv("LINPROBE_CACHE_DIR", str(folder))
    return folder
