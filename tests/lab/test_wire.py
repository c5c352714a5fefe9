"""The records of requests and answers: one line refuses what is none, and each has a type in TypeScript."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import get_type_hints

import numpy as np
import pytest

from linprobe.errors import ParameterError
from linprobe.lab.pages import PAGES
from linprobe.lab.protocol import Method, NoParameters, Request, read_request
from linprobe.lab.scores import ScoresRequest
from linprobe.lab.wire import packed

METHODS = {f"{page.name}.{name}": method for page in PAGES for name, method in page.methods.items()}
GOOD = {"scores": [[1, 2]], "y": [0], "row": 0, "moved": 1, "low": -8, "high": 8, "delta": 1, "jiggle": 0.5}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_a_record_that_refuses_what_it_does_not_know(name: str) -> None:
    method = METHODS[name]
    assert is_dataclass(method.request)
    assert issubclass(method.request, Request)
    with pytest.raises(ParameterError, match=r"^no-such-field is no known field; expected .*\.$") as refused:
        read_request(method.request, {"no-such-field": 1})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", METHODS)
def test_every_handler_takes_the_record_of_its_method(name: str) -> None:
    method = METHODS[name]
    asked = get_type_hints(method.handler)["asked"]
    assert issubclass(method.request, asked)


def test_a_request_is_its_record_with_arrays() -> None:
    asked = read_request(ScoresRequest, GOOD)
    assert asked.scores.dtype == np.float64
    assert asked.scores.tolist() == [[1.0, 2.0]]
    assert asked.y.dtype == np.int64
    assert {each.name for each in fields(ScoresRequest)} == GOOD.keys()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"delta": "1"}, "delta is '1'; expected a finite number > 0 and <= 1e+12."),
        ({"jiggle": float("nan")}, "jiggle is nan; expected a finite number 0..10000."),
        ({"row": True}, "row is True; expected a whole number 0..9."),
        ({"row": 1}, "row = 1; expected a finite number >= 0 and <= 0."),
        ({"scores": [[1, float("inf")]]}, "scores holds a number that is not finite or above 10000 in size."),
        ({"scores": "1"}, "scores is '1'; expected n x n numbers."),
        ({"y": [0.5]}, "y is [0.5]; expected whole numbers >= 0."),
        ({"y": [2]}, "y holds 2; expected classes 0..1."),
        ({"y": [0, 1]}, "y has shape (2,); expected 1 numbers."),
    ],
)
def test_what_is_wrong_in_a_request_is_said_in_one_line(changes: dict[str, object], line: str) -> None:
    with pytest.raises(ParameterError) as refused:
        read_request(ScoresRequest, GOOD | changes)
    assert str(refused.value) == line


def test_a_method_reads_its_request_before_its_handler_runs() -> None:
    seen: list[NoParameters] = []
    method = Method(NoParameters, lambda client, asked: seen.append(asked))
    with pytest.raises(ParameterError, match="expected an empty object"):
        method.answer(None, {"x": 1})  # type: ignore[arg-type]  # the handler does not look at the page
    method.answer(None, {})  # type: ignore[arg-type]
    assert seen == [NoParameters()]


def test_bytes_travel_row_after_row() -> None:
    grid = packed(np.arange(6).reshape(2, 3))
    assert (grid.height, grid.width, grid.bytes) == (2, 3, "AAECAwQF")
