"""The methods of the page "Walks" against the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.explain.walks import ground, walk_on

WALKER = {"update": "plain", "rate": 0.1, "schedule": "constant", "batch": 0}
ASKED: dict[str, Any] = {"ground": "valley", "x": 2.6, "y": -0.8, "walkers": [WALKER], "steps": 30, "seed": 1}


def test_the_walks_are_those_of_the_library(talk):
    walkers = [WALKER, WALKER | {"update": "adam", "schedule": "cosine"}, WALKER | {"batch": 8}]
    found = talk("walks.run", **ASKED | {"walkers": walkers})
    of = ground("valley")
    expected = [
        walk_on(of, (2.6, -0.8), "plain", 0.1, steps=30),
        walk_on(of, (2.6, -0.8), "adam", 0.1, schedule="cosine", steps=30),
        walk_on(of, (2.6, -0.8), "plain", 0.1, batch_size=8, steps=30, seed=1),
    ]
    for path, wanted in zip(found, expected, strict=True):
        assert_allclose(path["weights"], wanted.weights)
        assert_allclose(path["losses"], wanted.losses)
        assert_allclose(path["rates"], wanted.rates)


def test_a_loss_that_is_infinite_travels_as_null(talk):
    found = talk("walks.run", **ASKED | {"walkers": [WALKER | {"rate": 900.0}], "steps": 60})
    assert found[0]["losses"][-1] is None


@pytest.mark.parametrize("name", ["valley", "saddle"])
def test_a_surface_has_its_view_and_its_minima(talk, name):
    found = talk("walks.surface", ground=name)
    of = ground(name)
    assert_allclose(found["minima"], of.minima)
    assert (tuple(found["low"]), tuple(found["high"])) == (of.low, of.high)
    assert found["heights"]["width"] == found["heights"]["height"] == 61
    assert found["n_images"] == of.n_images
    inside = (np.array(of.low) < of.minima) & (of.minima < np.array(of.high))
    assert inside.all()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ground": "hill"}, "one of valley, saddle"),
        ({"steps": 401}, "steps"),
        ({"walkers": [WALKER] * 7}, "at most 6"),
        ({"walkers": [WALKER | {"update": "none"}]}, "update"),
        ({"walkers": [WALKER | {"rate": 0}]}, "rate"),
        ({"walkers": [{"update": "plain"}]}, "rate"),
        ({"x": 1e9}, "x"),
    ],
)
def test_what_cannot_be_walked_is_one_sentence(talk, changed, words):
    said = talk.error("walks.run", **ASKED | changed)
    assert words in said
    assert "\n" not in said
