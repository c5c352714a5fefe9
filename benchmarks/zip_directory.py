"""Opening a zip of many small pictures with the plain reader of its directory, and with zipfile's, in one process.

    python -m benchmarks.zip_directory SOURCE.zip [--repeats R] [--threads T]

The pixel cache is left out, the file itself is in the page cache after the first run, which is not counted.
Repetitions are interleaved, and all arrays compared.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import time
from unittest import mock

import numpy as np

import linprobe.data.archive
from linprobe import open_dataset


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    plain = linprobe.data.archive._plain_directory
    seconds: dict[str, list[float]] = {"plain": [], "zipfile": []}
    expected = None
    for repeat in range(arguments.repeats + 1):
        for name, reader in (("plain", plain), ("zipfile", lambda archive: None)):
            gc.collect()
            with mock.patch("linprobe.data.archive._plain_directory", reader):
                start = time.perf_counter()
                pixels = open_dataset(arguments.source, cache=False, n_threads=arguments.threads).train.X
                if repeat:
                    seconds[name].append(time.perf_counter() - start)
            expected = pixels if expected is None else expected
            assert np.array_equal(pixels, expected)
            del pixels
    times = {n: {"median_s": statistics.median(t), "min_s": min(t), "max_s": max(t)} for n, t in seconds.items()}
    print(json.dumps({"machine": platform.processor() or platform.machine(), **times}, indent=2))


if __name__ == "__main__":
    main()
