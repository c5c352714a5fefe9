"""Plain values: what JSON can hold."""

from __future__ import annotations

import json

import numpy as np

from linprobe.plain import plain


def test_numpy_is_unpacked_and_what_json_does_not_have_becomes_null():
    value = {1: np.float32(0.5), "a": [np.arange(2), (np.inf, np.nan)], "b": np.array([[1.0, -np.inf]]), "c": np.True_}
    assert plain(value) == {"1": 0.5, "a": [[0, 1], [None, None]], "b": [[1.0, None]], "c": True}
    assert json.dumps(plain(value), allow_nan=False)


def test_a_plain_value_stays_as_it_is():
    value = {"text": "x", "flag": False, "none": None, "number": 1.5, "list": [{"deep": []}]}
    assert plain(value) == value
