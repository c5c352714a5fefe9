"""JSON values as typed records: what is accepted, and the line that refuses the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from linprobe.errors import ParameterError
from linprobe.typed_json import Closed, MismatchError, Within, dataclass_from


@dataclass(frozen=True)
class Inner(Closed):
    share: Annotated[float, Within(0.0, 1.0, open_low=True)] = 1.0


@dataclass(frozen=True)
class Outer(Closed):
    name: str
    kind: Literal["a", "b"] = "a"
    pair: tuple[int, int] | None = None
    inner: Inner = field(default_factory=Inner)
    many: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name == "":
            raise ParameterError("name is empty; expected a name")


@dataclass(frozen=True)
class Nothing(Closed): ...


@dataclass(frozen=True)
class Open:
    name: str


def test_every_field_gets_a_value_of_its_type() -> None:
    found = {"name": "x", "kind": "b", "pair": [1, 2], "inner": {"share": 1}, "many": {"y": 2}}
    assert dataclass_from(Outer, found) == Outer("x", "b", (1, 2), Inner(1.0), {"y": 2.0})
    assert dataclass_from(Outer, {"name": "x"}) == Outer("x")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"name": None}, "name is None; expected text"),
        ({"kind": "c"}, "kind is 'c'; expected 'a' or 'b'"),
        ({"pair": [1]}, "pair is [1]; expected a list of 2 values or null"),
        ({"pair": [1, True]}, "pair[1] is True; expected a whole number"),
        ({"inner": {"share": 0.0}}, "inner.share is 0.0; expected a finite number > 0 and <= 1"),
        ({"inner": {"share": float("nan")}}, "inner.share is nan; expected a finite number > 0 and <= 1"),
        ({"inner": {"other": 1}}, "inner.other is no known field; expected one of share"),
        ({"many": {"y": 1e999}}, "many.y is inf; expected a finite number"),
        ({"name": ""}, "name is empty; expected a name"),
        ({"more": 1}, "more is no known field; expected one of name, kind, pair, inner, many"),
    ],
)
def test_what_differs_is_named_with_what_was_expected(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(MismatchError) as refused:
        dataclass_from(Outer, {"name": "x"} | changes)
    assert str(refused.value) == line


def test_only_a_closed_record_refuses_keys_that_it_does_not_have() -> None:
    assert dataclass_from(Open, {"name": "x", "more": 1}) == Open("x")
    with pytest.raises(MismatchError, match="more is no known field; expected an empty object"):
        dataclass_from(Nothing, {"more": 1})
