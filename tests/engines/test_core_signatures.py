"""Every function of the core, by its signature: an output of another form is refused, and the stub is up to date."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linprobe import _core

ROOT = Path(__file__).resolve().parents[2]
STUB = ROOT / "src" / "linprobe" / "_core.pyi"
REFUSED = "incompatible function arguments"
SCALARS = {"int": 1, "float": 1.0, "bool": False, "str": "", "dict": {}}


@dataclass(frozen=True)
class Argument:
    """An argument of a function of the core, as the stub gives it."""

    name: str
    type: str
    axes: int | None
    is_output: bool

    def value(self) -> Any:
        """Something of its type; each axis has another length, so that orders differ."""
        if self.axes is None:
            return SCALARS[self.type]
        return np.zeros((2, 3, 4)[: self.axes], self.type)


def argument_of(node: ast.arg) -> Argument:
    annotation = node.annotation
    if isinstance(annotation, ast.BinOp):
        annotation = annotation.left  # X | None
    text = ast.unparse(annotation)
    if not text.startswith("Annotated[NDArray"):
        return Argument(node.arg, text.partition("[")[0], None, False)
    array, layout = annotation.slice.elts
    dtype = ast.unparse(array.slice).removeprefix("numpy.")
    keywords = {keyword.arg: keyword.value for keyword in layout.keywords}
    axes = len(keywords["shape"].elts) if "shape" in keywords else 2
    return Argument(node.arg, "float32" if dtype == "Any" else dtype, axes, "writable" not in keywords)


FUNCTIONS = {
    node.name: [argument_of(argument) for argument in node.args.args]
    for node in ast.parse(STUB.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name != "use_blas"
}
OUTPUTS = [(name, argument.name) for name, of in FUNCTIONS.items() for argument in of if argument.is_output]


def misaligned(array: np.ndarray) -> np.ndarray:
    return np.ndarray(array.shape, array.dtype, np.zeros(array.nbytes + 1, np.uint8)[1:].data)


def other_forms(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for dtype in ("f2", "f4", "f8", "i8", "u2"):
        if array.dtype != dtype:
            yield dtype, array.astype(dtype)
    yield "of the other byte order", array.astype(array.dtype.newbyteorder())
    yield "misaligned", misaligned(array)
    yield "strided", np.repeat(array, 2, axis=-1)[..., ::2]
    yield "one axis more", array[None]
    if array.ndim > 1:
        yield "Fortran", np.asfortranarray(array)
    read_only = array.copy()
    read_only.setflags(write=False)
    yield "read-only", read_only


def test_the_stub_is_that_of_the_core():
    pytest.importorskip("nanobind")
    command = [sys.executable, ROOT / "tools" / "stub.py", "--check"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, f"run `make stub`:\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}"


def test_every_function_of_the_core_is_walked():
    found = {name for name in dir(_core) if callable(getattr(_core, name)) and name[0] != "_"}
    assert found == {*FUNCTIONS, "use_blas"}
    writers = {name for name, _ in OUTPUTS}
    assert set(FUNCTIONS) - writers == {
        "bfloat16", "bfloat16_is_fast", "instruction_set", "sgd_epoch_float32", "sgd_epoch_float64", "triangle_blocks",
    }  # fmt: skip


def refusal(function: str, **changed: Any) -> str:
    """What a call with arguments of the right kinds, but for those changed, raises; shapes do not fit one another."""
    arguments = {argument.name: argument.value() for argument in FUNCTIONS[function]} | changed
    try:
        getattr(_core, function)(**arguments)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_arguments_of_the_right_kinds_are_taken(function):
    """So that what the next test sees refused is the output and nothing else."""
    assert REFUSED not in refusal(function)


@pytest.mark.parametrize(("function", "output"), OUTPUTS)
def test_an_output_of_any_other_form_is_refused(function, output):
    right = next(argument.value() for argument in FUNCTIONS[function] if argument.name == output)
    for form, array in other_forms(right):
        assert f"{function}(): {REFUSED}" in refusal(function, **{output: array}), form


@pytest.mark.parametrize("name", ["W", "b"])
@pytest.mark.parametrize("function", ["sgd_epoch_float32", "sgd_epoch_float64"])
def test_weights_of_an_sgd_epoch_are_refused_in_any_other_form(function, name):
    dtype = function.removeprefix("sgd_epoch_")
    arguments = {argument.name: argument.value() for argument in FUNCTIONS[function]}
    arguments |= {"X": np.zeros((2, 3), dtype), "y": np.zeros(2, "i8"), "scale": None, "shift": None, "weight": None}
    arguments |= {"picked": np.arange(2), "loss": "hinge", "update": "plain", "averaged": -1}
    right = {"W": np.zeros((3, 3), dtype), "b": np.zeros(3, dtype)}
    getattr(_core, function)(**arguments | {"arrays": right})
    for _, array in other_forms(right[name]):
        with pytest.raises(TypeError, match=f'"{name}"'):
            getattr(_core, function)(**arguments | {"arrays": right | {name: array}})


@pytest.mark.parametrize(("name", "error"), [("X", ValueError), ("W", TypeError)])
def test_a_misaligned_input_is_refused(name, error):
    arguments = {"X": np.ones((7, 5), np.float32), "W": np.ones((3, 5)), "b": np.zeros(3), "S": np.zeros((7, 3))}
    arguments[name] = misaligned(arguments[name])
    with pytest.raises(error):
        _core.scores(**arguments, picked=None, scale=None, shift=None, doubles=True, threads=1)
