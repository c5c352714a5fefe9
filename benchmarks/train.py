"""`linprobe train` as a child process, watched: seconds, memory, and what it says of itself.

Peak memory is what the kernel reports at the end, `ru_maxrss` of `wait4`. It counts all resident pages, those of the
memory-mapped pixels too, which the kernel can drop at any time without writing them anywhere. `RssAnon`, sampled from
/proc/PID/status while the child runs, is what is not such a file: its own heap and stacks.

A child inherits the peak of the process that forks it, up to its exec: whoever measures must be small itself. So this
module imports no library.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT

SAMPLE = 0.005
"""Seconds between two looks at /proc/PID/status."""

RESIDENT = ("RssAnon", "RssFile", "RssShmem")


def train(source: str, *options: str, cache: Path) -> dict[str, Any]:
    """One `linprobe train SOURCE OPTIONS`: its metrics, wall-clock seconds, and peaks of memory in bytes.

    Args:
        cache: the cache folder of decoded pixels.
    Raises:
        SystemExit: the training failed; its own words are shown.
    """
    with tempfile.TemporaryDirectory(prefix="linprobe-run-") as folder, tempfile.TemporaryFile() as said:
        program = [sys.executable, "-c", "from linprobe.cli import main; main()"]
        command = [*program, "train", source, *options, "--no-report", "--json", "--out", f"{folder}/run"]
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=ROOT, stdout=said, env={**os.environ, "LINPROBE_CACHE_DIR": str(cache)})
        peaks, status, used = watched(child.pid)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"error: linprobe {' '.join(command[3:])} ended with code {child.returncode}")
        said.seek(0)
        metrics = json.loads(said.read())
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB on Linux
    return {"metrics": metrics, "wall_seconds": seconds, "peak_resident": used.ru_maxrss * unit, "peaks": peaks}


def watched(pid: int) -> tuple[dict[str, int], int, Any]:
    """Greatest sampled bytes of each kind of memory, then what wait4 reports: exit status and resources used."""
    peaks = dict.fromkeys(RESIDENT, 0)
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            return peaks, status, used
        with contextlib.suppress(OSError):
            for name, n_bytes in resident(Path(f"/proc/{pid}/status").read_text()).items():
                peaks[name] = max(peaks[name], n_bytes)
        time.sleep(SAMPLE)


def resident(status: str) -> dict[str, int]:
    """Bytes by kind of memory, from the text of /proc/PID/status; a process that is ending shows none."""
    found = {}
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name in RESIDENT:
            found[name] = 1024 * int(value.split()[0])
    return found
