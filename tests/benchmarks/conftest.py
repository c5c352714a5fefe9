"""Made records, as the benchmarks write them: the numbers are round, so that a test can be read."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.record import compared, spread

FACTS: dict[str, Any] = {
    "machine": {
        "processor": "Some CPU",
        "cores": 2,
        "caches": {"L1d": "32K", "L2": "512K"},
        "memory": 8_000_000_000,
        "system": "Linux x86_64",
    },
    "versions": {"python": "3.12.1", "linprobe": "0.1.0", "numpy": "2.2.0"},
    "commit": "abc1234",
    "environment": {},
    "blas": [{"user_api": "blas", "internal_api": "openblas", "version": "0.3.29"}],
    "load_average_before": [0.25, 0.5, 0.75],
    "share_used_by_others": 0.004,
    "seconds_in_all": 61.2,
    "warning": None,
}


def case(loss: str, threads: int, times: dict[str, list[float]]) -> dict[str, Any]:
    """A case of the engine's record with these seconds."""
    shape = {"shape": "CIFAR-10", "n_images": 50_000, "n_features": 3072, "n_classes": 10}
    more = {"rows": "uint8", "loss": loss, "threads": threads, "engine": "threads: avx2", "batch_size": 32}
    return {**shape, **more, **compared(times, "linprobe")}


@pytest.fixture
def records() -> dict[str, dict[str, Any]]:
    """One record of each benchmark; NumPy is the faster one with the hinge."""
    faster = {"linprobe": [0.1, 0.2, 0.1], "numpy": [0.2, 0.2, 0.3], "torch": [0.4, 0.4, 0.4]}
    slower = {"linprobe": [0.2, 0.2, 0.2], "numpy": [0.1, 0.1, 0.1], "torch": [0.4, 0.4, 0.4]}
    run = {"peak_resident": 260e6, "RssAnon": 90e6, "RssFile": 170e6, "RssShmem": 0, "test_accuracy": 0.39}
    line = {
        "loss": "softmax",
        "n_train": 1438,
        "n_test": 359,
        "epochs": 20,
        "optimisation_seconds": spread([0.02]),
        "wall_seconds": spread([0.5]),
    }
    return {
        "engine": {
            "benchmark": "engine",
            **FACTS,
            "pass": [case("softmax", 1, faster), case("hinge", 2, slower)],
            "sgd_epoch": [case("softmax", 1, {name: faster[name] for name in ("linprobe", "torch")})],
        },
        "reading": {
            "benchmark": "reading",
            **FACTS,
            "source": "pictures.zip",
            "n_images": 60_000,
            "image_shape": [32, 32, 3],
            "threads": 2,
            **compared(
                {
                    "pillow": [9.0, 9.0, 12.0],
                    "linprobe": [3.0, 4.5, 3.0],
                    "linprobe x1": [4.5, 4.5, 4.5],
                    "linprobe uncached": [2.0, 2.0, 2.0],
                },
                "linprobe",
            ),
            "warm_seconds": spread([0.09]),
        },
        "memory": {
            "benchmark": "memory",
            **FACTS,
            "n_train": 50_000,
            "n_test": 10_000,
            "image_shape": [32, 32, 3],
            "training_pixels": 153_600_000,
            "limit": 403_600_000,
            "peak_resident": spread([260e6]),
            "runs": [{"seed": 0, **run}],
        },
        "accuracy": {
            "benchmark": "accuracy",
            **FACTS,
            "lines": [
                {"source": "digits", "seeds": 2, "deviation": 0.01, **line}
                | {"test_accuracy": {**spread([0.94, 0.96]), "mean": 0.95}}
            ],
            "not_measured": "cifar10.zip is not there",
        },
    }
