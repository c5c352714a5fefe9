"""Parameters: their ranges in words and in numbers."""

from __future__ import annotations

import json
import math

import pytest

from linprobe.errors import ParameterError
from linprobe.parameters import Parameter
from linprobe.plain import plain

SHARE = Parameter("share", 0.5, "a share", low=0.0, high=1.0, open_low=True)


@pytest.mark.parametrize("value", [0.0, 1.5, math.nan, math.inf])
def test_a_value_outside_the_range_is_refused(value: float) -> None:
    with pytest.raises(ParameterError, match=r"share = .*; expected a finite number > 0 and <= 1"):
        SHARE.check(value)


def test_a_value_inside_passes_and_the_range_is_told_in_words() -> None:
    SHARE.check(1.0)
    assert SHARE.range == "> 0 and <= 1"
    assert Parameter("tol", 1e-4, "gap", low=0.0).range == ">= 0"
    assert Parameter("any", 0.0, "free").range == ""


def test_json_holds_an_open_end_as_null() -> None:
    record = json.loads(json.dumps(plain(Parameter("tol", 1e-4, "gap", low=0.0)), allow_nan=False))
    assert record == {
        "name": "tol",
        "default": 1e-4,
        "meaning": "gap",
        "kind": "number",
        "low": 0.0,
        "high": None,
        "open_low": False,
    }
