"""Exact nearest neighbours of linprobe, FAISS (IndexFlatL2) and scikit-learn (brute force), in one process.

    python -m benchmarks.neighbors [ARCHIVE] [--out FILE] [--queries N] [--images N] [--repeats R] [--threads T] [--k K]

The pixels of CIFAR-10, test images against training images. linprobe reads them as uint8, and what it learns of the
training images is timed with its search; FAISS and scikit-learn get float32 rows whose conversion is not timed, and
FAISS's index is filled within its time. The neighbours are first shown to be the same up to ties: at every rank, the
exact distance of the row that the other found is ours, or greater by no more than float32 rounds.

The peak memory is that of `linprobe knn` in a process of its own, from the warm cache, with all images and a single
k: pixels + 500 MB are allowed. The accuracies are those of one neighbour, to be compared with the published 35.4%
(L2) and 38.6% (L1). 1 MB is 1,000,000 bytes.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmarks.record import (
    ROOT,
    Watch,
    arguments,
    compared,
    deliver,
    image_archive,
    interleaved,
    say,
    skip,
    spoken,
    text_table,
    usable_cores,
    why_absent,
)
from benchmarks.train import watched
from linprobe.data.base import open_dataset
from linprobe.neighbors.search import NeighborSearch

ALLOWANCE = 500_000_000
"""Bytes that a search may take on top of its pixels."""

ROUNDING = 1e-4
"""Relative difference of squared distances that float32 products of pixels may confuse: |a|² + |b|² is about ten times
|a - b|², and carries 3,072 roundings of 6e-8 at most."""

PAUSE = 0.3
"""Seconds between two implementations: OpenMP threads may spin for 200 ms after their last work."""

Array = npt.NDArray[Any]


def squared_distances(X: Array, Q: Array, positions: Array) -> npt.NDArray[np.int64]:
    """(n, k) |q - x|² of the rows at `positions`, in whole numbers."""
    result = np.empty(positions.shape, np.int64)
    for i, found in enumerate(positions):
        gap = X[found].astype(np.int64) - Q[i].astype(np.int64)
        result[i] = (gap * gap).sum(axis=1)
    return result


def check_same(X: Array, Q: Array, ours: Array, theirs: Array, name: str) -> dict[str, int]:
    """How many queries have the same rows in the same order, and how many the same up to ties.

    Raises:
        SystemExit: a distance differs by more than rounding, or ours is not the smallest.
    """
    mine, other = squared_distances(X, Q, ours), np.sort(squared_distances(X, Q, theirs), axis=1)
    if (mine > other).any() or (other > mine * (1 + ROUNDING)).any():
        raise SystemExit(f"error: {name} has other neighbours than linprobe: nothing to compare")
    identical = int((ours == theirs).all(axis=1).sum())
    return {"queries": len(Q), "identical": identical, "same_up_to_ties": len(Q) - identical}


def search_times(X: Array, Q: Array, k: int, threads: int, repeats: int) -> dict[str, Any]:
    """Seconds of each implementation, and how their neighbours agree."""
    from sklearn.neighbors import NearestNeighbors

    floats, queries = X.astype(np.float32), Q.astype(np.float32)
    search = NeighborSearch(X, n_threads=threads)

    def ours() -> Array:
        return NeighborSearch(X, n_threads=threads).search(Q, k)[1]

    def with_sklearn() -> Array:
        peer = NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=threads).fit(floats)
        return np.asarray(peer.kneighbors(queries, return_distance=False))

    implementations: dict[str, Any] = {"linprobe": ours, "scikit-learn": with_sklearn}
    absent = {}
    if importlib.util.find_spec("faiss") is None:
        absent["faiss"] = "faiss-cpu is not installed"
    else:
        import faiss

        faiss.omp_set_num_threads(threads)

        def with_faiss() -> Array:
            index = faiss.IndexFlatL2(X.shape[1])
            index.add(floats)
            return np.asarray(index.search(queries, k)[1])

        implementations["faiss"] = with_faiss
    with threadpool_limits(threads):
        mine = ours()
        same = {
            name: check_same(X, Q, mine, find(), name) for name, find in implementations.items() if name != "linprobe"
        }
        times = interleaved(implementations, repeats, pause=PAUSE)
    return {"engine": search.describe(), "k": k, "absent": absent, "neighbours": same, **compared(times, "linprobe")}


def one_neighbour(X: Array, y: Array, Q: Array, of_queries: Array, threads: int) -> dict[str, Any]:
    """Accuracy of one neighbour by each metric of pixels, and the seconds of its search."""
    result = {}
    for metric in ("l2", "l1"):
        start = time.perf_counter()
        positions = NeighborSearch(X, metric=metric, n_threads=threads).search(Q, 1)[1]
        seconds = time.perf_counter() - start
        result[metric] = {"accuracy": float(np.mean(y[positions[:, 0]] == of_queries)), "seconds": seconds}
    return result


def peak_memory(source: str, cache: Path | None) -> dict[str, Any]:
    """Peak of `linprobe knn SOURCE --k 1` in bytes, and what it is allowed."""
    program = [sys.executable, "-c", "from linprobe.cli import main; main()", "knn", source, "--k", "1", "--json"]
    environment = os.environ if cache is None else {**os.environ, "LINPROBE_CACHE_DIR": str(cache)}
    subprocess.run(program, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)  # fills the cache
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(program, cwd=ROOT, stdout=said, env=environment)
        peaks, status, used = watched(child.pid)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"error: linprobe knn {source} ended with code {child.returncode}")
        said.seek(0)
        told = json.loads(said.read())
    pixels = (told["n_train"] + told["n_test"]) * math.prod(told["image_shape"])
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "pixels": pixels,
        "limit": pixels + ALLOWANCE,
        "peak_resident": used.ru_maxrss * unit,
        **peaks,
        "test_accuracy": told["test_accuracy"],
        "seconds": told["seconds"],
    }


def measure(
    source: Path,
    *,
    queries: int | None = None,
    images: int | None = None,
    repeats: int = 3,
    threads: int | None = None,
    k: int = 5,
    cache: Path | None = None,
) -> dict[str, Any]:
    """The record, all but the facts of the machine."""
    threads = threads or usable_cores()
    memory = peak_memory(str(source), cache)  # first: a child inherits the peak of this process, up to its exec
    dataset = open_dataset(source)
    if dataset.test is None:
        raise SystemExit(f"error: {source.name} has no test images to ask with")
    train, test = dataset.train, dataset.test
    X, y = rows_of(train.X, train.rows, train.y, images)
    Q, of_queries = rows_of(test.X, test.rows, test.y, queries)
    return {
        "n_images": len(X),
        "n_queries": len(Q),
        "n_features": X.shape[1],
        "threads": threads,
        **search_times(X, Q, min(k, len(X)), threads, repeats),
        "one_neighbour": one_neighbour(X, y, Q, of_queries, threads),
        "memory": memory,
    }


def rows_of(X: Array, rows: Array | None, y: Array, n: int | None) -> tuple[Array, Array]:
    """`n` rows and labels, evenly spaced; all where n is None."""
    picked = np.arange(len(y)) if n is None or n >= len(y) else np.linspace(0, len(y) - 1, n).astype(np.int64)
    return np.ascontiguousarray(X[picked if rows is None else rows[picked]]), y[picked]


def main() -> None:
    """Measure, print a table, deliver the record."""
    parser = arguments(__doc__, "neighbors")
    parser.add_argument("archive", nargs="?", type=Path, default=image_archive())
    parser.add_argument("--queries", type=int, metavar="N", help="test images used as queries; all by default")
    parser.add_argument("--images", type=int, metavar="N", help="training images that are searched; all by default")
    parser.add_argument("--repeats", type=int, default=3, metavar="R", help="repetitions that are counted")
    parser.add_argument("--threads", type=int, metavar="T", help="threads of all; one per core by default")
    parser.add_argument("--k", type=int, default=5, metavar="K", help="neighbours of each query")
    asked = parser.parse_args()
    reason = why_absent(asked.archive)
    if reason:
        skip("neighbors", reason, asked.out)
        return
    watch = Watch()
    record = measure(
        asked.archive.resolve(),
        queries=asked.queries,
        images=asked.images,
        repeats=asked.repeats,
        threads=asked.threads,
        k=asked.k,
    )
    libraries = ["numpy", "scikit-learn", *(["faiss-cpu"] if not record["absent"] else [])]
    show(record)
    deliver({"benchmark": "neighbors", **record, **watch.facts(libraries)}, asked.out)


def show(record: dict[str, Any]) -> None:
    """The record for the person who waits."""
    say(f"{record['n_queries']} queries, {record['n_images']} images; {record['engine']}")
    rows = [
        (name, spoken(about, "s"), spoken(record["ratios"][name]) if name in record["ratios"] else "")
        for name, about in record["seconds"].items()
    ]
    say(text_table(("search", "seconds", "theirs / ours"), rows))
    for name, reason in record["absent"].items():
        say(f"{name}: skipped: {reason}")
    for name, counts in record["neighbours"].items():
        say(f"{name}: {counts['identical']} of {counts['queries']} queries identical, the others up to ties")
    for metric, about in record["one_neighbour"].items():
        say(f"one neighbour, {metric}: accuracy {about['accuracy']:.4f}, {about['seconds']:.2f} s")
    memory = record["memory"]
    say(f"peak memory {memory['peak_resident'] / 1e6:.0f} MB of {memory['limit'] / 1e6:.0f} MB allowed")


if __name__ == "__main__":
    main()
