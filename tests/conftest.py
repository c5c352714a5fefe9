"""What every test shares: one BLAS thread, a cache folder of its own, and no deadline by the clock."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before NumPy is imported: two workers with two BLAS threads each would spend their time waiting.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# On a busy machine a test may stand still for seconds, whatever it does.
settings.register_profile("linprobe", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("linprobe")

# A shell lets its background jobs ignore Ctrl-C, and nohup a terminal that closes. Every program that a test starts
# would inherit that, but for these handlers; a closed terminal still does not end the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

NUMBERS = itertools.count()
"""`mktemp` would look through the folders of all tests before to number the next."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh cache folder for each test: none sees the pixels another decoded, or touches the user's."""
    folder = tmp_path_factory.getbasetemp() / f"cache-{next(NUMBERS)}"
    folder.mkdir()
    monkeypatch.setenv("LINPROBE_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A program that a test has started ends with it, also where a check fails before the test stops it."""
    started: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen.__init__

    def noted(self: subprocess.Popen[bytes], *arguments: object, **options: object) -> None:
        begin(self, *arguments, **options)  # type: ignore[arg-type]
        started.append(self)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    yield
    for program in started:
        if program.poll() is None:
            program.kill()
            program.wait()
