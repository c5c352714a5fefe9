"""Pictures to challenge."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.challenges.table import CHALLENGES
from linprobe.shapes import Pixels

KINDS = [(challenge, kind) for challenge in CHALLENGES for kind in challenge.kinds]


def smooth(n: int, height: int, width: int, channels: int, seed: int = 0) -> Pixels:
    """Pictures that change slowly, each with waves of its own, well inside 0..255."""
    random = np.random.default_rng(seed)
    y = np.linspace(0, 1, height)[None, :, None, None]
    x = np.linspace(0, 1, width)[None, None, :, None]
    down, across, phase, tilt = random.uniform(0.5, 2.0, (4, n, 1, 1, channels))
    waves = np.sin(np.pi * (down * y + tilt * x) + phase) * np.cos(np.pi * across * x + 3 * phase)
    return np.rint(128 + 70 * waves).astype(np.uint8)


@pytest.fixture(params=[(32, 32, 3), (8, 8, 1), (5, 7, 1), (7, 5, 3), (1, 1, 1), (1, 6, 3), (40, 24, 4)], ids=str)
def any_pictures(request: pytest.FixtureRequest) -> Pixels:
    """Sixteen pictures of some size: square or not, grey, RGB or other, down to a single pixel."""
    return smooth(16, *request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every kind of every challenge, for the tests that ask for both."""
    if {"challenge", "kind"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("challenge", "kind"), KINDS, ids=[kind.name for _, kind in KINDS])
